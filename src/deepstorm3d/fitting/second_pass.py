"""What the network sees in frames without a part of their molecules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..emitters import Localizations
from .frame_model import FrameModel
from .likelihood import Likelihood
from .photometry import fit_light
from .state import JointState

__all__ = ["SecondPass", "crowded", "half"]

# A candidate nearer than this to a molecule of the list is that molecule, µm; a distance in depth counts half.
_SAME_UM = 0.12
# A frame is crowded if at least this share of its molecules have at least so many others within so many µm,
# laterally. Of uniform frames those with more than about 0.7 molecules/µm² are.
_SHARE = 0.2
_OTHERS = 4
_NEAR_UM = 1.0


@dataclass(frozen=True)
class SecondPass:
    """Completes lists by what the network sees once a part of their molecules is subtracted from the frames.

    Where many spots overlap, the network misses some, and the fit of the others takes up their light: little of
    it is left in the residual. Without half of the spots a frame is half as dense: the network sees the others
    again, and many that it missed.

    network: candidates in frames (B, H, W) of photons, given their numbers (B,) as well, as rows of frames
    0 … B−1;
    spacing_px: between knots of the background in the first guess of the photons;
    dim_photons: candidates of less than a tenth of it are dropped.
    """

    network: Callable[[Tensor, Tensor], Localizations]
    spacing_px: float
    dim_photons: float = 0.0

    def seen(
        self,
        now: tuple[JointState, Tensor],
        model: FrameModel,
        likelihood: Likelihood,
        shown: Tensor,
        *,
        replaced: bool,
    ) -> tuple[JointState, Tensor]:
        """The list with what the network sees in the frames without the light of the molecules not `shown`.

        now: the list, and (B,) numbers of its frames among all;
        shown: (N,) bool, molecules whose light stays in the frames;  replaced: the network's candidates take
        the place of these molecules; otherwise they join the list, as far as they are not in it.
        Returns the list and how many of the candidates were not in it before, (B,).
        """
        state, frames = now
        kept = state.rows(~shown)
        dark = replace(kept, coefficients=torch.zeros_like(kept.coefficients))
        rest = likelihood.frames - model.image(dark, likelihood)
        found = self.network(rest.clamp(min=0), frames).sort()
        xyz = torch.cat([found.xyz[:, :2], found.xyz[:, 2:].clamp(*model.bounds.z_um)], 1).to(state.xyz)
        new = ~_known(xyz, found.frame, state)
        count = torch.bincount(found.frame[new], minlength=state.frames)
        if replaced:
            state, new = kept, ~_known(xyz, found.frame, kept)
        xyz, frame = xyz[new], found.frame[new]
        light, _ = fit_light(
            model.psf,
            torch.cat([state.xyz, xyz]),
            torch.cat([state.frame, frame]),
            likelihood.frames,
            weight=likelihood.weight,
            noise=likelihood.noise,
            spacing_px=self.spacing_px,
        )
        photons = light[len(state) :]
        bright = photons > max(0.1 * self.dim_photons, model.bounds.photons)
        xyz, frame, photons = xyz[bright], frame[bright], photons[bright]
        blur = None
        if state.blur_px is not None:
            blur = torch.full_like(photons, sum(model.bounds.blur_px) / 2)
        return state.with_rows(xyz, photons, frame, blur), count


def crowded(state: JointState) -> Tensor:
    """Frames with so many overlapping spots that the network is likely to have missed molecules: (B,) bool."""
    place = state.xyz[:, :2]
    near = torch.cdist(place, place, compute_mode="donot_use_mm_for_euclid_dist") < _NEAR_UM
    others = (near & (state.frame[:, None] == state.frame)).sum(1) - 1
    many = torch.zeros_like(state.counts).index_add_(0, state.frame, (others >= _OTHERS).long())
    return (many > 0) & (many >= _SHARE * state.counts)


def half(state: JointState, number: int) -> Tensor:
    """Every second molecule of each frame in the order of x, y or z, or all others: (N,) bool.

    number: 0, 1, 2, …: an odd one gives the other half of the one before, and the axis changes after each pair.
    It depends on nothing but the molecules of the frame. Neighbours along an axis are in different halves.
    """
    axis, other = (number // 2) % 3, number % 2
    order = state.xyz[:, axis].argsort(stable=True)
    order = order[state.frame[order].argsort(stable=True)]
    begin = state.counts.cumsum(0) - state.counts
    rank = torch.arange(len(state), device=order.device) - begin[state.frame[order]]
    chosen = torch.empty_like(state.frame, dtype=torch.bool)
    chosen[order] = rank % 2 == other
    return chosen


def _known(xyz: Tensor, frame: Tensor, state: JointState) -> Tensor:
    """Which candidates are molecules of the list: (M,) bool."""
    scale = xyz.new_tensor([1.0, 1.0, 0.5])
    far = torch.cdist(xyz * scale, state.xyz * scale, compute_mode="donot_use_mm_for_euclid_dist")
    return ((far < _SAME_UM) & (frame[:, None] == state.frame)).any(1)
