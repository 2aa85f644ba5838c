"""The image model: emitters through the PSF onto a background, and through the camera to counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..camera import Camera
from ..chip import Maps, check_size, places_of
from ..emitters import Emitters
from ..field import Field
from ..optics.assembly import Assembly
from ..optics.moved import patches_in_part

if TYPE_CHECKING:
    from ..optics.psf import PSF

__all__ = ["Simulator"]


class Simulator(nn.Module):
    """Simulates the camera's counts for emitters in a field.

    psf, camera: image and noise model;  field: its pixels must have the PSF's pixel size;  chunk: emitters
    computed at a time, which bounds the memory (None: 128 on a CPU, to stay in its cache; 1024 on a GPU);
    maps: of the camera (None: read from the files that it names). The maps have the field's size or are
    larger; then `chip_px` gives the position of each frame on them.
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

    @property
    def chip_size(self) -> tuple[int, int] | None:
        """Height and width of the camera's maps, px; None if it has none."""
        for values in self.camera_maps.values():
            return values.shape[0], values.shape[1]
        return None

    def _maps_at(self, chip_px: Tensor | None) -> Maps:
        if chip_px is not None:
            return places_of(self.camera_maps, chip_px, *self.field.size)
        check_size(self.camera_maps, self.field.size, "the simulated frames")
        return self.camera_maps

    def expected(self, emitters: Emitters, background: Tensor, begin_px: Tensor | None = None) -> Tensor:
        """Mean photons per pixel.

        emitters: N rows with frames 0 … B−1;  background: (B, H, W) photons;  returns (B, H, W).
        begin_px: (B, 2) int64, column and row of each frame's first pixel in the PSF's field (None: the field's
        first pixel), for a PSF that varies over the field; positions are still measured from the frame's own
        first pixel. The result is differentiable with respect to positions, photons, blur, background and all
        trainable parameters of the PSF.
        """
        if background.shape[1:] != self.field.size:
            raise ValueError(f"background is {tuple(background.shape[1:])} px, the field {self.field.size}")
        if len(emitters) and not 0 <= int(emitters.frame.min()) <= int(emitters.frame.max()) < len(background):
            raise ValueError(
                f"emitters stand in frames {int(emitters.frame.min())} to {int(emitters.frame.max())}, "
                f"the background has frames 0 to {len(background) - 1}"
            )
        # Every frame gets a border as wide as a patch. Light outside the frame falls there and is cropped,
        # which takes a quarter less time than setting it to 0.
        border = self.psf.patch_px
        height, width = self.field.size
        canvas = torch.zeros(
            (len(background), height + 2 * border, width + 2 * border),
            dtype=torch.promote_types(background.dtype, emitters.xyz.dtype),
            device=background.device,
        )
        chunk = self.chunk or (1024 if emitters.xyz.is_cuda else 128)
        for first in range(0, len(emitters), chunk):
            part = emitters.select(slice(first, first + chunk))
            begin = None if begin_px is None else begin_px[part.frame]
            patches = patches_in_part(self.psf, part.xyz, part.blur_px, begin)
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
        begin_px: Tensor | None = None,
        chip_px: Tensor | None = None,
    ) -> Tensor:
        """Counts (B, H, W) of one exposure; arguments as for `expected`.

        chip_px: (B, 2) int64, column and row of each frame's first pixel on the camera's maps (None: the maps
        have the field's size).  Raises InputError if their size does not fit.
        """
        maps = self._maps_at(chip_px)
        return self.camera.expose(self.expected(emitters, background, begin_px), generator, maps)

    def to_photons(self, counts: Tensor, chip_px: Tensor | None = None) -> Tensor:
        """Convert counts of this camera and field to photons; both (B, H, W);  chip_px: as in `forward`."""
        return self.camera.to_photons(counts, self._maps_at(chip_px))
