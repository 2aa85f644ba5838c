"""A mask at a distance from the pupil plane: light of an off-axis molecule crosses it away from its centre.

In the 4f system a molecule at X in the sample gives a plane wave at the angle M·X/f to the axis in the image of
the pupil. In the pupil plane the waves of all molecules overlap. At a distance d behind it the beam is shifted
by

    s = d · M · X / f,

so that the mask adds φ(ξ + s) instead of φ(ξ). The shift depends on the field position and is the same for all
depths (Goodman, Introduction to Fourier Optics, 4f processor). Diffraction between the two planes is neglected:
over d it blurs a phase by √(λd), 0.1 mm for 15 mm, compared with a pupil some mm wide.

To first order the phase changes by s·∇φ. Tilts in it only move the image, so a mask of defocus and astigmatism
alone shows no effect; the other terms are polynomials one order lower than those of the mask. Gradients of
aberrations in a `FieldSpec` (`rises`) can imitate them, mainly coma and trefoil (Noll 7 to 10) for a Tetrapod:
an offset is the special combination of gradients, equal across and down, that follows from the mask's own
slopes. Phase in the pupil itself is not shifted; beads cannot distinguish it from phase in the mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .microscope import Microscope
from .pupil import mask_coordinates

if TYPE_CHECKING:
    from .field_aberrations import FieldSpec

__all__ = ["change_of_phase", "footprint_um", "moved_phase"]


def footprint_um(field: FieldSpec, microscope: Microscope, place: Tensor) -> Tensor:
    """Shift of the light on the mask, s = d·M·X/f: (N, 2) µm in the mask plane.

    place: (N, 2) field position across and down from the middle, −½ to ½; the optical axis is assumed to pass
    through the middle.
    """
    size = place.new_tensor([field.size_px[1], field.size_px[0]]) * microscope.pixel_um
    walk = 1000 * field.mask_offset * microscope.magnification / microscope.focal_length
    return walk * size * place


def moved_phase(phase: Tensor, microscope: Microscope, shift_um: tuple[float, float]) -> Tensor:
    """Phase φ(ξ + s) of a mask for light shifted by s on it, (h, w) rad.

    phase: (h, w) rad on the mask's pixels;  shift_um: of the light on the mask, right and down.
    Between pixels the phase is interpolated linearly, with differences wrapped to ±π, so that steep phases
    are correct too; the result is differentiable. Outside the aperture the mask is often not defined, and beads
    do not show it; there the phase is extrapolated linearly from the aperture's edge. Supercritical light,
    outside the aperture, is treated as if the mask were in the pupil plane.
    """
    if shift_um == (0.0, 0.0):
        return phase
    height, width = phase.shape
    pitch = microscope.mask_pitch
    radius = microscope.aperture_radius
    across, down = (mask_coordinates(n, pitch).to(phase.device) for n in (width, height))
    x, y = torch.broadcast_tensors(across, down[:, None])
    outside = torch.hypot(x, y) > radius
    whole = _extrapolated(phase.double(), x, y, outside, radius, pitch)
    (right, fx), (below, fy) = (divmod(shift / pitch, 1.0) for shift in shift_um)

    def pixels(more_right: int, more_below: int) -> Tensor:
        columns = (torch.arange(width, device=phase.device) + int(right) + more_right).clamp(0, width - 1)
        rows = (torch.arange(height, device=phase.device) + int(below) + more_below).clamp(0, height - 1)
        return whole[rows[:, None], columns]

    here = pixels(0, 0)
    there = here + (
        fx * (1 - fy) * _wrapped(pixels(1, 0) - here)
        + (1 - fx) * fy * _wrapped(pixels(0, 1) - here)
        + fx * fy * _wrapped(pixels(1, 1) - here)
    )
    return torch.where(outside, phase, there.to(phase))


def _wrapped(phase: Tensor) -> Tensor:
    """The phase wrapped to −π … π."""
    return torch.remainder(phase + torch.pi, 2 * torch.pi) - torch.pi


def _extrapolated(phase: Tensor, x: Tensor, y: Tensor, outside: Tensor, radius: float, pitch: float) -> Tensor:
    """The phase, extrapolated outside the aperture from the nearest pixels inside: (h, w) rad."""
    # The nearest pixel is at most 0.71 pixels away, so the nearest pixels to this circle are in the aperture.
    inwards = (radius - 0.71 * pitch) / torch.hypot(x, y).clamp(min=pitch)
    columns = ((x * inwards - x[0, 0]) / pitch).round().long().clamp(0, x.shape[1] - 1)
    rows = ((y * inwards - y[0, 0]) / pitch).round().long().clamp(0, y.shape[0] - 1)
    edge, at_x, at_y = phase[rows, columns], x[rows, columns], y[rows, columns]
    # Slopes are computed with the neighbour towards the centre, which is in the aperture too.
    left, above = at_x.sign().long(), at_y.sign().long()
    rise_x = _wrapped(edge - phase[rows, columns - left]) * left
    rise_y = _wrapped(edge - phase[rows - above, columns]) * above
    further = rise_x * (x - at_x) / pitch + rise_y * (y - at_y) / pitch
    return torch.where(outside, edge + further, phase)


def change_of_phase(phase: Tensor, microscope: Microscope, *, tilts: bool = True) -> tuple[float, float]:
    """rms over the aperture of ∂φ/∂ξ and ∂φ/∂η, rad/µm: change by a shift across and down, to first order.

    phase: (h, w) rad;  tilts: whether the change includes tilts, which only move the image.
    """
    axis = mask_coordinates(phase.shape[1], microscope.mask_pitch)
    radius = microscope.aperture_radius
    inside = (axis.square() + axis.square()[:, None]).sqrt() < radius - 2 * microscope.mask_pitch
    flat = torch.ones_like(inside, dtype=torch.float64)
    terms = [flat] if tilts else [flat, flat * axis / radius, flat * axis[:, None] / radius]
    columns = torch.stack(terms)[:, inside].mT
    step, phase = 0.5 * microscope.mask_pitch, phase.detach().double().cpu()
    changes = []
    for shift in ((step, 0.0), (0.0, step)):
        ahead = moved_phase(phase, microscope, shift)
        behind = moved_phase(phase, microscope, (-shift[0], -shift[1]))
        values = _wrapped(ahead - behind)[inside] / (2 * step)
        left = values - columns @ torch.linalg.lstsq(columns, values[:, None]).solution[:, 0]
        changes.append(float(left.square().mean().sqrt()))
    return changes[0], changes[1]
