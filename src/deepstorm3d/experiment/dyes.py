"""Dyes that emit at other wavelengths: how each is seen through the same mask and objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import InputError
from ..optics.computed import computed_psf
from ..optics.masks import PixelMask
from ..optics.psf import PSF
from ..optics.tabulated import TabulatedPSF
from ..simulation.dyes import DyeStack
from ..spec import spec_from_mapping
from .dye import Dye
from .experiment import Experiment
from .light_patch import patch_for_light
from .optics import experiment_mask

__all__ = [
    "DyeOptics",
    "dye_optics",
    "dye_stack",
    "dyes_table",
    "of_other_wavelengths",
    "patch_for_dyes",
    "refuse_dyes",
    "with_dyes",
]

# Wavelengths that the records take, µm.
_SHORTEST_UM = 0.2
_LONGEST_UM = 2.0


@dataclass(frozen=True)
class DyeOptics:
    """How one dye is seen.

    name: of the dye;  experiment: the one of this dye alone: its wavelength, focus and aberrations;
    source: what its PSF is computed from, the mask with the phase that it has for this dye.
    """

    name: str
    experiment: Experiment
    source: Any


def dye_optics(experiment: Experiment, *, phase: Tensor | None = None) -> tuple[DyeOptics, ...]:
    """How each dye of an experiment is seen, from the shortest wavelength on.

    The mask's height is the same for all dyes, its phase is not: φ(λ) = φ(λ₀) · λ₀/λ · (n(λ) − 1)/(n(λ₀) − 1)
    (Shechtman et al., Nature Photonics 10:590 (2016)), and aberrations are lengths, too: a(λ) = a(λ₀) · λ₀/λ.
    phase: of the mask at the microscope's wavelength, as in `experiment_mask`.
    Raises InputError for a PSF that changes across the field, and for a mask that does not fit.
    """
    spec = computed_psf(experiment.psf)
    if spec.across.changes:
        raise InputError(
            "dyes are told apart by PSFs that are the same all over the field",
            "leave psf.field out",
        )
    mask = experiment_mask(experiment, phase=phase)().detach()
    found = []
    for name, dye in experiment.dyes.items():
        first = experiment.microscope
        microscope = first.with_(
            wavelength=dye.wavelength, focus=first.focus if dye.focus is None else dye.focus
        )
        shorter = first.wavelength / dye.wavelength
        aberrations = {index: shorter * value for index, value in spec.aberrations.items()}
        alone = experiment.with_(dyes={}, microscope=microscope, psf=spec.with_(aberrations=aberrations))
        found.append(DyeOptics(name, alone, PixelMask(dye.phase_factor(first.wavelength) * mask)))
    return tuple(found)


def dyes_table(
    experiment: Experiment, patch_px: int | None = None, *, phase: Tensor | None = None
) -> TabulatedPSF:
    """The PSFs of all dyes for the experiment's depths and blurs, one deeper than the other.

    patch_px: another patch than the record's;  phase: as in `dye_optics`.
    Raises InputError as `dye_optics`, and for a patch too large for the sampling of the mask at the shortest
    wavelength.
    """
    first, *others = (
        each.experiment.psf.with_(patch_px=patch_px or experiment.psf.patch_px).tabulate(
            each.experiment.microscope, each.source, experiment.z_um, experiment.blur_px
        )
        for each in dye_optics(experiment, phase=phase)
    )
    return first.stacked(others)


def dye_stack(experiment: Experiment, psf: PSF) -> DyeStack:
    """Where a PSF of all dyes (`dyes_table`) shows each of them."""
    assert isinstance(psf, TabulatedPSF)
    return DyeStack([dye.amount for dye in experiment.dyes.values()], psf.stack_step_um / len(experiment.dyes))


def patch_for_dyes(experiment: Experiment) -> tuple[int, float]:
    """`patch_for_light` of all dyes: the longest wavelength wants most, the shortest permits least."""
    optics = dye_optics(experiment)
    wanted = [patch_for_light(each.experiment, each.source) for each in optics]
    widest = [each.experiment.psf.widest_patch_px(each.experiment.microscope, each.source) for each in optics]
    patch_px = min(max(side for side, _ in wanted), max(min(widest), experiment.psf.patch_px))
    return patch_px, min(light for _, light in wanted)


def with_dyes(experiment: Experiment, wavelengths: Mapping[str, float] | None) -> Experiment:
    """The experiment with dyes of these wavelengths (µm, by name) alone; None: with its own.

    A dye that the experiment has by the same name keeps its focus and its index of the mask.
    Raises InputError for less than two, or two that are the same.
    """
    dyes = experiment.dyes
    if wavelengths is not None:
        own = {name: dyes.get(name, Dye()).to_mapping() for name in wavelengths}
        dyes = {
            name: spec_from_mapping(Dye, {**own[name], "wavelength": value}, source=f"the dye '{name}'")
            for name, value in wavelengths.items()
        }
    known = [dye.wavelength for dye in dyes.values()]
    if len(set(known)) < max(2, len(known)):
        told = ", ".join(f"{name} {1000 * dye.wavelength:g} nm" for name, dye in dyes.items()) or "none"
        raise InputError(
            f"dyes are told apart by two wavelengths or more, there are: {told}",
            "name each dye with its wavelength in nm",
        )
    return experiment.with_(dyes=dyes)


def of_other_wavelengths(experiment: Experiment) -> Experiment:
    """The experiment with dyes between the wavelengths of its own, and beyond them, in place of its own.

    With them a molecule is compared that may be of none of the dyes. Their focus and index of the mask lie
    between those of the dyes. Wavelengths for which the mask is sampled too coarsely are left out.
    """
    dyes = list(experiment.dyes.values())
    known = np.array([dye.wavelength for dye in dyes])
    steps = np.diff(known) / 2
    wanted = [known[0] - steps[0], *(known[:-1] + steps), known[-1] + steps[-1]]
    spec, first = computed_psf(experiment.psf), experiment.microscope

    def between(values: Sequence[float], wavelength: float) -> float:
        return float(np.interp(wavelength, known, values))

    found = {}
    for number, wavelength in enumerate(map(float, wanted)):
        if not _SHORTEST_UM < wavelength < _LONGEST_UM:
            continue
        index = [dye.mask_index or (2.0, 2.0) for dye in dyes]
        added = Dye(
            wavelength=wavelength,
            focus=between([first.focus if dye.focus is None else dye.focus for dye in dyes], wavelength),
            mask_index=(
                between([pair[0] for pair in index], wavelength),
                between([pair[1] for pair in index], wavelength),
            ),
        )
        period = first.with_(wavelength=wavelength).image_period_px * spec.pupil_oversampling
        if period >= 2 * (spec.patch_px + 2 * TabulatedPSF.margin_px):
            found[f"other {number}"] = added
    return experiment.with_(dyes=found)


def refuse_dyes(experiment: Experiment, what: str) -> None:
    """Raise InputError for an experiment with dyes, where something knows one wavelength alone.

    what: that cannot be done, in words ("the design of a mask").
    """
    if experiment.dyes:
        raise InputError(
            f"{what} knows one wavelength, the experiment has {len(experiment.dyes)} dyes",
            "leave its dyes out (dyes: {}): microscope.wavelength then counts",
        )
