"""Molecules whose arrangement may be wrong, by what the fit leaves near them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..maxima import highest_around
from .likelihood import Likelihood
from .refine import Refined
from .selection import Selector
from .state import JointState

__all__ = ["doubtful", "pairs_overlap"]

# A molecule is doubtful if its (photons/σ)² is below this multiple of its penalty …
_WEAK = 3.0
# … or if one more molecule near it would lower the deviance by this share of the penalty: of 24,000 independent
# positions in noise (121×121 px), one in three frames has such a one anywhere.
_LEFT = 0.6
_NEAR_UM = 0.7  # half side of the square around a molecule in which light is sought that is not explained
# Spots overlap in a frame if at least this share of its molecules have two others so near, laterally, µm.
_SHARE = 0.2
_BESIDE_UM = 1.0


def pairs_overlap(state: JointState) -> Tensor:
    """Frames in which spots overlap, so that an arrangement can be wrong: (B,) bool."""
    place = state.xyz[:, :2]
    near = torch.cdist(place, place, compute_mode="donot_use_mm_for_euclid_dist") < _BESIDE_UM
    others = (near & (state.frame[:, None] == state.frame)).sum(1) - 1
    many = torch.zeros_like(state.counts).index_add_(0, state.frame, (others >= 2).long())
    return (many > 0) & (many >= _SHARE * state.counts)


def doubtful(selector: Selector, now: Refined, likelihood: Likelihood) -> Tensor:
    """Molecules that are hardly significant, or near light that the list does not explain: (N,) bool.

    Where two or three molecules stand in a wrong arrangement, one of them is often there only to fill a gap, or
    some light is left, less than a molecule more must bring.
    """
    state, model = now.state, selector.model
    if not len(state):
        return torch.zeros_like(state.frame, dtype=torch.bool)
    weak = selector.ranks(model, state, likelihood) < _WEAK
    image = model.image(state, likelihood)
    score, information = likelihood.score(image), likelihood.information(image)
    search = selector.propose.search
    reach = round(_NEAR_UM / search.pixel_um)
    left = torch.cat(
        [
            highest_around(search.gains(score[k : k + 1], information[k : k + 1])[0].amax(1), reach)
            for k in range(len(score))
        ]
    )
    column, row = (state.xyz[:, :2] / search.pixel_um).round().long().unbind(1)
    height, width = left.shape[1:]
    gain = left[state.frame, row.clamp(0, height - 1), column.clamp(0, width - 1)]
    return weak | (gain > _LEFT * selector.price)
