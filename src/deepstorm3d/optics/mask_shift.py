"""A mask that stands off the pupil plane: light of a molecule off the axis crosses it off its middle.

In the 4f system a molecule at X in the sample lights the pupil's image with a plane wave at the angle M·X/f to
the axis; at the pupil plane the waves of all molecules overlap. At a distance d behind it the beam has walked
by

    s = d · M · X / f,

so that the mask adds φ(ξ + s) where it would add φ(ξ) in the pupil plane: one shift for each place of the
field, the same for all depths (Goodman, Introduction to Fourier Optics, 4f processor; diffraction between the
two planes is left out: over d it blurs a phase by √(λd), 0.1 mm for 15 mm, of a pupil some mm wide).

To first order the change is s·∇φ. Tilts in it move the image and nothing else, so a mask of focus and
astigmatism alone shows no offset; the rest are polynomials of one order less than the mask's. A `FieldSpec` of
rises can take their place, for coma and trefoil (Noll 7 to 10) of a Tetrapod above all: an offset is the one
combination of rises, alike across and down, that the mask's own slopes give. What of the phase is not in the
mask but in the pupil stays where it is; beads do not tell the two apart.
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
    """How far from the mask's middle light crosses it, s = d·M·X/f: (N, 2) µm in the mask plane.

    place: (N, 2) across and down from the middle of the field, −½ to ½; the optical axis is taken to meet the
    middle.
    """
    size = place.new_tensor([field.size_px[1], field.size_px[0]]) * microscope.pixel_um
    walk = 1000 * field.mask_offset * microscope.magnification / microscope.focal_length
    return walk * size * place


def moved_phase(phase: Tensor, microscope: Microscope, shift_um: tuple[float, float]) -> Tensor:
    """φ(ξ + s): what a mask adds to light that crosses it s off its middle, (h, w) rad.

    phase: (h, w) rad on the mask's pixels;  shift_um: of the light on the mask, right and down.
    Between pixels the phase rises linearly from the nearest ones, whole turns left out, so that steep phases
    are followed too; gradients pass. What the mask says beyond the aperture is unknown to beads and often to
    masks: the phase is continued outwards from the aperture's edge, with its slope there. Light beyond the
    aperture (supercritical) meets the mask as if it stood in the pupil plane.
    """
    if shift_um == (0.0, 0.0):
        return phase
    height, width = phase.shape
    pitch = microscope.mask_pitch
    radius = microscope.aperture_radius
    across, down = (mask_coordinates(n, pitch).to(phase.device) for n in (width, height))
    x, y = torch.broadcast_tensors(across, down[:, None])
    outside = torch.hypot(x, y) > radius
    whole = _continued(phase.double(), x, y, outside, radius, pitch)
    (right, fx), (below, fy) = (divmod(shift / pitch, 1.0) for shift in shift_um)

    def pixels(more_right: int, more_below: int) -> Tensor:
        columns = (torch.arange(width, device=phase.device) + int(right) + more_right).clamp(0, width - 1)
        rows = (torch.arange(height, device=phase.device) + int(below) + more_below).clamp(0, height - 1)
        return whole[rows[:, None], columns]

    here = pixels(0, 0)
    there = here + (
        fx * (1 - fy) * _without_turns(pixels(1, 0) - here)
        + (1 - fx) * fy * _without_turns(pixels(0, 1) - here)
        + fx * fy * _without_turns(pixels(1, 1) - here)
    )
    return torch.where(outside, phase, there.to(phase))


def _without_turns(phase: Tensor) -> Tensor:
    """The same phase between −π and π."""
    return torch.remainder(phase + torch.pi, 2 * torch.pi) - torch.pi


def _continued(phase: Tensor, x: Tensor, y: Tensor, outside: Tensor, radius: float, pitch: float) -> Tensor:
    """The phase with its pixels outside the aperture continued from the nearest ones within: (h, w) rad."""
    # A pixel lies at most 0.71 pixels from any point: the nearest to this circle are within the aperture.
    inwards = (radius - 0.71 * pitch) / torch.hypot(x, y).clamp(min=pitch)
    columns = ((x * inwards - x[0, 0]) / pitch).round().long().clamp(0, x.shape[1] - 1)
    rows = ((y * inwards - y[0, 0]) / pitch).round().long().clamp(0, y.shape[0] - 1)
    edge, at_x, at_y = phase[rows, columns], x[rows, columns], y[rows, columns]
    # Slopes from the neighbour towards the middle, which is within the aperture, too.
    left, above = at_x.sign().long(), at_y.sign().long()
    rise_x = _without_turns(edge - phase[rows, columns - left]) * left
    rise_y = _without_turns(edge - phase[rows - above, columns]) * above
    further = rise_x * (x - at_x) / pitch + rise_y * (y - at_y) / pitch
    return torch.where(outside, edge + further, phase)


def change_of_phase(phase: Tensor, microscope: Microscope, *, tilts: bool = True) -> tuple[float, float]:
    """rms over the aperture of ∂φ/∂ξ and ∂φ/∂η, rad/µm: what a shift across and down changes, to first order.

    phase: (h, w) rad;  tilts: with those that the change holds, which move the image; False leaves them out.
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
        values = _without_turns(ahead - behind)[inside] / (2 * step)
        left = values - columns @ torch.linalg.lstsq(columns, values[:, None]).solution[:, 0]
        changes.append(float(left.square().mean().sqrt()))
    return changes[0], changes[1]
