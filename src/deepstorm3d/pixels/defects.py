"""Defective pixels of a camera, from a sample of its frames: hot, dead, stuck, flickering, or whole lines."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..noise import SHOT_NOISE, Noise
from .noise_law import NoiseLaw, brightness, noise_law
from .outliers import find_outliers, standing_out
from .prediction import FinestSpot, PixelPredictor

__all__ = ["Defects", "find_defects"]

_ROUNDS = 10
# A pixel is defective where it is off in most frames by so many σ of one of its counts: less does no harm.
_HARM = 3.0
# And by so many σ of what noise does to a difference: of a median over frames, and of one frame.
_SURE, _SURE_ONE = 6.0, 8.0
# A median is noisier than a mean.
_MEDIAN = 1.25
# Lines are judged in pieces of this length; a piece is off by so many σ, and so many times the spread of all.
_PIECE_PX, _LINE_HARM, _LINE_SURE = 32, 2.0, 8.0
_BESIDE_PX, _BORDER_PX = 2, 4
# A pixel that is an outlier in so large a share of frames, and in so many, is a flickering one.
_FLICKERS, _TIMES = 0.1, 3
# A pixel is stuck where its values spread by less than this share of the noise in the dark, in so many frames;
# where the noise is below this many photons it may show the same count by chance.
_STUCK, _STUCK_FRAMES, _STUCK_NOISE = 0.15, 12, 2.0
# More than this share of all pixels is no camera's: then the optics, or what was done to the frames, are not
# what they are said to be, and nothing is called defective.
_MOST = 0.03
# Outliers are rare, or they are the tail of the noise: of the sample's pixels at most this share, and a few.
_RARE, _FEW = 2e-4, 10
# What is less than this many σ off is noise.
_NOISE = 4.0


@dataclass(frozen=True)
class Defects:
    """What a sample of frames tells of the camera's pixels.

    bad: (H, W) bool;  law: noise of a pixel by its brightness;  sigmas: from which on a pixel of a single frame
    is an outlier (inf: none is);  share: of pixels that looked defective: where it is too large for a camera
    none is called so.
    """

    bad: Tensor
    law: NoiseLaw
    sigmas: float
    share: float

    @property
    def plausible(self) -> bool:
        """Whether so many defects are a camera's."""
        return self.share <= _MOST


def find_defects(
    frames: Tensor,
    spot: FinestSpot,
    *,
    noise: Noise = SHOT_NOISE,
    hidden: float = 0.0,
    known: Tensor | None = None,
) -> Defects:
    """Pixels that show what no light through the optics can draw, in most of the frames.

    frames: (T, H, W) photons, spread over the movie;  noise: of the camera as described, alike in all pixels;
    hidden: σ of the noise that was cut off in the dark, photons (`clipped_noise`);  known: (H, W) bool, pixels
    known to be defective: then no others are looked for.
    A pixel is compared with what its neighbours say of it (`PixelPredictor`), so neither the density of the
    molecules nor their shape matters.
    """
    # It is noise that no pixel is below, as the noise of reading is.
    noise = noise.with_more(hidden**2)
    bad = torch.zeros(frames.shape[1:], dtype=torch.bool) if known is None else known.clone()
    if known is None:
        bad = _lines(frames, spot, bad, noise)
        bad = _pixels(frames, spot, bad, noise)
    predictor = PixelPredictor(spot, ~bad)
    law = noise_law(frames, predictor, noise)
    # Where the dark was cut off, good pixels there show the least count in every frame.
    if known is None and not hidden and bool((stuck := _stuck(frames, law) & ~bad).any()):
        bad |= stuck
        predictor = PixelPredictor(spot, ~bad)
    found, _ = find_outliers(frames, predictor, law, _SURE_ONE)
    if known is None:
        flickering = found.sum(0) >= max(_TIMES, _FLICKERS * len(frames))
        if bool(flickering.any()):
            bad |= flickering
            predictor = PixelPredictor(spot, ~bad)
    share = float(bad.float().mean())
    if known is None and share > _MOST:
        return Defects(torch.zeros_like(bad), law, float("inf"), share)
    return Defects(bad, law, _sigmas(frames, predictor, law), share)


def _sigmas(frames: Tensor, predictor: PixelPredictor, law: NoiseLaw) -> float:
    """From how many σ on a pixel of a single frame is an outlier."""
    predicted = predictor(frames)
    clean = torch.where(predictor.usable, frames, predicted)
    sigma = (law.variance(brightness(clean)) * predictor.spread).sqrt()
    over = standing_out(clean, clean - predicted, sigma, predictor, law.dark, _NOISE).flatten()
    rare = min(len(over), _FEW + round(_RARE * len(over)))
    return max(_SURE_ONE, 1.5 * float(over.topk(rare).values[-1]))


