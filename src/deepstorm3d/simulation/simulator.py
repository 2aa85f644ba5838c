"""The image model: emitters through the PSF onto a background, and through the camera to counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..camera import Camera, crop_maps, load_maps
from ..emitters import Emitters
from .field import Field

if TYPE_CHECKING:
    from ..optics.psf import PSF

__all__ = ["Simulator", "add_patches"]


class Simulator(nn.Module):
    """What the camera sees of emitters in a field.

    psf, camera: as given;  field: whose pixels must have the PSF's size;  chunk: emitters computed
    at a time, which bounds the memory.  Maps of a camera larger than the field are cut to its middle.
    """

    def __init__(self, psf: PSF, camera: Camera, field: Field, chunk: int = 512) -> None:
        super().__init__()
        if abs(psf.pixel_um - field.pixel_um) > 1e-6 * field.pixel_um:
            raise ValueError(f"the PSF's pixels are {psf.pixel_um} µm wide, the field's {field.pixel_um} µm")
        self.psf, self.camera, self.field, self.chunk = psf, camera, field, chunk
        for name, values in crop_maps(load_maps(camera), *field.size).items():
            self.register_buffer(f"camera_{name}", values, persistent=False)

    @property
    def camera_maps(self) -> dict[str, Tensor]:
        """The camera's maps for the pixels of the field, by name; {} where it has none."""
        return {name.removeprefix("camera_"): values for name, values in self.named_buffers(recurse=False)}

    def expected(self, emitters: Emitters, background: Tensor) -> Tensor:
        """Mean photons per pixel.

        emitters: N rows with frames 0 … B−1;  background: (B, H, W) photons;  returns (B, H, W).
        Differentiable in positions, photons, blur, background and all that the PSF learns.
        """
        if background.shape[1:] != self.field.size:
            raise ValueError(f"background is {tuple(background.shape[1:])} px, the field {self.field.size}")
        image = torch.zeros_like(background)
        for rows in torch.arange(len(emitters), device=emitters.frame.device).split(self.chunk):
            part = emitters.select(rows)
            patches = self.psf(part.xyz, part.blur_px)
            values = patches.values * part.photons[:, None, None]
            image = image + add_patches(values, patches.corner, part.frame, tuple(background.shape))
        return image + background

    def forward(self, emitters: Emitters, background: Tensor, generator: torch.Generator) -> Tensor:
        """Counts (B, H, W) of one exposure; arguments as for `expected`."""
        return self.camera.expose(self.expected(emitters, background), generator, self.camera_maps)

    def to_photons(self, counts: Tensor) -> Tensor:
        """Photons that counts of this camera and field stand for; both (B, H, W)."""
        return self.camera.to_photons(counts, self.camera_maps)


def add_patches(values: Tensor, corner: Tensor, frame: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Small images summed into frames at their places; what falls outside a frame is cut off.

    values: (N, h, w);  corner: (N, 2) int64 px, x and y of each first pixel;  frame: (N,) int64;
    shape: (B, H, W);  returns (B, H, W).
    """
    frames, height, width = shape
    _, h, w = values.shape
    # Every frame gets a border as wide as a patch: what hangs over lands there and is cropped.
    rows, columns = height + 2 * h, width + 2 * w
    x = corner[:, 0].clamp(-w, width) + w
    y = corner[:, 1].clamp(-h, height) + h
    first = (frame * rows + y) * columns + x
    inside = torch.arange(h, device=values.device)[:, None] * columns + torch.arange(w, device=values.device)
    where = (first[:, None] + inside.flatten()).flatten()
    flat = values.new_zeros(frames * rows * columns).index_add(0, where, values.flatten())
    return flat.view(frames, rows, columns)[:, h : h + height, w : w + width]
