"""What the set-up's own PSF says of an average of beads: its direction, their drift and bleaching."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["doubts_against_model"]

# Offsets of the stack's zero that are tried, µm.
_OFFSETS_UM = (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6)
# Most slices by which the direction is judged.
_SLICES = 12
# The reversed stack must be like the model by so much more, in correlation, to be told.
_BETTER = 0.05
# Below this correlation the model says nothing about drift or light.
_LIKE = 0.8
# Largest distance from the model's place that is looked for, px.
_REACH_PX = 6
# Drift of all beads through the stack from which it is told, µm.
_DRIFT_UM = 0.1
# Share of the light that the beads lose through the stack, from which it is told.
_BLEACHED = 0.25

Model = Callable[[Tensor], Tensor]
"""Images (S, h, h) that the set-up's own PSF has at positions (S,) µm of the stage."""


@torch.no_grad()
def doubts_against_model(planes: Tensor, position_um: Tensor, model: Model, pixel_um: float) -> list[str]:
    """Reversed order, common drift and bleaching, as far as the set-up's own PSF is like the planes.

    planes: (S, h, h) averaged, in the order of recording;  position_um: (S,) of the stage.
    """
    few = torch.linspace(0, len(planes) - 1, min(_SLICES, len(planes))).round().long()
    mirrored = position_um.min() + position_um.max() - position_um
    forth, offset_um = _best(planes[few], position_um[few], model)
    back, _ = _best(planes[few], mirrored[few], model)
    if back > forth + _BETTER:
        return [
            f"the reversed stack is more like the set-up's own PSF (correlation {back:.2f} against "
            f"{forth:.2f}): the step may have the wrong sign, or the mask be turned; depths would be mirrored"
        ]
    if forth < _LIKE:
        return []
    likeness, shift_px, light = _compared(planes, model(position_um + offset_um))
    clear = likeness > _LIKE
    if int(clear.sum()) < 4:
        return []
    return [*_drift(shift_px[clear], pixel_um), *_bleaching(light[clear])]


def _best(planes: Tensor, position_um: Tensor, model: Model) -> tuple[float, float]:
    """Mean correlation with the model at the best offset of the positions, and that offset, µm."""
    found = [
        (float(_compared(planes, model(position_um + offset))[0].mean()), offset) for offset in _OFFSETS_UM
    ]
    return max(found)


def _compared(planes: Tensor, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each slice: correlation with the model (S,), shift from it (S, 2) px right and down, light (S,)."""
    seen, drawn = (each.double() - each.double().mean((1, 2), keepdim=True) for each in (planes, images))
    side = seen.shape[-1]
    spectra = (torch.fft.rfft2(each, (2 * side, 2 * side)) for each in (seen, drawn))
    first, second = spectra
    likeness = torch.fft.irfft2(first * second.conj())
    near = torch.roll(likeness, (_REACH_PX, _REACH_PX), (1, 2))[:, : 2 * _REACH_PX + 1, : 2 * _REACH_PX + 1]
    top, place = near.flatten(1).max(1)
    row, column = place // near.shape[2], place % near.shape[2]
    down = torch.stack(
        [_summit(near[k, :, c], int(r)) for k, (r, c) in enumerate(zip(row, column, strict=True))]
    )
    right = torch.stack([_summit(near[k, r], int(c)) for k, (r, c) in enumerate(zip(row, column, strict=True))])
    power, own = drawn.square().sum((1, 2)), seen.square().sum((1, 2))
    correlation = top / (power * own).sqrt().clamp(min=1e-30)
    return correlation, torch.stack([right, down], 1) - _REACH_PX, top / power.clamp(min=1e-30)


def _summit(values: Tensor, at: int) -> Tensor:
    """Place of the largest of (K,) values, between them by a parabola."""
    if not 0 < at < len(values) - 1:
        return values.new_tensor(float(at))
    before, here, after = values[at - 1], values[at], values[at + 1]
    return at + (before - after) / 2 / (before - 2 * here + after).clamp(max=-1e-30)


def _drift(shift_px: Tensor, pixel_um: float) -> list[str]:
    """Whether the beads wander from the first slice to the last; shift_px: (S, 2)."""
    wander = _trend(shift_px) * pixel_um
    far = float(wander.norm())
    if far < _DRIFT_UM:
        return []
    return [
        f"from the first slice to the last all beads move by {1000 * float(wander[0]):.0f} nm in x and "
        f"{1000 * float(wander[1]):.0f} nm in y beside the set-up's own PSF: stage or sample drifts, which "
        "stays in the planes. Correct the stack, or record faster"
    ]


def _bleaching(light: Tensor) -> list[str]:
    """Whether the light falls from the first slice to the last; light: (S,) beside the model's."""
    lost = 1 - math.exp(float(_trend(light.clamp(min=1e-9).log()[:, None])))
    if lost < _BLEACHED:
        return []
    return [
        f"the light of the beads falls by {100 * lost:.0f} % from the first slice to the last: they bleach, "
        "and molecules at the depths of the last slices would seem brighter than they are. Expose shorter"
    ]


def _trend(values: Tensor) -> Tensor:
    """Change of (S, K) values from the first slice to the last along their straight line (K,)."""
    order = torch.linspace(-0.5, 0.5, len(values), dtype=values.dtype)
    return (order[:, None] * values).sum(0) / order.square().sum()
