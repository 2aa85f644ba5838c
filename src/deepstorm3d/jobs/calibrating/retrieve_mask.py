"""Retrieve the phase mask of a microscope from stacks of beads, and show whether it worked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ...calibration import verdict
from ...calibration.field import FieldAberrations, field_aberrations
from ...calibration.gauge import aperture_of, polynomials_of, split_defocus
from ...calibration.images import BeadImages
from ...calibration.misfit import Misfit, misfit
from ...calibration.place_fit import fit_each
from ...calibration.retrieve import Retrieved, Retriever
from ...calibration.travel import travel_for_depths
from ...errors import InputError
from ...optics.blur import sampled_variance
from ...optics.masks import PhaseMask, PixelMask
from ..experiment import Experiment, whole_mask
from .bead_settings import BLUR_OF_MOLECULES, BeadSettings, read_beads
from .bead_stacks import BeadStacks

__all__ = ["BeadSettings", "DefocusGoes", "Retrieval", "retrieve_mask"]

DefocusGoes = Literal["mask", "focus"]


@dataclass(frozen=True)
class Retrieval:
    """The mask found and all that was measured on the way.

    phase: (h, w) rad;  added: of it, over the design;  experiment: with focus and blur as found (its mask is
    set when it is written);  stacks: what was fitted;  found, quality: the fit;  z_error_um, z_sigma_um:
    (N,) of each image localized by itself, and its bound;  field: how the phase differs from bead to bead
    (None: too few beads);  figures: for people and JSON;  warnings: sentences.
    """

    phase: Tensor
    added: Tensor
    experiment: Experiment
    stacks: BeadStacks
    found: Retrieved
    quality: Misfit
    z_error_um: Tensor
    z_sigma_um: Tensor
    field: FieldAberrations | None
    figures: dict[str, Any]
    warnings: tuple[str, ...]


def retrieve_mask(
    experiment: Experiment,
    beads: Sequence[Path],
    settings: BeadSettings,
    *,
    defocus: DefocusGoes = "mask",
    amplitude: bool = False,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Retrieval:
    """Fit the phase of the experiment's microscope to stacks of beads; the experiment's mask is the start.

    defocus: what of the phase is defocus stays in the mask, or becomes the nominal focal plane;
    amplitude: find how the light is spread over the pupil, too (`psf.transmission` of the experiment found).
    Raises InputError for files or positions that do not fit, slices out of order, too few slices, and no bead.
    """
    began = time.monotonic()
    design = whole_mask(experiment)

    def found_from(start: PhaseMask) -> tuple[BeadStacks, Retrieved]:
        stacks = read_beads(experiment, beads, settings, start)
        spec, depth = experiment.psf.with_(aberrations={}), settings.depth_um
        retriever = Retriever(spec, experiment.microscope, start, depth, BLUR_OF_MOLECULES, amplitude=amplitude)
        return stacks, retriever(stacks.images, on_progress)

    stacks, found = found_from(design)
    if found.tried:
        stacks, found = _better(stacks, found, found_from)
    return _judged(experiment, design, stacks, found, settings, defocus, time.monotonic() - began)


def _better(
    stacks: BeadStacks, found: Retrieved, found_from: Callable[[PhaseMask], tuple[BeadStacks, Retrieved]]
) -> tuple[BeadStacks, Retrieved]:
    """A second pass: beads were looked for, and their images cut out, with a PSF that was not theirs."""
    try:
        anew, again = found_from(PixelMask(found.phase))
    except InputError:
        return stacks, found
    if int(again.used.sum()) < int(found.used.sum()) or again.deviance > 1.05 * found.deviance:
        return stacks, found
    return anew, replace(again, first=found.first, tried=found.tried)


def _judged(
    experiment: Experiment,
    design: PhaseMask,
    stacks: BeadStacks,
    found: Retrieved,
    settings: BeadSettings,
    defocus: DefocusGoes,
    seconds: float,
) -> Retrieval:
    images, microscope = stacks.images, experiment.microscope
    quality = misfit(found.psf, images, found.state)
    xyz, sigma = fit_each(found.psf, images, found.state)
    z_error = xyz[:, 2] - found.state.z_um[images.bead]
    without, focus_um = split_defocus(found.phase, design().detach().double(), microscope)
    inside = aperture_of(microscope, found.phase.shape[1])
    aberration = (without - design().detach().double())[inside]
    rms = float(aberration.square().mean().sqrt())
    phase = without if defocus == "focus" else found.phase
    blur = _blur_of_point(float(found.state.blur_px), settings.bead_um, microscope.pixel_um)
    changed = experiment.with_(
        psf=experiment.psf.with_(blur_px=round(blur, 3), aberrations={}, transmission=found.transmission),
        microscope=microscope.with_(
            focus=microscope.focus + (round(focus_um, 4) if defocus == "focus" else 0.0)
        ),
    )
    field = field_aberrations(
        changed.psf,
        microscope,
        found.phase,
        images.select(found.used),
        found.state.select(found.used),
        torch.tensor([[place.column, place.row] for place in stacks.places]),
        stacks.size_px,
    )
    needed = travel_for_depths(microscope, experiment.z_um, settings.depth_um, settings.moves)
    drift = _drift(found, images)
    added = phase - design().detach().double()
    figures = {
        "beads": len(stacks.places),
        "images": len(images),
        "images_used": int(found.used.sum()),
        "side_px": images.side,
        "seconds": round(seconds, 1),
        "deviance_over_noise": found.deviance,
        "correlation": _weighted(quality.correlation, quality, found.used),
        "unexplained_share": _weighted(quality.share_each, quality, found.used),
        "correlation_of_design": found.first.correlation,
        "phase_over_design_rad_rms": rms,
        "phase_over_design_nm_rms": 1000 * rms * microscope.wavelength / (2 * torch.pi),
        "defocus_over_design_um": focus_um,
        "focus_um": changed.microscope.focus,
        "transmission_ln_rms": {str(noll): value for noll, value in found.transmission.items()},
        "bead_blur_px": float(found.state.blur_px),
        "point_blur_px": blur,
        "bead_z_um": found.state.z_um.tolist(),
        "drift_um": drift,
        "z_bias_nm": 1000 * float(_mean_by_position(z_error, sigma[:, 2], images, found.used).abs().mean()),
        "z_scatter_over_bound": float((z_error / sigma[:, 2])[found.used].std()),
        "z_bound_nm": 1000 * float(sigma[found.used, 2].square().mean().sqrt()),
        "positions_for_all_depths_um": list(needed),
        "starts_tried": found.tried,
        "zernike_over_design_rad_rms": {str(k): v for k, v in polynomials_of(added, microscope).items()},
        "field": None if field is None else _field_figures(field),
        "slices": _slices(stacks, found, quality, z_error),
    }
    warnings = [*stacks.warnings, *_warnings(experiment, stacks, found, figures, needed)]
    if field is not None:
        warnings += verdict.about_field(field.scatter_rad, microscope.wavelength)
    return Retrieval(
        phase, added, changed, stacks, found, quality, z_error, sigma[:, 2], field, figures, tuple(warnings)
    )


def _field_figures(field: FieldAberrations) -> dict[str, Any]:
    """For JSON: rad rms of each Noll index, a row for each bead, and the planes through them."""
    return {
        "noll": list(field.indices),
        "differ_by_rad_rms": field.scatter_rad,
        "chi_square_of_no_difference": field.excess,
        "planes_rad_rms": field.planes_rad,
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


def _warnings(
    experiment: Experiment,
    stacks: BeadStacks,
    found: Retrieved,
    figures: dict[str, Any],
    needed: tuple[float, float],
) -> list[str]:
    images = stacks.images
    position = images.position_um
    out = [
        f"bead at column {place.column}, row {place.row}"
        for number, place in enumerate(stacks.places)
        if not bool(found.used[images.bead == number].any())
    ]
    kept = position[found.used]
    planes = len(images.plane.unique())
    return [
        *verdict.about_start(found.first, found.tried),
        *verdict.about_images(int(found.used.sum()), len(images), out),
        *verdict.about_fit(found.deviance, figures["unexplained_share"]),
        *verdict.about_slices(figures["z_bias_nm"], figures["z_scatter_over_bound"]),
        *verdict.about_phase(figures["phase_over_design_rad_rms"], experiment.microscope.wavelength),
        *verdict.about_positions(planes, position.tolist(), *needed),
        *verdict.about_depths(
            (float(kept.min()), float(kept.max())), needed, experiment.z_um, stacks.images.moves
        ),
        *verdict.about_drift(figures["drift_um"]),
    ]


def _blur_of_point(blur_px: float, bead_um: float, pixel_um: float) -> float:
    """Gaussian σ of a point, px: what the blur of a bead holds beyond the projection of a ball (d²/20)."""
    added = float(sampled_variance(torch.tensor([blur_px], dtype=torch.float64))[0])
    return max(0.0, added - bead_um**2 / 20 / pixel_um**2) ** 0.5


def _drift(found: Retrieved, images: BeadImages) -> float:
    """Largest distance of a slice's beads from where they are on average, µm."""
    rows = found.used
    centre = torch.stack([found.state.xy[rows & (images.bead == bead)].mean(0) for bead in range(images.beads)])
    away = (found.state.xy - centre[images.bead])[rows]
    plane = images.plane[rows]
    count = torch.bincount(plane).clamp(min=1)
    mean = torch.zeros(len(count), 2).index_add_(0, plane, away) / count[:, None]
    return float(mean.norm(dim=1).max())


