"""Retrieve the phase mask of a microscope from stacks of beads, and show whether it worked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ...brief import Brief
from ...errors import InputError
from ...experiment.experiment import Experiment
from ...experiment.optics import whole_mask
from ...io.movies import Movie
from ...optics.blur import sampled_variance
from ...optics.computed import computed_psf
from ...optics.field_aberrations import FieldSpec
from ...optics.masks import PhaseMask, PixelMask
from ...watch import SILENT, Watcher
from ..beads.reading import read_beads
from ..beads.settings import BLUR_OF_MOLECULES, BeadSettings
from ..beads.stacks import BeadStacks
from ..beads.stage_range import travel_for_depths
from . import warnings as sentences
from .degeneracies import split_defocus
from .field_aberrations import FieldAberrations, field_aberrations
from .figures_of_merit import (
    JudgedFit,
    field_figures,
    fit_figures,
    judge_fit,
    phase_figures,
    slice_figures,
)
from .mask_offset import MaskOffset, fit_mask_offset
from .retriever import Retrieved, Retriever

__all__ = ["BeadSettings", "DefocusGoes", "Retrieval", "Unknowns", "retrieve_mask"]

DefocusGoes = Literal["mask", "focus"]

# Samples of the pupil for each mask pixel and axis in the retrieved experiment. The fit uses the sampling of
# the given experiment: the phase hardly depends on it, but with one sample localized depths have errors of up
# to 8 nm at the ends of 4 µm.
_SAMPLING = 2
# Most fits of the phase with an offset of the mask.
_OFFSET_PASSES = 3
# Relative change of the offset below which it has converged.
_STAYS = 0.01


@dataclass(frozen=True)
class Unknowns:
    """What is found besides the phase.

    defocus: what of the phase is defocus stays in the mask, or becomes the nominal focal plane;
    amplitude: how the light is spread over the pupil, too (`psf.transmission` of the experiment found);
    positions: where the slices are, too, all but their zero; the settings say where to begin.
    """

    defocus: DefocusGoes = "mask"
    amplitude: bool = False
    positions: bool = False


@dataclass(frozen=True, repr=False)
class Retrieval(Brief):
    """The retrieved mask and the measurements made with it.

    phase: (h, w) rad;  added: its difference from the design;  experiment: with the fitted focus and blur (its
    mask is set when it is written);  fit: agreement with the beads;  field: differences of the phase between
    beads (None: too few beads);  figures: for the user and for JSON;  warnings: sentences.
    """

    phase: Tensor
    added: Tensor
    experiment: Experiment
    fit: JudgedFit
    field: FieldAberrations | None
    figures: dict[str, Any]
    warnings: tuple[str, ...]


def retrieve_mask(
    experiment: Experiment,
    beads: Sequence[Path | Movie],
    settings: BeadSettings,
    unknowns: Unknowns | None = None,
    *,
    watch: Watcher = SILENT,
) -> Retrieval:
    """Fit the phase of the experiment's microscope to stacks of beads; its mask is the initial guess.

    beads: files, or open movies;  unknowns: what is found besides the phase (None: nothing).
    Raises InputError for files or positions that do not fit, slices out of order, too few slices, and no bead.
    """
    began = time.monotonic()
    unknowns = Unknowns() if unknowns is None else unknowns
    design = whole_mask(experiment)

    def retriever(start: PhaseMask, across: FieldSpec) -> Retriever:
        return Retriever(
            computed_psf(experiment.psf).unaberrated.with_(field=across),
            experiment.microscope,
            start,
            settings.depth_um,
            BLUR_OF_MOLECULES,
            amplitude=unknowns.amplitude,
            positions=unknowns.positions,
        )

    def beads_of(start: PhaseMask) -> BeadStacks:
        return read_beads(experiment, beads, settings, start)

    def found_from(start: PhaseMask, stacks: BeadStacks) -> tuple[BeadStacks, Retrieved]:
        found = retriever(start, FieldSpec())(stacks.images, watch=watch)
        return stacks.reversed() if found.first.backwards else stacks, found

    stacks, found = found_from(design, beads_of(design))
    if found.tried:
        stacks, found = _better(stacks, found, beads_of, found_from)
    stacks = stacks.placed(FieldSpec(size_px=stacks.size_px))

    def again(found: Retrieved, across: FieldSpec) -> Retrieved:
        anew = retriever(PixelMask(found.phase), across)(stacks.images, watch=watch)
        return replace(anew, first=found.first, tried=found.tried)

    found, over_field = _across_field(experiment, stacks, found, again)
    seconds = time.monotonic() - began
    return _judged(experiment, stacks, found, over_field, settings, unknowns.defocus, seconds)


def _across_field(
    experiment: Experiment,
    stacks: BeadStacks,
    found: Retrieved,
    again: Callable[[Retrieved, FieldSpec], Retrieved],
) -> tuple[Retrieved, tuple[FieldAberrations | None, MaskOffset | None]]:
    """Field dependence: if there is any, the phase is fitted again with it, each bead at its position.

    again: fits the phase with a given field dependence. The first phase is a mean over the field, which is
    smoother than the mask and contains a part of an offset. So the offset is fitted again to the phase found
    with it, until it converges.
    """
    offset = _offset(experiment, found, stacks)
    for _ in range(_OFFSET_PASSES):
        moved = FieldSpec(size_px=stacks.size_px) if offset is None else offset.as_spec()
        field = _field(experiment, found, stacks, moved)
        across = moved if field is None else moved.with_(rises=field.as_spec().rises)
        if not across.changes:
            return found, (field, offset)
        found = again(found, across)
        before, offset = offset, offset if not moved.mask_offset else _offset(experiment, found, stacks)
        if (
            before is None
            or offset is None
            or abs(offset.mm - before.mm) < max(before.sigma_mm, _STAYS * abs(before.mm))
        ):
            break
    moved = found.field.with_(mask_offset=0.0 if offset is None else offset.as_spec().mask_offset)
    found = replace(found, field=moved)
    return found, (_field(experiment, found, stacks, moved.with_(rises={})), offset)


def _offset(experiment: Experiment, found: Retrieved, stacks: BeadStacks) -> MaskOffset | None:
    """Axial distance of the mask from the pupil plane."""
    return fit_mask_offset(
        computed_psf(experiment.psf).unaberrated.with_(transmission=found.transmission),
        experiment.microscope,
        found.phase,
        stacks.images.select(~found.bad),
        found.state.select(~found.bad),
        stacks.size_px,
    )


def _field(
    experiment: Experiment, found: Retrieved, stacks: BeadStacks, moved: FieldSpec
) -> FieldAberrations | None:
    """Differences of the phase between beads that remain with the offset of the mask (moved)."""
    return field_aberrations(
        computed_psf(experiment.psf).unaberrated.with_(transmission=found.transmission, field=moved),
        experiment.microscope,
        found.phase,
        stacks.images.select(~found.bad),
        found.state.select(~found.bad),
        stacks.on_chip(),
        stacks.size_px,
    )


def _better(
    stacks: BeadStacks,
    found: Retrieved,
    beads_of: Callable[[PhaseMask], BeadStacks],
    found_from: Callable[[PhaseMask, BeadStacks], tuple[BeadStacks, Retrieved]],
) -> tuple[BeadStacks, Retrieved]:
    """A second pass, because beads were searched and cut out with a PSF that differs from theirs."""
    try:
        anew = beads_of(PixelMask(found.phase))
        if anew.cut_like(stacks):
            return stacks, found
        anew = anew.reversed() if found.first.backwards else anew
        anew, again = found_from(PixelMask(found.phase), anew)
    except InputError:
        return stacks, found
    if (
        again.first.backwards
        or int(again.used.sum()) < int(found.used.sum())
        or again.deviance > 1.05 * found.deviance
    ):
        return stacks, found
    return anew, replace(again, first=found.first, tried=found.tried)


def _judged(
    experiment: Experiment,
    stacks: BeadStacks,
    found: Retrieved,
    over_field: tuple[FieldAberrations | None, MaskOffset | None],
    settings: BeadSettings,
    defocus: DefocusGoes,
    seconds: float,
) -> Retrieval:
    microscope, (field, offset) = experiment.microscope, over_field
    drawn = whole_mask(experiment)().detach().double()
    without, focus_um = split_defocus(found.phase, drawn, microscope)
    phase = without if defocus == "focus" else found.phase
    changed = _found_experiment(experiment, found, settings, focus_um if defocus == "focus" else 0.0)
    fitted = judge_fit(stacks, found)
    needed = travel_for_depths(microscope, experiment.z_um, settings.depth_um, settings.moves)
    figures = {
        **fit_figures(fitted),
        **phase_figures(microscope, without - drawn, phase - drawn),
        "seconds": round(seconds, 1),
        "defocus_over_design_um": focus_um,
        "focus_um": changed.microscope.focus,
        "point_blur_px": changed.psf.blur_px,
        "positions_for_all_depths_um": list(needed),
        "field": None if field is None else field_figures(field),
        "mask_offset_mm": None if offset is None else [round(offset.mm, 3), round(offset.sigma_mm, 3)],
        "slices": slice_figures(fitted),
    }
    warnings = [*stacks.warnings, *_warnings(experiment, fitted, figures, needed)]
    if offset is not None and found.field.mask_offset:
        warnings += sentences.about_mask_offset(offset.mm, offset.sigma_mm, offset.change_rad)
    if field is not None:
        warnings += sentences.about_field(field.scatter_rad, field.left_rad, microscope.wavelength)
    return Retrieval(phase, phase - drawn, changed, fitted, field, figures, tuple(warnings))


def _found_experiment(
    experiment: Experiment, found: Retrieved, settings: BeadSettings, focus_um: float
) -> Experiment:
    """The experiment with the fitted blur of a point, light and focus; the mask is set when it is written."""
    microscope, psf = experiment.microscope, computed_psf(experiment.psf)
    blur = _blur_of_point(float(found.state.blur_px), settings.bead_um, microscope.pixel_um)
    return experiment.with_(
        psf=psf.unaberrated.with_(
            blur_px=round(blur, 3),
            transmission=found.transmission,
            field=found.field,
            pupil_oversampling=max(psf.pupil_oversampling, _SAMPLING),
        ),
        microscope=microscope.with_(focus=microscope.focus + round(focus_um, 4)),
    )


def _blur_of_point(blur_px: float, bead_um: float, pixel_um: float) -> float:
    """Gaussian σ of a point, px: the blur of a bead without the projection of a ball (variance d²/20)."""
    added = float(sampled_variance(torch.tensor([blur_px], dtype=torch.float64))[0])
    return max(0.0, added - bead_um**2 / 20 / pixel_um**2) ** 0.5


def _warnings(
    experiment: Experiment, fit: JudgedFit, figures: dict[str, Any], needed: tuple[float, float]
) -> list[str]:
    images, used, bad = fit.images, fit.found.used, fit.found.bad
    out = [
        str(place) for number, place in enumerate(fit.stacks.places) if bool(bad[images.bead == number].all())
    ]
    position = images.position_um + fit.found.state.offset_um[images.plane]
    about_slices = sentences.about_slices(figures["z_bias_nm"], figures["z_scatter_over_bound"])
    ends = float(position[used].min()), float(position[used].max())
    return [
        *sentences.about_start(fit.found.first, fit.found.tried),
        *sentences.about_images(int(bad.sum()), len(images), out),
        *sentences.about_fit(
            fit.found.deviance, figures["unexplained_share"], figures["left_rms"], fit.stacks.noise
        ),
        *sentences.about_bleaching(figures["light_falls_by"]),
        *(about_slices if fit.stacks.noise != "none" else []),
        *sentences.about_steps(figures["steps_over_said"], 1000 * figures["steps_uneven_um_rms"]),
        *sentences.about_phase(figures["phase_over_design_rad_rms"], experiment.microscope.wavelength),
        *sentences.about_positions(position[used].tolist(), *needed),
        *sentences.about_depths(ends, needed, experiment.z_um, images.moves),
        *sentences.about_drift(figures["drift_um"]),
    ]
