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

_ROUNDS = 10  # largest number of search rounds; each uses the defects found in the round before
# Smallest lasting offset of a defective pixel, in σ of one of its values; smaller ones do not matter.
_LEAST_OFFSET = 3.0
_SIGNIFICANT = 6.0  # smallest lasting offset, in standard errors of the median over frames
_SIGNIFICANT_ONE = 8.0  # smallest offset in a single frame, in σ of the difference from the prediction
_MEDIAN = 1.25  # standard error of a median relative to that of a mean (normal noise)
_PIECE_PX = 32  # length of the pieces in which rows and columns are tested, px
_LEAST_LINE_OFFSET = 2.0  # smallest offset of a defective piece of a row or column, in σ of one of its pixels
_LINE_SIGNIFICANT = 8.0  # smallest offset of a defective piece, relative to the spread of all pieces
_BESIDE_PX = 2  # only the most deviating line within this distance is marked in one round, px
_BORDER_PX = 4  # a line that reaches this close to the chip's border is marked up to it, px
_FLICKER_SHARE = 0.1  # smallest fraction of frames in which a flickering pixel is an outlier
_FLICKER_FRAMES = 3  # smallest number of frames in which a flickering pixel is an outlier
_STUCK = 0.15  # a pixel is stuck if its standard deviation is below this fraction of the noise of dark pixels
_STUCK_FRAMES = 12  # smallest number of frames in which stuck pixels are searched for
# Smallest noise, photons, at which stuck pixels are searched for; below it equal counts can occur by chance.
_STUCK_NOISE = 2.0
# Largest plausible fraction of defective pixels. If there are more, the optics or the processing of the frames
# differ from their description, and no pixel is called defective.
_MOST = 0.03
_RARE = 2e-4  # largest fraction of outliers among the sample's pixels; more of them are the tail of the noise
_FEW = 10  # number of outliers that is allowed in addition, also in a small sample
_LEAST_OUTLIER = 4.0  # deviations below this many σ are noise


@dataclass(frozen=True)
class Defects:
    """Defective pixels and noise of a camera, found in a sample of frames.

    bad: (H, W) bool, defective pixels;  law: noise of a pixel as a function of its brightness;  sigmas: a pixel
    of a single frame is an outlier above this many σ (inf: none is);  share: fraction of pixels that seemed
    defective. If it is too large for a camera, `bad` is empty.
    """

    bad: Tensor
    law: NoiseLaw
    sigmas: float
    share: float

    @property
    def plausible(self) -> bool:
        """Whether a camera can have this fraction of defective pixels."""
        return self.share <= _MOST


def find_defects(
    frames: Tensor,
    spot: FinestSpot,
    *,
    noise: Noise = SHOT_NOISE,
    hidden: float = 0.0,
    known: Tensor | None = None,
) -> Defects:
    """Find pixels whose values, in most of the frames, cannot be an image formed by the optics.

    frames: (T, H, W) photons, distributed over the movie;  noise: of the camera as described, equal in all
    pixels;  hidden: σ of the noise that clipping removed from dark pixels, photons (`clipped_noise`);
    known: (H, W) bool, known defective pixels; if given, no others are searched for.
    A pixel is compared with a prediction from its neighbours (`PixelPredictor`), so the result does not depend
    on the density or the shape of the molecules.
    """
    # Hidden noise is a lower limit for the variance of all pixels, like read noise.
    noise = noise.with_more(hidden**2)
    bad = torch.zeros(frames.shape[1:], dtype=torch.bool) if known is None else known.clone()
    if known is None:
        bad = _lines(frames, spot, bad, noise)
        bad = _pixels(frames, spot, bad, noise)
    predictor = PixelPredictor(spot, ~bad)
    law = noise_law(frames, predictor, noise)
    # In clipped frames good dark pixels show the lowest count in every frame, so stuck ones cannot be found.
    if known is None and not hidden and bool((stuck := _stuck(frames, law) & ~bad).any()):
        bad |= stuck
        predictor = PixelPredictor(spot, ~bad)
    found, _ = find_outliers(frames, predictor, law, _SIGNIFICANT_ONE)
    if known is None:
        flickering = found.sum(0) >= max(_FLICKER_FRAMES, _FLICKER_SHARE * len(frames))
        if bool(flickering.any()):
            bad |= flickering
            predictor = PixelPredictor(spot, ~bad)
    share = float(bad.float().mean())
    if known is None and share > _MOST:
        return Defects(torch.zeros_like(bad), law, float("inf"), share)
    return Defects(bad, law, _sigmas(frames, predictor, law), share)