def _weighted(values: Tensor, quality: Misfit, used: Tensor) -> float:
    """Mean over the images used, each with the weight of its signal: a dim bead has little to say."""
    weight = 1 / quality.share_sigma[used]
    return float((values[used] * weight).sum() / weight.sum())


def _mean_by_position(values: Tensor, sigma: Tensor, images: BeadImages, used: Tensor) -> Tensor:
    """Mean of the beads at each slice, each with the weight of its precision."""
    plane, weight = images.plane[used], sigma[used].square().reciprocal()
    zero = torch.zeros(int(plane.max()) + 1)
    total = zero.index_add(0, plane, weight)
    return (zero.index_add(0, plane, values[used] * weight) / total)[total > 0]


def _slices(stacks: BeadStacks, found: Retrieved, quality: Misfit, z_error: Tensor) -> list[dict[str, Any]]:
    """One record for each image."""
    images = stacks.images
    columns = zip(
        images.bead.tolist(),
        images.plane.tolist(),
        images.position_um.tolist(),
        found.used.tolist(),
        quality.correlation.tolist(),
        quality.deviance_each.tolist(),
        found.state.photons.tolist(),
        found.state.background[:, 0].tolist(),
        z_error.tolist(),
        strict=True,
    )
    return [
        {
            "bead": bead,
            "slice": plane,
            "position_um": round(position, 5),
            "used": used,
            "correlation": round(correlation, 5),
            "deviance_over_noise": round(deviance, 4),
            "photons": round(photons, 1),
            "background": round(background, 3),
            "z_error_nm": round(1000 * error, 2),
        }
        for bead, plane, position, used, correlation, deviance, photons, background, error in columns
    ]
