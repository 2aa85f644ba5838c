"""Phases for restarts of a retrieval where the design does not explain the beads: some of every family."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...optics.designs import double_helix_phase, tetrapod_coefficients, vortex_phase
from ...optics.masks import ZernikePhase
from ...optics.microscope import Microscope
from .orientation import ORIENTATIONS, twin

__all__ = ["Start", "families", "turned_designs"]

# Waists of the double helices, relative to the aperture radius.
_WAISTS = (0.35, 0.5, 0.7)
# Strengths of astigmatism and Tetrapods, as factors.
_STRENGTHS = (0.6, 1.2)
# Strehl ratio above which two phases count as the same.
_SAME = 0.98
# Noll 5 (sin 2θ) and 6 (cos 2θ) are the same shape turned by 45°; so are 13 and 12, 23 and 24.
_BY_45 = {6: 5, 12: 13, 24: 23}


@dataclass(frozen=True)
class Start:
    """A phase (K, K) rad to start from;  family: its kind;  name: text for the user."""

    family: str
    name: str
    phase: Tensor


def families(microscope: Microscope) -> list[Start]:
    """Flat, astigmatism, Tetrapods, double helices and vortices, also turned and as their twins.

    microscope: its mask pixels are the samples.  Smooth phases can be found from a flat one. Phases with
    vortices (double helix, vortex) cannot, because a phase winding of 2π does not develop in small steps.
    """
    pixels = microscope.mask_px
    flat = Start("flat", "a flat phase", torch.zeros(pixels, pixels))
    tetrapod = tetrapod_coefficients()
    tables = {
        "a Tetrapod": ({index: s * value for index, value in tetrapod.items()} for s in _STRENGTHS),
        "astigmatism": ({6: 1.5} for _ in range(1)),
    }
    starts = [flat]
    for family, kinds in tables.items():
        for table in kinds:
            for turned in (table, {_BY_45.get(index, index): value for index, value in table.items()}):
                values = torch.tensor(list(turned.values()), dtype=torch.float64)
                phase = ZernikePhase(microscope, list(turned), values)().float()
                starts += [Start(family, family, phase), Start(family, family, twin(phase))]
    for waist in _WAISTS:
        helix = double_helix_phase(microscope, waist).float()
        for phase in (helix, torch.rot90(helix)):
            starts += [
                Start("a double helix", f"a double helix of waist {waist}", each)
                for each in (phase, twin(phase))
            ]
    for charge in (1, 2):
        spiral = vortex_phase(microscope, charge).float()
        starts += [Start("a vortex", f"a vortex of charge {sign * charge}", sign * spiral) for sign in (1, -1)]
    return starts


def turned_designs(design: Tensor, support: Tensor) -> list[Start]:
    """A design (K, K) in all orientations and their twins, without those that are equal by symmetry."""
    starts: list[Start] = []
    for orientation in ORIENTATIONS:
        turned = orientation(design)
        for phase, back in ((turned, ""), (twin(turned), ", for the stack reversed")):
            if not any(_alike(phase - other.phase, support) for other in starts):
                starts.append(Start("the design", f"the design {orientation}{back}", phase))
    return starts


def _alike(difference: Tensor, support: Tensor) -> bool:
    """Whether two phases are equal up to a piston: their Strehl ratio is nearly 1."""
    field = torch.polar(torch.ones_like(difference), difference)[support]
    return float(field.mean().abs().square()) > _SAME
