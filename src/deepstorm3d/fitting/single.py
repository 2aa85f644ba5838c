"""Single-emitter maximum-likelihood fits, for beads and sparse frames: find spots, fit each one alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from ..emitters import Localizations
from ..field import Field
from ..optics.psf import PSF, psf_in_field
from ..watch import SILENT, Watcher
from .information import joint_bounds
from .likelihood import Likelihood
from .linear import LinearImage
from .photometry import fit_photometry
from .refine import Bounds, Effort
from .rivals import outdone
from .search import Candidates, MatchedFilter, gain_threshold
from .windows import WindowFit, Windows

__all__ = ["SingleFit"]

_SAME_UM = 0.1  # two fits closer than this found the same molecule, µm
_PLACE_PX = 11  # side of a place whose mean says how dark it is, pixels; odd
_PLACE_USED = 0.5  # fraction of a place's pixels that must be usable
_DARKEST = 0.7  # part of the darkest mean around a pixel that its background has at least
_LEAST_PHOTONS = 0.02  # of a background at which a search or a fit begins, photons a pixel


@dataclass(frozen=True)
class SingleFit:
    """Finds spots by a matched filter over depth and fits each in its own window, as if it were alone.

    This is the classical method (Mortensen et al. 2010; Smith et al. 2010), exact if spots do not overlap.

    psf: its patch is the window;  bounds: allowed range of the unknowns;  z_um: depths to search;
    apart_px: smallest distance of two spots (None: half a window, to ignore the side lobes of a spot);
    false_alarms: fraction of frames of pure noise with one detection;  field_px: as of `JointFit`;
    watch: see `Effort`.
    """

    psf: PSF
    bounds: Bounds
    z_um: tuple[float, float]
    apart_px: int | None = None
    false_alarms: float = 1e-3
    field_px: tuple[int, int] | None = None
    watch: Watcher = SILENT

    def in_field(self, field: Field, whole: Field) -> SingleFit:
        """The same fit for frames that show a part of the whole field that is searched."""
        return replace(self, psf=psf_in_field(self.psf, field), field_px=whole.size)

    @torch.no_grad()
    def __call__(self, likelihood: Likelihood) -> Localizations:
        """Localizations of B frames, each with its σ (``sigma_source = fit``) and its deviance per pixel."""
        found = self._candidates(likelihood)
        windows = Windows.around(found.xyz, found.frame, likelihood, self.psf)
        light, xyz = windows.likelihood, found.xyz
        pixels = light.pixels.clamp(min=1)
        fit = WindowFit(self.psf, self.bounds, Effort(watch=self.watch))
        # A pixel that is expected to be dark outweighs all others once it has counted a photon.
        level = (light.frames.flatten(1).quantile(0.25, 1) if len(xyz) else pixels).clamp(min=_LEAST_PHOTONS)
        fitted = fit(windows, xyz[:, None], found.photons[:, None], level)
        image = LinearImage(self.psf, fitted.state, fit.surface(xyz), tuple(light.frames.shape))
        sigma, sigma_background = joint_bounds(image, light.information(image.image))
        table = Localizations(
            xyz=fitted.state.xyz,
            frame=found.frame,
            photons=fitted.state.photons,
            background=fitted.state.coefficients[:, 0, 0].clamp(min=0),
            probability=torch.full_like(fitted.state.photons, 1 - self.false_alarms),
            sigma_xyz=self.bounds.stated(fitted.state.xyz, sigma),
            sigma_photons=sigma[:, 3],
            sigma_background=sigma_background,
            fit_quality=(fitted.deviance / pixels).to(xyz),
            sigma_source="fit",
        )
        # Structured background can pass the search, but fails this test: each window has its own background.
        least = gain_threshold(self._search(likelihood.frames).positions, self.false_alarms)
        significant = table.photons.square() > least * table.sigma_photons.square()
        return table.select(_without_duplicates(table) & significant).sort()

    def _search(self, frames: Tensor) -> MatchedFilter:
        size = (frames.shape[1], frames.shape[2])
        return MatchedFilter(self.psf, self.z_um, size, frames, field_px=self.field_px)

    def _candidates(self, likelihood: Likelihood) -> Candidates:
        """Spots that stand out from the smooth background of their frame."""
        frames = likelihood.frames
        nobody = frames.new_zeros(0, 3)
        flat = fit_photometry(
            self.psf,
            nobody,
            torch.zeros(0, dtype=torch.int64, device=frames.device),
            frames,
            weight=likelihood.weight,
            noise=likelihood.noise,
        ).model
        flat = torch.maximum(flat, _dimmest_around(likelihood, 2 * (self.psf.patch_px // 2) + 1))
        search = self._search(frames)
        least = gain_threshold(search.positions, self.false_alarms)
        return search.search(
            likelihood.score(flat),
            likelihood.information(flat),
            frames.new_full((len(frames),), least),
            apart_px=self.psf.patch_px // 2 if self.apart_px is None else self.apart_px,
            most=frames.shape[1] * frames.shape[2],
        )


def _dimmest_around(likelihood: Likelihood, across_px: int) -> Tensor:
    """Below what the background at each pixel cannot be, photons (B, H, W): most of the darkest place near it.

    A smooth surface fitted to frames with molecules swings, and in dim frames below 0 beside them: a photon
    there would seem to be a molecule.  across_px: side of the square in which the darkest place is looked for,
    odd.
    """
    frames, weight = likelihood.frames[:, None], likelihood.weight
    weight = torch.ones_like(frames) if weight is None else weight[:, None]
    seen, used = (avg_pool2d(each, _PLACE_PX, 1, _PLACE_PX // 2) for each in (frames * weight, weight))
    # Less is known of a place at the edge, which has fewer pixels.
    dark = torch.where(used > _PLACE_USED, -seen / used.clamp(min=_PLACE_USED), -torch.inf)
    for size in ((across_px, 1), (1, across_px)):
        dark = max_pool2d(dark, size, 1, (size[0] // 2, size[1] // 2))
    return (-_DARKEST * dark[:, 0]).nan_to_num(posinf=0).clamp(min=_LEAST_PHOTONS)


def _without_duplicates(table: Localizations) -> Tensor:
    """Rows to keep, (N,) bool: of several fits that ended at the same position only the brightest."""
    return ~outdone(table.xyz, table.frame, table.photons, torch.full_like(table.photons, _SAME_UM))
