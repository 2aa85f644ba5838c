"""The image model: emitters through the PSF onto a background, and through the camera to counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..camera import Camera
from ..chip import Maps, check_size
from ..emitters import Emitters
from ..field import Field, crops_of
from ..optics.assembly import Assembly
from ..optics.drawing import add_molecules, can_compile, molecules_of
from ..optics.psf import psf_in_field

if TYPE_CHECKING:
    from ..optics.psf import PSF

__all__ = ["Simulator"]


class Simulator(nn.Module):
    """Simulates the camera's counts for emitters in a field.

    psf, camera: image and noise model;  field: its pixels must have the PSF's pixel size;  chunk: emitters
    computed at a time, which bounds the memory (None: 128 on a CPU, to stay in its cache; 1024 on a GPU);
    maps: of the camera, for the pixels of the field (None: read from the files that it names).
    Frames show the whole field, or each a part of it (`crops`); positions are measured from the first pixel
    that a frame shows.
    """

    def __init__(
        self, psf: PSF, camera: Camera, field: Field, chunk: int | None = None, maps: Maps | None = None
    ) -> None:
        super().__init__()
        if abs(psf.pixel_um - field.pixel_um) > 1e-6 * field.pixel_um:
            raise ValueError(f"the PSF's pixels are {psf.pixel_um} µm wide, the field's {field.pixel_um} µm")
        self.psf, self.camera, self.field, self.chunk = psf, camera, field, chunk
        for name, values in (camera.load_maps() if maps is None else maps).items():
            self.register_buffer(f"camera_{name}", values, persistent=False)

    @property
    def camera_maps(self) -> dict[str, Tensor]:
        """The camera's complete maps by name; {} if it has none."""
        return {name.removeprefix("camera_"): values for name, values in self.named_buffers(recurse=False)}

    def _maps_of(self, crops: Sequence[Field] | None) -> Maps:
        maps = self.camera_maps
        check_size(maps, self.field.size, "the simulated frames")
        if crops is None:
            return maps
        return {name: crops_of(values, self.field, crops) for name, values in maps.items()}

    def expected(self, emitters: Emitters, background: Tensor, crops: Sequence[Field] | None = None) -> Tensor:
        """Mean photons per pixel.

        emitters: N rows with frames 0 … B−1;  background: (B, H, W) photons;  returns (B, H, W).
        crops: B parts of the field, of one size, that the frames show (None: all of it). The result is
        differentiable with respect to positions, photons, blur, background and all trainable parameters of the
        PSF.
        """
        sizes = {self.field.size} if crops is None else {crop.size for crop in crops}
        if sizes != {tuple(background.shape[1:])}:
            raise ValueError(f"background is {tuple(background.shape[1:])} px, the frames {sizes}")
        if crops is not None and len(crops) != len(background):
            raise ValueError(f"{len(crops)} crops were given for {len(background)} frames")
        if len(emitters) and not 0 <= int(emitters.frame.min()) <= int(emitters.frame.max()) < len(background):
            raise ValueError(
                f"emitters stand in frames {int(emitters.frame.min())} to {int(emitters.frame.max())}, "
                f"the background has frames 0 to {len(background) - 1}"
            )
        if can_compile(self.psf, emitters.xyz, emitters.photons, emitters.blur_px, background):
            shown = self.field if crops is None else [crops[frame] for frame in emitters.frame.tolist()]
            there = psf_in_field(self.psf, shown)
            image, begin = background.clone(), np.zeros((len(background), 2), np.int64)
            drawn = molecules_of(there, emitters.xyz, emitters.photons, emitters.blur_px)
            add_molecules(*drawn, emitters.frame, begin, image)
            return image
        # Every frame gets a border as wide as a patch. Light outside the frame falls there and is cropped,
        # which takes a quarter less time than setting it to 0.
        border = self.psf.patch_px
        height, width = background.shape[1:]
        canvas = torch.zeros(
            (len(background), height + 2 * border, width + 2 * border),
            dtype=torch.promote_types(background.dtype, emitters.xyz.dtype),
            device=background.device,
        )
        chunk = self.chunk or (1024 if emitters.xyz.is_cuda else 128)
        for first in range(0, len(emitters), chunk):
            part = emitters.select(slice(first, first + chunk))
            shown = self.field if crops is None else [crops[frame] for frame in part.frame.tolist()]
            patches = psf_in_field(self.psf, shown)(part.xyz, part.blur_px)
            size = (patches.values.shape[1], patches.values.shape[2])
            places = Assembly(patches.corner + border, part.frame, size, tuple(canvas.shape))
            values = patches.values * part.photons[:, None, None]
            places.add(places.inside(values).to(canvas), into=canvas)
        return background + canvas[:, border : border + height, border : border + width]

    def forward(
        self,
        emitters: Emitters,
        background: Tensor,
        generator: torch.Generator,
        crops: Sequence[Field] | None = None,
    ) -> Tensor:
        """Counts (B, H, W) of one exposure; arguments as for `expected`.

        Raises InputError if the camera's maps are not of the field's size.
        """
        maps = self._maps_of(crops)
        return self.camera.expose(self.expected(emitters, background, crops), generator, maps)

    def to_photons(self, counts: Tensor, crops: Sequence[Field] | None = None) -> Tensor:
        """Convert counts of this camera and field to photons; both (B, H, W);  crops: as in `expected`."""
        return self.camera.to_photons(counts, self._maps_of(crops))