def _pixels(frames: Tensor, spot: FinestSpot, bad: Tensor, noise: Noise) -> Tensor:
    """Single pixels that are off in most frames."""
    sure = _SURE * _MEDIAN / len(frames) ** 0.5 if len(frames) > 2 else _SURE_ONE
    bad = bad.clone()
    for _ in range(_ROUNDS):
        predictor = PixelPredictor(spot, ~bad)
        law = noise_law(frames, predictor, noise)
        predicted = predictor(frames)
        clean = torch.where(bad, predicted, frames)
        off = torch.where(bad, 0.0, _lasting(frames - predicted))[None]
        typical = clean.median(0).values[None]
        sigma = law.variance(brightness(typical)).sqrt()
        harmful = torch.maximum(_HARM * sigma / sure, sigma * predictor.spread.sqrt())
        new = standing_out(typical, off, harmful, predictor, law.dark, sure)[0] > 0
        if not bool(new.any()):
            break
        bad |= new
    return bad


def _lasting(off: Tensor) -> Tensor:
    """What of differences (T, H, W) is there in most frames: the median; of two frames what both have."""
    if len(off) != 2:
        return off.median(0).values
    both = off[0] * off[1] > 0
    return torch.where(both, torch.where(off[0].abs() < off[1].abs(), off[0], off[1]), 0.0)


def _lines(frames: Tensor, spot: FinestSpot, bad: Tensor, noise: Noise) -> Tensor:
    """Columns and rows, or long parts of them, that lie off those beside them in most frames."""
    for _ in range(_ROUNDS):
        columns = _columns(frames, spot, bad, noise)
        rows = _columns(frames.mT, spot, bad.mT, noise).mT
        if not bool(((columns | rows) & ~bad).any()):
            break
        bad = bad | columns | rows
    return bad


def _columns(frames: Tensor, spot: FinestSpot, bad: Tensor, noise: Noise) -> Tensor:
    """Of the columns those that stand out most in their neighbourhood: (H, W) bool."""
    out = torch.zeros_like(bad)
    height, width = bad.shape
    if height < _PIECE_PX // 2 or width < 2 * _BESIDE_PX:
        return out
    predictor = PixelPredictor(spot, ~bad, across="column")
    law = noise_law(frames, predictor, noise)
    predicted = predictor(frames)
    typical = torch.where(bad, predicted, frames).median(0).values[None]
    sigma = law.variance(brightness(typical))[0].sqrt()
    off = torch.where(bad, float("nan"), _lasting(frames - predicted) / sigma)
    pieces = max(1, round(height / _PIECE_PX))
    parts = off.tensor_split(pieces)
    level = torch.stack([part.nanmedian(0).values for part in parts]).nan_to_num()
    spread = level.abs().median() / 0.6745
    over = level.abs() / max(_LINE_HARM, _LINE_SURE * float(spread))
    top = functional.max_pool2d(over[None], (1, 2 * _BESIDE_PX + 1), stride=1, padding=(0, _BESIDE_PX))[0]
    found = (over > 1) & (over == top)
    for piece, column in found.nonzero().tolist():
        _mark(out, off, parts, piece, column, float(level[piece, column]))
    return out


def _mark(out: Tensor, off: Tensor, parts: tuple[Tensor, ...], piece: int, column: int, level: float) -> None:
    """Mark a piece of a column, and what goes on above and below it."""
    first = sum(len(part) for part in parts[:piece])
    last = first + len(parts[piece])
    along = off[:, column] / level
    while first > 0 and bool(along[max(0, first - 3) : first].nanmean() > 0.5):
        first -= 1
    while last < len(along) and bool(along[last : last + 3].nanmean() > 0.5):
        last += 1
    # Lines end at the border of the chip sooner than a few pixels before it.
    first = 0 if first <= _BORDER_PX else first
    last = len(along) if last >= len(along) - _BORDER_PX else last
    out[first:last, column] = True


def _stuck(frames: Tensor, law: NoiseLaw) -> Tensor:
    """Pixels whose values hardly change: (H, W) bool."""
    noise = law.at_dark**0.5
    if len(frames) < _STUCK_FRAMES or noise < _STUCK_NOISE:
        return torch.zeros(frames.shape[1:], dtype=torch.bool)
    return frames.std(0) < _STUCK * noise
