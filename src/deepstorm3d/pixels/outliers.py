"""Pixels of single frames that cannot be an image formed by the optics: cosmic rays, flickering pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .noise_law import NoiseLaw, brightness
from .prediction import AROUND_PX, PixelPredictor

__all__ = ["find_outliers", "standing_out"]

_ROUNDS = 8  # largest number of rounds in which the track of a particle is removed pixel by pixel
# Side of the square, px, in which only the most deviating pixel is tested in a round, because it makes the
# predictions of its neighbours wrong.
_APART_PX = 5


def find_outliers(
    frames: Tensor, predictor: PixelPredictor, law: NoiseLaw, sigmas: float
) -> tuple[Tensor, Tensor]:
    """Find pixels that deviate in a frame by more than noise and optics allow.

    frames: (B, H, W) photons;  sigmas: smallest deviation of an outlier from its prediction, in σ, beyond the
    deviation that a sharp spot can cause.
    Returns the outliers, (B, H, W) bool, without the pixels that are not usable; and the frames in which
    predictions replace both.
    """
    good = predictor.usable
    predicted = predictor(frames)
    mended = torch.where(good, frames, predicted)
    found = torch.zeros(frames.shape, dtype=torch.bool, device=frames.device)
    active = torch.arange(len(frames), device=frames.device)
    for turn in range(_ROUNDS):
        part = mended[active]
        if turn:
            predicted = predictor(part)
        off = torch.where(good & ~found[active], part - predicted, 0.0)
        sigma = (law.variance(brightness(part)) * predictor.spread).sqrt()
        new = standing_out(part, off, sigma, predictor, law.dark, sigmas) > 0
        some = new.any(2).any(1)
        if not bool(some.any()):
            break
        found[active] |= new
        mended[active] = torch.where(new, predicted, part)
        active = active[some]
    return found, mended


def standing_out(
    frames: Tensor, off: Tensor, sigma: Tensor, predictor: PixelPredictor, dark: float, least: float
) -> Tensor:
    """Deviation of pixels from their predictions in σ, beyond that of the sharpest spot: (B, H, W).

    off, sigma: (B, H, W), difference from the prediction and its noise;  dark: level of the darkest areas;
    least: smaller deviations become 0. The result is also 0 beside a pixel that deviates more, because that
    pixel makes the predictions of its neighbours wrong.
    """
    out = torch.zeros_like(off)
    over = off.abs() / sigma.clamp(min=1e-9)
    if not bool((over > least).any()):
        return out
    top = functional.max_pool2d(over[:, None], _APART_PX, stride=1, padding=_APART_PX // 2)[:, 0]
    frame, row, column = ((over > least) & (over == top)).nonzero().unbind(1)
    # The deviation that the sharpest spot can cause is proportional to the brightest neighbour.
    wide = functional.pad(frames, (AROUND_PX,) * 4, value=float("-inf"))
    line = torch.arange(2 * AROUND_PX + 1, device=frames.device)
    near = wide[frame[:, None, None], row[:, None, None] + line[:, None], column[:, None, None] + line]
    near[:, AROUND_PX, AROUND_PX] = float("-inf")
    brightest, place = near.flatten(1).max(1)
    light = (brightest - dark).clamp(min=0)
    here = off[frame, row, column]
    below, above = predictor.leak(row, column).unbind(1)
    share = torch.where(here > 0, above, below)
    beyond = (here.abs() - share * light) / sigma[frame, row, column].clamp(min=1e-9)
    # A dead pixel lacks all the light of its neighbours. If less is missing, a neighbour is too bright.
    beside = (here < 0) & (here.abs() < light)
    row = torch.where(beside, row + place // len(line) - AROUND_PX, row)
    column = torch.where(beside, column + place % len(line) - AROUND_PX, column)
    sure = (beyond > least) & predictor.usable[row, column]
    out[frame[sure], row[sure], column[sure]] = beyond[sure]
    return out
