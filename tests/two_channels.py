"""Simulated lists of two channels: the same molecules or beads, through a known transform, with false rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from deepstorm3d.channels import Transform
from deepstorm3d.emitters import Localizations

FIELD_UM = 26.0
"""Side of the first channel's field."""
DEPTH_UM = 0.15
"""Depths of the second channel exceed those of the first by this."""


@dataclass(frozen=True)
class TwoChannels:
    """How many molecules, how many of them in a frame, and what is wrong with the rows."""

    pairs: int
    in_frame: int = 10
    mirrored: bool = False
    false_share: float = 0.3
    sigma_um: float = 0.02
    seed: int = 0

    def transform(self) -> Transform:
        """3° and 1.02 times as large, with terms of the second degree of 200 nm in all at the edge."""
        g, half, turn = np.random.default_rng(self.seed), FIELD_UM / 2, np.deg2rad(3.0)
        matrix = 1.02 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        matrix = matrix @ np.diag([-1.0, 1.0]) if self.mirrored else matrix
        bend = g.normal(size=(2, 3))
        bend *= 0.2 / np.linalg.norm(bend, axis=1, keepdims=True)
        middle = np.array([[half + 0.7], [half - 0.4]])
        coefficients = np.hstack([middle, matrix * half, bend])
        return Transform(torch.from_numpy(coefficients), torch.full((2,), half), half)

    def lists(self) -> tuple[Localizations, Localizations]:
        """The rows of both channels."""
        g = np.random.default_rng(self.seed + 1)
        frame = np.arange(self.pairs) // self.in_frame
        first = np.column_stack([g.uniform(0, FIELD_UM, (self.pairs, 2)), g.uniform(0, 4, self.pairs)])
        there = self.transform().apply(torch.from_numpy(first[:, :2])).numpy()
        second = np.column_stack([there, first[:, 2] + DEPTH_UM])
        return self._seen(first, frame, g), self._seen(second, frame, g)

    def _seen(
        self, xyz: NDArray[np.float64], frame: NDArray[np.int64], g: np.random.Generator
    ) -> Localizations:
        """Rows with their errors, and false ones anywhere among them."""
        false = round(self.false_share / (1 - self.false_share) * len(xyz))
        sigma = self.sigma_um * np.array([1.0, 1.0, 2.0])
        anywhere = g.uniform(0, 1, (false, 3)) * [FIELD_UM, FIELD_UM, 4]
        rows = np.concatenate([xyz + g.normal(size=xyz.shape) * sigma, anywhere])
        frames = np.concatenate([frame, g.integers(0, int(frame.max()) + 1, false)])
        return rows_of(rows, frames, sigma)


def beads(places: NDArray[np.float64], frames: int, *, seed: int) -> Localizations:
    """Rows of beads at xyz (N, 3) µm in most frames, each with an error of 10 nm."""
    g = np.random.default_rng(seed)
    rows = np.repeat(places, frames, axis=0) + g.normal(size=(len(places) * frames, 3)) * 0.01
    seen = g.random(len(rows)) < 0.9
    return rows_of(rows[seen], np.tile(np.arange(frames), len(places))[seen], np.full(3, 0.01))


def rows_of(xyz: NDArray[np.float64], frame: NDArray[np.int64], sigma: NDArray[np.float64]) -> Localizations:
    """A list in order of frames, all rows with the same σ."""
    table = Localizations.proposals(torch.from_numpy(xyz), torch.from_numpy(frame), torch.ones(len(xyz)))
    known = torch.from_numpy(sigma).expand(len(xyz), 3).contiguous()
    return replace(table, sigma_xyz=known).sort()


def error_um(found: Transform, true: Transform) -> float:
    """Distance between two transforms, rms over the field, µm."""
    steps = torch.linspace(0, FIELD_UM, 25, dtype=torch.float64)
    at = torch.cartesian_prod(steps, steps)
    return float((found.apply(at) - true.apply(at)).square().sum(1).mean().sqrt())
