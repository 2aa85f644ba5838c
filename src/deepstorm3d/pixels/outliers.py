"""Pixels of single frames that no light through the optics can make: cosmic rays, flickering pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .noise_law import NoiseLaw, brightness
from .prediction import PixelPredictor

__all__ = ["find_outliers", "standing_out"]

# A track of a particle is taken off pixel by pixel, in at most so many rounds.
_ROUNDS = 8
# Of neighbours in a square of this side only the one that stands out most is judged in a round: it has spoilt
# the predictions of the others.
_APART_PX = 5
_AROUND_PX = 3


def find_outliers(
    frames: Tensor, predictor: PixelPredictor, law: NoiseLaw, sigmas: float
) -> tuple[Tensor, Tensor]:
    """Pixels that stand out by more than noise and optics allow, frame by frame.

    frames: (B, H, W) photons;  sigmas: of the difference to the prediction, beyond what a spot may leave.
    Returns which, (B, H, W) bool, none of them among those not usable; and the frames with predictions in the
    place of both.
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
    """By how many σ pixels lie off their predictions, beyond what the sharpest spot leaves: (B, H, W).

    off, sigma: (B, H, W), difference, and its noise;  dark: level of the darkest places;  least: σ below which
    it is 0. It is 0 too beside a pixel that stands out more, for that one has spoilt their predictions.
    """
    out = torch.zeros_like(off)
    over = off.abs() / sigma.clamp(min=1e-9)
    if not bool((over > least).any()):
        return out
    top = functional.max_pool2d(over[:, None], _APART_PX, stride=1, padding=_APART_PX // 2)[:, 0]
    frame, row, column = ((over > least) & (over == top)).nonzero().unbind(1)
    # How bright the brightest neighbour is: the sharpest spots leave a share of that.
    wide = functional.pad(frames, (_AROUND_PX,) * 4, value=float("-inf"))
    line = torch.arange(2 * _AROUND_PX + 1, device=frames.device)
    near = wide[frame[:, None, None], row[:, None, None] + line[:, None], column[:, None, None] + line]
    near[:, _AROUND_PX, _AROUND_PX] = float("-inf")
    brightest, place = near.flatten(1).max(1)
    light = (brightest - dark).clamp(min=0)
    here = off[frame, row, column]
    below, above = predictor.leak(row, column).unbind(1)
    share = torch.where(here > 0, above, below)
    beyond = (here.abs() - share * light) / sigma[frame, row, column].clamp(min=1e-9)
    # A dead pixel lacks as much as its neighbours have; one that lacks less lies beside one too bright for it.
    beside = (here < 0) & (here.abs() < light)
    row = torch.where(beside, row + place // len(line) - _AROUND_PX, row)
    column = torch.where(beside, column + place % len(line) - _AROUND_PX, column)
    sure = (beyond > least) & predictor.usable[row, column]
    out[frame[sure], row[sure], column[sure]] = beyond[sure]
    return out
