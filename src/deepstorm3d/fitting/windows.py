"""Fits of one or a few molecules in their own window, with the rest of the frame unchanged."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..noise import Noise
from ..optics.assembly import Assembly
from ..optics.psf import PSF
from .background import SplineBackground
from .likelihood import Likelihood
from .refine import Bounds, Effort, Refined, refine
from .state import JointState

__all__ = ["WindowFit", "Windows"]


@dataclass(frozen=True)
class Windows:
    """Squares cut out of frames, each fitted like a separate frame.

    corner: (M, 2) px, column and row of the first pixel of each;  likelihood: of the M squares.
    """

    corner: Tensor
    likelihood: Likelihood

    @classmethod
    def around(
        cls, xyz: Tensor, frame: Tensor, likelihood: Likelihood, psf: PSF, known: Tensor | None = None
    ) -> Windows:
        """Squares of the size of the PSF's patch around positions (M, 3) µm in frames (M,).

        known: (B, H, W) photons that are already explained. Pixels outside the frame are excluded.
        """
        side = psf.patch_px
        corner = (xyz[:, :2] / psf.pixel_um).round().long() - side // 2
        return cls.at(corner, frame, (side, side), likelihood, known)

    @classmethod
    def at(
        cls,
        corner: Tensor,
        frame: Tensor,
        size: tuple[int, int],
        likelihood: Likelihood,
        known: Tensor | None = None,
    ) -> Windows:
        """Windows of a size (h, w) px with their first pixels (M, 2) at columns and rows of frames (M,)."""
        places = Assembly(corner, frame, size, tuple(likelihood.frames.shape))
        weight = likelihood.weight
        if weight is None and not places.is_inside:
            weight = torch.ones_like(likelihood.frames)
        noise, read = likelihood.noise, likelihood.noise.read_variance
        if isinstance(read, Tensor) and read.dim() >= 2:
            noise = Noise(noise.excess, places.cut(read.expand_as(likelihood.frames).contiguous()))
        squares = Likelihood(
            places.cut(likelihood.frames),
            noise,
            None if weight is None else places.inside(places.cut(weight)),
            None if known is None else places.cut(known),
        )
        return cls(corner, squares)

    def select(self, rows: Tensor) -> Windows:
        """Select windows, also repeatedly;  rows: index (K,)."""
        return Windows(self.corner[rows], self.likelihood.select(rows))

    def without(self, light: Tensor) -> Windows:
        """Subtract from the known photons those that are to be fitted again: light, (M, h, w)."""
        now = self.likelihood
        if now.known is None:
            raise ValueError("no light is known in these windows")
        known = now.known - light
        return Windows(self.corner, Likelihood(now.frames, now.noise, now.weight, known))


@dataclass(frozen=True)
class WindowFit:
    """Fits m molecules and a constant background in each window.

    psf: its patch is the window;  bounds: allowed range of the unknowns;  effort: see `refine`.
    """

    psf: PSF
    bounds: Bounds
    effort: Effort = field(default_factory=Effort)

    def __call__(
        self,
        windows: Windows,
        xyz: Tensor,
        photons: Tensor,
        level: Tensor | None = None,
        blur_px: Tensor | None = None,
    ) -> Refined:
        """Fit all windows from an initial guess.

        xyz: (M, m, 3) µm in the windows' frames;  photons, blur_px: (M, m);  level: (M,) photons per pixel.
        Returns the fit with positions in the windows' frames and rows in the given order.
        """
        count, each = photons.shape
        start = JointState(
            xyz=xyz.flatten(0, 1),
            photons=photons.flatten().clamp(min=self.bounds.photons),
            frame=torch.arange(count, device=xyz.device).repeat_interleave(each),
            coefficients=(xyz.new_zeros(count) if level is None else level)[:, None, None],
            blur_px=None if blur_px is None else blur_px.flatten(),
            begin_px=windows.corner,
        )
        return refine(self.psf, start, windows.likelihood, self.surface(xyz), self.bounds, self.effort)

    def surface(self, like: Tensor) -> SplineBackground:
        """The background model of a window: one constant level."""
        return SplineBackground.shared((self.psf.patch_px, self.psf.patch_px), float("inf"), like)
