"""Positions of a stack's slices, and the stage range that covers all depths of an experiment."""

from __future__ import annotations

import torch

from ...errors import InputError
from ...optics.microscope import Microscope
from ...optics.pupil import sample_pupil
from .images import Moves

__all__ = ["LEAST_PLANES", "check_positions", "even_positions", "travel_for_depths"]

LEAST_PLANES = 5
"""With fewer slices the phase is ambiguous; 20 and more are good."""

# Largest distance from the coverslip, µm; larger positions are on the scale of the stage.
_FARTHEST_UM = 30.0


def travel_for_depths(
    microscope: Microscope, z_um: tuple[float, float], bead_um: float, moves: Moves
) -> tuple[float, float]:
    """Positions (lower, upper), µm, between which a bead shows the images of molecules at all depths.

    A molecule at z imaged with the microscope's focus F looks like a bead at z₀ on the coverslip with the focus
    F − β(z − z₀): β makes k_s z cosθ_s and β k_i z cosθ_i agree over the pupil up to a constant.
    """
    if moves == "depth":
        return z_um
    pupil = sample_pupil(microscope, microscope.mask_px)
    sample, immersion = pupil.kz_sample[pupil.support], pupil.kz_immersion[pupil.support]
    immersion = immersion - immersion.mean()
    ratio = float((immersion * (sample - sample.mean())).sum() / immersion.square().sum())
    low, high = (microscope.focus - ratio * (z - bead_um) for z in z_um)
    return min(low, high), max(low, high)


def even_positions(
    planes: int, moves: Moves, z_um: tuple[float, float], step_um: float | None, first_um: float | None
) -> torch.Tensor:
    """Positions (planes,) µm of evenly spaced slices.

    Without a step they cover the depth range. Without a first position a stack of the objective is centred
    on the focus on the coverslip, and a stack over depth begins at the start of the depth range.
    """
    step = (z_um[1] - z_um[0]) / max(planes - 1, 1) if step_um is None else step_um
    if first_um is None:
        first_um = -step * (planes - 1) / 2 if moves == "objective" else z_um[0]
        if moves == "depth" and step < 0:
            first_um = z_um[1]
    return first_um + step * torch.arange(planes, dtype=torch.float64)


def check_positions(position_um: torch.Tensor, wavelength: float) -> None:
    """Raises InputError if the slices cannot determine a phase: too few, all equal, or not distances in µm."""
    planes = len(position_um)
    if planes < LEAST_PLANES:
        raise InputError(
            f"a stack of {planes} slices: at least {LEAST_PLANES} at different positions are needed, and "
            "20 to 60 over the depth range are good"
        )
    low, high = float(position_um.min()), float(position_um.max())
    if high - low < wavelength or len(position_um.unique()) < LEAST_PLANES:
        raise InputError(
            f"the slices span {high - low:.3g} µm at {len(position_um.unique())} different positions; "
            f"at least {LEAST_PLANES} over {wavelength:.2g} µm are needed",
            "are the positions in µm?",
        )
    if max(abs(low), abs(high)) > _FARTHEST_UM:
        raise InputError(
            f"the positions run from {low:.6g} to {high:.6g} µm: they are µm from the focus on the coverslip "
            "(objective) or from the coverslip (depth), not nm and not the stage's own scale"
        )
