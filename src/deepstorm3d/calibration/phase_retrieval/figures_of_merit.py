"""Agreement of a retrieved phase with its beads: for each image, and as figures for the user and for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...brief import Brief
from ...optics.microscope import Microscope
from ..beads.bleaching import median_fall
from ..beads.images import BeadImages
from ..beads.stacks import BeadStacks
from .degeneracies import aperture_of, polynomials_of
from .field_aberrations import FieldAberrations
from .position_fit import fit_each
from .residuals import Misfit, misfit, of_all_power
from .retriever import Retrieved

__all__ = [
    "JudgedFit",
    "agreement",
    "field_figures",
    "fit_figures",
    "judge_fit",
    "phase_figures",
    "slice_figures",
]


@dataclass(frozen=True, repr=False)
class JudgedFit(Brief):
    """A fit and its agreement with each image.

    stacks: the beads;  found: the fit;  quality: of each image;  z_error_um, z_sigma_um: (N,) error of
    localizing each image by itself with the retrieved phase, and its bound.
    """

    stacks: BeadStacks
    found: Retrieved
    quality: Misfit
    z_error_um: Tensor
    z_sigma_um: Tensor

    @property
    def images(self) -> BeadImages:
        """Images of all beads."""
        return self.stacks.images

    def weighted(self, values: Tensor) -> float:
        """Mean over the images used, weighted by their signal, because a dim bead has little information."""
        weight = 1 / self.quality.share_sigma[self.found.used]
        return float((values[self.found.used] * weight).sum() / weight.sum())

    def by_slice(self, values: Tensor) -> Tensor:
        """Mean of the beads used in each slice, weighted by their precision: (slices seen,)."""
        used = self.found.used
        plane, weight = self.images.plane[used], self.z_sigma_um[used].square().reciprocal()
        zero = torch.zeros(self.images.planes)
        total = zero.index_add(0, plane, weight)
        return (zero.index_add(0, plane, values[used] * weight) / total)[total > 0]

    def drift_um(self) -> float:
        """Largest distance of the beads of a slice from their mean position."""
        images, xy, rows = self.images, self.found.state.xy, self.found.used
        centre = torch.stack([xy[rows & (images.bead == bead)].mean(0) for bead in range(images.beads)])
        away, plane = (xy - centre[images.bead])[rows], images.plane[rows]
        count = torch.bincount(plane).clamp(min=1)
        mean = torch.zeros(len(count), 2).index_add_(0, plane, away) / count[:, None]
        return float(mean.norm(dim=1).max())

    def light_falls_by(self) -> float:
        """Median fraction of its light that a bead loses from the first slice to the last, 0 to 1."""
        images, photons = self.images, self.found.state.photons.double()
        return median_fall([photons[self._rows(bead)] for bead in range(images.beads)])

    def _rows(self, bead: int) -> Tensor:
        """Images used of a bead, in order of acquisition."""
        rows = (self.found.used & (self.images.bead == bead)).nonzero()[:, 0]
        return rows[self.images.plane[rows].argsort()]

    def steps_found(self) -> tuple[float, float]:
        """Ratio of fitted to nominal step, and deviation of the slices from equal steps, µm rms."""
        images = self.images
        seen = images.plane[self.found.used].unique()
        said, off = images.nominal_um()[seen].double(), self.found.state.offset_um[seen].double()
        slope, level = np.polyfit(said.numpy(), off.numpy(), 1)
        return 1.0 + float(slope), float((off - slope * said - level).square().mean().sqrt())


def agreement(figures: dict[str, Any]) -> str:
    """Agreement with the images in words: relative to their noise where it is known, else the residual."""
    told = (
        f"deviance {figures['deviance_over_noise']:.3f} of what noise gives, "
        f"{100 * figures['unexplained_share']:.2f} % of the signal unexplained"
    )
    if figures["noise"] != "camera":
        told = f"{100 * figures['left_rms']:.1f} % of the signal left (rms, noise included)"
    alone = f"design alone {figures['correlation_of_design']:.2f}"
    return f"correlation {figures['correlation']:.4f} ({alone}), {told}"


def judge_fit(stacks: BeadStacks, found: Retrieved) -> JudgedFit:
    """Compare each image with its model, and localize it by itself."""
    images = stacks.images
    xyz, sigma = fit_each(found.psf, images, found.state)
    z_error = xyz[:, 2] - found.state.z_um[images.bead]
    return JudgedFit(stacks, found, misfit(found.psf, images, found.state), z_error, sigma[:, 2])


def fit_figures(fit: JudgedFit) -> dict[str, Any]:
    """Figures of the beads and of all fitted values but the phase."""
    found, images, used = fit.found, fit.images, fit.found.used
    stretch, uneven_um = fit.steps_found()
    return {
        "beads": len(fit.stacks.places),
        "images": len(images),
        "images_used": int(used.sum()),
        "side_px": images.side,
        "deviance_over_noise": found.deviance,
        "correlation": fit.weighted(fit.quality.correlation),
        "unexplained_share": of_all_power(fit.weighted(fit.quality.share_each)),
        "left_rms": fit.weighted(fit.quality.left_each),
        "noise": fit.stacks.noise,
        "light_falls_by": fit.light_falls_by(),
        "correlation_of_design": found.first.correlation,
        "transmission_ln_rms": {str(noll): value for noll, value in found.transmission.items()},
        "bead_blur_px": float(found.state.blur_px),
        "bead_z_um": found.state.z_um.tolist(),
        "drift_um": fit.drift_um(),
        "steps_over_said": stretch,
        "steps_uneven_um_rms": uneven_um,
        "z_bias_nm": 1000 * float(fit.by_slice(fit.z_error_um).abs().mean()),
        "z_scatter_over_bound": float((fit.z_error_um / fit.z_sigma_um)[used].std()),
        "z_bound_nm": 1000 * float(fit.z_sigma_um[used].square().mean().sqrt()),
        "starts_tried": found.tried,
        "positions_reversed": found.first.backwards,
    }


def phase_figures(microscope: Microscope, aberration: Tensor, added: Tensor) -> dict[str, Any]:
    """aberration: (h, w) rad relative to the design without defocus;  added: difference of mask and design."""
    rms = float(aberration[aperture_of(microscope, aberration.shape[1])].square().mean().sqrt())
    return {
        "phase_over_design_rad_rms": rms,
        "phase_over_design_nm_rms": 1000 * rms * microscope.wavelength / (2 * torch.pi),
        "zernike_over_design_rad_rms": {str(k): v for k, v in polynomials_of(added, microscope).items()},
    }


def field_figures(field: FieldAberrations) -> dict[str, Any]:
    """rad rms of each Noll index, a row for each bead, and the planes through them."""
    return {
        "noll": list(field.indices),
        "differ_by_rad_rms": field.scatter_rad,
        "chi_square_of_no_difference": field.excess,
        "planes_rad_rms": field.planes_rad,
        "left_by_planes_rad_rms": field.left_rad,
        "beads": [
            {"bead": bead, "column": column, "row": row, "rad": values, "sigma": sigma}
            for bead, (column, row), values, sigma in zip(
                field.beads.tolist(),
                field.place_px.tolist(),
                field.values.tolist(),
                field.sigma.tolist(),
                strict=True,
            )
        ],
        "middle_rad": field.plane[0].tolist(),
        "left_to_right_rad": field.plane[1].tolist(),
        "top_to_bottom_rad": field.plane[2].tolist(),
        "sigma_of_these": field.plane_sigma.tolist(),
    }


def slice_figures(fit: JudgedFit) -> list[dict[str, Any]]:
    """One record for each image; the slice counts from 0 in the bead's own stack."""
    images, state = fit.images, fit.found.state
    first = [int(images.plane[images.bead == bead].min()) for bead in range(images.beads)]
    columns = zip(
        images.bead.tolist(),
        images.plane.tolist(),
        images.position_um.tolist(),
        state.offset_um[images.plane].tolist(),
        fit.found.used.tolist(),
        fit.quality.correlation.tolist(),
        fit.quality.deviance_each.tolist(),
        state.photons.tolist(),
        state.background[:, 0].tolist(),
        fit.z_error_um.tolist(),
        strict=True,
    )
    return [
        {
            "bead": bead,
            "slice": plane - first[bead],
            "position_um": round(position, 5),
            "position_found_um": round(position + offset, 5),
            "used": used,
            "correlation": round(correlation, 5),
            "deviance_over_noise": round(deviance, 4),
            "photons": round(photons, 1),
            "background": round(background, 3),
            "z_error_nm": round(1000 * error, 2),
        }
        for (
            bead,
            plane,
            position,
            offset,
            used,
            correlation,
            deviance,
            photons,
            background,
            error,
        ) in columns
    ]
