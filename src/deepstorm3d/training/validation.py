"""Validation on a fixed set of simulated frames: Jaccard index, precision, recall and errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..analysis.matching import Matches, match
from ..analysis.metrics import Score, score
from ..emitters import Localizations
from ..localizer.localizer import NetworkLocalizer
from ..localizer.precision import mixed_precision
from .sampler import Batch

__all__ = ["Validation", "propose", "validate"]

# Probability thresholds that are tried, in this order; the first with the best Jaccard index is stored with the
# model. Low ones are for networks whose values are no probabilities: the voxel network divides an uncertain
# molecule's brightness among several voxels.
_THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.15, 0.1, 0.05)
# Width of the border excluded from the score, px: at most half of a molecule's image is visible there.
_BORDER_PX = 8
_AT_ONCE = 8  # frames evaluated at a time
_FRACTIONS = ("jaccard", "precision", "recall", "f1")  # figures that are undefined without emitters


@dataclass(frozen=True)
class Validation:
    """Score at the best threshold, and the mean loss per emitter over the same frames."""

    score: Score
    threshold: float
    loss: float

    @property
    def jaccard(self) -> float | None:
        """Jaccard index, 0 to 1; None if the frames contain no emitter."""
        return self.score.jaccard if self.score.tp + self.score.fn else None

    def to_mapping(self) -> dict[str, Any]:
        """The score as plain numbers; fractions are None if the frames contain no emitter."""
        figures = self.score.to_mapping()
        return figures if self.jaccard is not None else figures | dict.fromkeys(_FRACTIONS)


@torch.no_grad()
def propose(
    localizer: NetworkLocalizer, batch: Batch, *, threshold: float, half_precision: bool
) -> tuple[Localizations, float]:
    """Candidates in a batch, and the mean loss; a few frames are evaluated at a time to bound the memory."""
    found, losses = [], []
    for start in range(0, len(batch.photons), _AT_ONCE):
        seen = batch.seen[start : start + _AT_ONCE]
        rows = (batch.truth.frame >= start) & (batch.truth.frame < start + len(seen))
        with mixed_precision(seen.device, half_precision):
            raw = localizer(seen)
        losses.append(float(localizer.network.loss(raw, batch.truth.select(rows).shift(frames=-start))))
        found.append(localizer.network.decode(raw.float(), threshold).shift(frames=start))
    return Localizations.concat(found), sum(losses) / len(losses)


def validate(localizer: NetworkLocalizer, batch: Batch, pixel_um: float, *, half_precision: bool) -> Validation:
    """Score a localizer on a fixed batch, in evaluation mode.

    Emitters are matched by the Hungarian method within 150 nm in 3D, excluding the crops' borders.
    """
    was_training = localizer.training
    localizer.eval()
    found, loss = propose(localizer, batch, threshold=min(_THRESHOLDS), half_precision=half_precision)
    localizer.train(was_training)
    best: tuple[Score, float] | None = None
    for threshold in _THRESHOLDS:
        kept = found.select(found.probability >= threshold)
        figures = score(batch.truth, kept, _match(batch, kept, pixel_um))
        if best is None or figures.jaccard > best[0].jaccard:
            best = figures, threshold
    assert best is not None
    return Validation(score=best[0], threshold=best[1], loss=loss)


def _match(batch: Batch, found: Localizations, pixel_um: float) -> Matches:
    height, width = _size(batch.photons)
    edges = (-0.5 * pixel_um, -0.5 * pixel_um, (width - 0.5) * pixel_um, (height - 0.5) * pixel_um)
    border = _BORDER_PX * pixel_um if min(height, width) > 4 * _BORDER_PX else 0.0
    return match(batch.truth, found, tolerance_um=0.15, field_um=edges, border_um=border)


def _size(photons: Tensor) -> tuple[int, int]:
    return photons.shape[-2], photons.shape[-1]
