"""sCMOS and CCD cameras: read noise, gain and baseline, alike in all pixels or as maps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from ..chip import Maps, Region, check_size, read_map, region_of
from ..draws import normal
from ..errors import InputError
from ..noise import Noise
from ..spec import quantity
from .camera_spec import CameraSpec, ReadOut
from .counting import as_real, digitize, poisson, rounding_variance

__all__ = ["ScmosCamera"]

_MAPS = ("baseline", "gain", "read_noise")
_NOISY = ("read_noise", "gain")


class ScmosCamera(CameraSpec):
    """sCMOS or CCD: Poisson photo-electrons, read noise, gain and baseline, alike or pixel by pixel.

    Each of baseline, gain and read noise is a number or the path of a .npy file with one value a
    pixel (H, W) (`load_maps` reads them; Huang et al. 2013 for how they are measured). Maps are of the pixels
    that the frames show, or of more, and `region` says which of them the frames show.
    """

    kind: Literal["scmos"] = "scmos"
    baseline: float | str = quantity(100.0, "ADU", "count without light; a number or a .npy map")
    gain: float | str = quantity(1.0, "ADU/e-", "counts per photo-electron; a number or a .npy map")
    read_noise: float | str = quantity(1.6, "e- rms", "read noise; a number or a .npy map")
    saturation: float = quantity(65535.0, "ADU", "largest count a pixel can give", gt=0)
    region: Region | None = quantity(
        None,
        "px",
        "part of the maps that the frames show: [x0, y0, x1, y1], x1 and y1 excluded; null: all",
        label="Part of the maps",
    )

    neutral: ClassVar[Mapping[str, float]] = {"baseline": 0.0, "gain": 1.0, "read_noise": 0.0}
    own_keys: ClassVar[frozenset[str]] = frozenset({"gain", "baseline", "read_noise"})

    @model_validator(mode="after")
    def _numbers_make_sense(self) -> Self:
        if self.region is not None:
            x0, y0, x1, y1 = self.region
            if not (0 <= x0 < x1 and 0 <= y0 < y1):
                raise ValueError(f"region {list(self.region)} must be x0, y0, x1, y1 with x0 < x1 and y0 < y1")
        if not isinstance(self.gain, str) and self.gain <= 0:
            raise ValueError(f"gain must be above 0 ADU per electron, got {self.gain}")
        if not isinstance(self.read_noise, str) and self.read_noise < 0:
            raise ValueError(f"read_noise must not be negative, got {self.read_noise}")
        return self

    def expose(self, expected: Tensor, generator: torch.Generator, maps: Maps | None = None) -> Tensor:
        """Counts for expected photons; both (B, H, W).

        maps: what `load_maps` returned for these pixels; read from the files where left out.
        """
        baseline, gain, read_noise = self._values(expected, maps)
        electrons = poisson(expected, generator) + read_noise * normal(expected, generator)
        return digitize(baseline + gain * electrons, self.saturation)

    def to_photons(self, counts: Tensor, maps: Maps | None = None) -> Tensor:
        """(counts − baseline)/gain, not clipped at 0; both (B, H, W)."""
        counts = as_real(counts)
        baseline, gain, _ = self._values(counts, maps)
        return (counts - baseline) / gain

    def pixel_noise(self, maps: Maps | None = None) -> Noise:
        """Shot noise, read noise and the rounding to whole counts; see `CameraSpec.pixel_noise`.

        Without read noise and with a whole gain the counts are whole before they are rounded.
        """
        maps = self.load_maps() if maps is None else maps
        # Numbers in single precision too, as a map would be.
        read, gain = (maps[name] if name in maps else torch.tensor(getattr(self, name)) for name in _NOISY)
        rounded = bool((read != 0).any() or (gain != gain.round()).any())
        variance = read.square() + (rounding_variance(gain) if rounded else 0.0)
        return Noise(read_variance=variance if variance.dim() else float(variance))

    def maps_named(self) -> dict[str, str]:
        """Those of baseline, gain and read noise for which the camera names a file, and the file."""
        values = {name: getattr(self, name) for name in _MAPS}
        return {name: value for name, value in values.items() if isinstance(value, str)}

    def load_maps(self) -> dict[str, Tensor]:
        """The maps that the camera names, cut to its region; see `CameraSpec.load_maps`."""
        maps = {name: read_map(name, Path(path)) for name, path in self.maps_named().items()}
        shapes = {name: tuple(values.shape) for name, values in maps.items()}
        if len(set(shapes.values())) > 1:
            raise InputError(f"the camera's maps differ in size: {shapes}; give maps of one region of the chip")
        return region_of(maps, self.region)

    @property
    def chip_region(self) -> Region | None:
        """Of the maps that the frames show; see `CameraSpec.chip_region`."""
        return self.region

    @property
    def read_out(self) -> ReadOut:
        """Gain, baseline and read noise, None where it is a map."""
        gain, baseline, read_noise = (
            None if isinstance(value, str) else value for value in (self.gain, self.baseline, self.read_noise)
        )
        return ReadOut(gain, baseline, read_noise)

    def with_read_out(self, measured: ReadOut) -> CameraSpec:
        """The camera with other values."""
        return self.with_(**measured._asdict())

    def _values(self, like: Tensor, maps: Maps | None) -> list[float | Tensor]:
        maps = self.load_maps() if maps is None else maps
        values: list[float | Tensor] = []
        for name in _MAPS:
            values.append(maps[name].to(like) if name in maps else getattr(self, name))
        check_size(maps, (like.shape[-2], like.shape[-1]))
        return values
