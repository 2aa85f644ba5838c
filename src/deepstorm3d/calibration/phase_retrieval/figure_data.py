"""What the picture of a mask retrieval shows, as plain arrays, and how they follow from its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .degeneracies import aperture_of
from .figures_of_merit import agreement

if TYPE_CHECKING:
    from .retrieval import Retrieval

__all__ = ["RetrievalPicture", "picture_of"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class RetrievalPicture:
    """Data of the picture.

    measured, modelled, noise: (S, h, w) slices of one bead, photons, and the σ of their noise, in order of
    position;  position_um: (S,);  bead: (N,) bead of each image, with position_each (N,) µm, correlation (N,),
    deviance (N,) over its expectation, z_error_nm (N,) of localizing each, z_sigma_nm (N,) the bound,
    used (N,);  phase: (K, K) rad, NaN outside the aperture;  added: its difference from the design;
    axis_mm: edge of both from the optical axis;  pixel_um: of a slice, in the sample;  along: name of the
    positions;  title: above all.
    """

    measured: Floats
    modelled: Floats
    noise: Floats
    position_um: Floats
    bead: NDArray[np.integer[Any]]
    position_each: Floats
    correlation: Floats
    deviance: Floats
    z_error_nm: Floats
    z_sigma_nm: Floats
    used: NDArray[np.bool_]
    phase: Floats
    added: Floats
    axis_mm: float
    pixel_um: float
    along: str
    title: str = ""


def picture_of(result: Retrieval) -> RetrievalPicture:
    """The data of the picture, as arrays."""
    fit = result.fit
    images, found = fit.images, fit.found
    totals = [
        float(found.state.photons[found.used & (images.bead == bead)].sum()) for bead in range(images.beads)
    ]
    rows = (images.bead == max(range(images.beads), key=totals.__getitem__)).nonzero()[:, 0]
    rows = rows[torch.argsort(images.position_um[rows], stable=True)]
    light, models = images.likelihood.select(rows), fit.quality.models[rows]
    weight = 1.0 if light.weight is None else light.weight
    noise = light.information(models).clamp(min=1e-9).rsqrt()
    measured = light.frames * weight + models * (1 - weight)
    microscope = result.experiment.microscope
    pixels = found.phase.shape[1]
    inside = aperture_of(microscope, pixels)
    cut = max(0, (pixels - microscope.mask_px) // 2)
    middle = slice(cut, pixels - cut)
    nothing = torch.full_like(result.phase, torch.nan)

    def shown(phase: Tensor) -> Any:
        level = phase[inside].mean()
        return torch.where(inside, phase - level, nothing)[middle, middle].numpy()

    return RetrievalPicture(
        measured=measured.numpy(),
        modelled=models.numpy(),
        noise=noise.numpy(),
        position_um=images.position_um[rows].numpy(),
        bead=images.bead.numpy(),
        position_each=images.position_um.numpy(),
        correlation=fit.quality.correlation.numpy(),
        deviance=fit.quality.deviance_each.numpy(),
        z_error_nm=1000 * fit.z_error_um.numpy(),
        z_sigma_nm=1000 * fit.z_sigma_um.numpy(),
        used=found.used.numpy(),
        phase=shown(result.phase),
        added=shown(result.added),
        axis_mm=(pixels - 2 * cut) * microscope.mask_pitch / 2000,
        pixel_um=microscope.pixel_um,
        along="focus" if images.moves == "objective" else "depth",
        title=_title(result),
    )


def _title(result: Retrieval) -> str:
    f = result.figures
    return (
        f"{result.experiment.name}: {f['beads']} beads, {f['images_used']} of {f['images']} images; "
        f"{agreement(f)}; "
        f"phase {f['phase_over_design_nm_rms']:.0f} nm rms over the design"
    )