def _sigmas(frames: Tensor, predictor: PixelPredictor, law: NoiseLaw) -> float:
    """Number of σ above which a pixel of a single frame is an outlier."""
    predicted = predictor(frames)
    clean = torch.where(predictor.usable, frames, predicted)
    sigma = (law.variance(brightness(clean)) * predictor.spread).sqrt()
    over = standing_out(clean, clean - predicted, sigma, predictor, law.dark, _LEAST_OUTLIER).flatten()
    rare = min(len(over), _FEW + round(_RARE * len(over)))
    return max(_SIGNIFICANT_ONE, 1.5 * float(over.topk(rare).values[-1]))


def _pixels(frames: Tensor, spot: FinestSpot, bad: Tensor, noise: Noise) -> Tensor:
    """Single pixels that deviate from their predictions in most frames: (H, W) bool."""
    sure = _SIGNIFICANT * _MEDIAN / len(frames) ** 0.5 if len(frames) > 2 else _SIGNIFICANT_ONE
    bad = bad.clone()
    for _ in range(_ROUNDS):
        predictor = PixelPredictor(spot, ~bad)
        law = noise_law(frames, predictor, noise)
        predicted = predictor(frames)
        clean = torch.where(bad, predicted, frames)
        off = torch.where(bad, 0.0, _lasting(frames - predicted))[None]
        typical = clean.median(0).values[None]
        sigma = law.variance(brightness(typical)).sqrt()
        harmful = torch.maximum(_LEAST_OFFSET * sigma / sure, sigma * predictor.spread.sqrt())
        new = standing_out(typical, off, harmful, predictor, law.dark, sure)[0] > 0
        if not bool(new.any()):
            break
        bad |= new
    return bad


def _lasting(off: Tensor) -> Tensor:
    """Lasting part of differences (T, H, W): the median; of two frames the smaller value if the signs agree."""
    if len(off) != 2:
        return off.median(0).values
    both = off[0] * off[1] > 0
    return torch.where(both, torch.where(off[0].abs() < off[1].abs(), off[0], off[1]), 0.0)


def _lines(frames: Tensor, spot: FinestSpot, bad: Tensor, noise: Noise) -> Tensor:
    """Columns and rows, or long parts of them, that deviate from their neighbours in most frames."""
    for _ in range(_ROUNDS):
        columns = _columns(frames, spot, bad, noise)
        rows = _columns(frames.mT, spot, bad.mT, noise).mT
        if not bool(((columns | rows) & ~bad).any()):
            break
        bad = bad | columns | rows
    return bad


def _columns(frames: Tensor, spot: FinestSpot, bad: Tensor, noise: Noise) -> Tensor:
    """Columns that deviate most in their neighbourhood: (H, W) bool."""
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
    over = level.abs() / max(_LEAST_LINE_OFFSET, _LINE_SIGNIFICANT * float(spread))
    top = functional.max_pool2d(over[None], (1, 2 * _BESIDE_PX + 1), stride=1, padding=(0, _BESIDE_PX))[0]
    found = (over > 1) & (over == top)
    for piece, column in found.nonzero().tolist():
        _mark(out, off, parts, piece, column, float(level[piece, column]))
    return out


def _mark(out: Tensor, off: Tensor, parts: tuple[Tensor, ...], piece: int, column: int, level: float) -> None:
    """Mark a piece of a column, and its continuation above and below."""
    first = sum(len(part) for part in parts[:piece])
    last = first + len(parts[piece])
    along = off[:, column] / level
    while first > 0 and bool(along[max(0, first - 3) : first].nanmean() > 0.5):
        first -= 1
    while last < len(along) and bool(along[last : last + 3].nanmean() > 0.5):
        last += 1
    # A line that ends a few pixels before the chip's border most probably reaches it.
    first = 0 if first <= _BORDER_PX else first
    last = len(along) if last >= len(along) - _BORDER_PX else last
    out[first:last, column] = True


def _stuck(frames: Tensor, law: NoiseLaw) -> Tensor:
    """Pixels whose values change much less than the noise: (H, W) bool."""
    noise = law.at_dark**0.5
    if len(frames) < _STUCK_FRAMES or noise < _STUCK_NOISE:
        return torch.zeros(frames.shape[1:], dtype=torch.bool)
    return frames.std(0) < _STUCK * noise
