"""Molecules that diffuse, as a localizer would list them: with errors, misses and false detections."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import ArrayLike

from deepstorm3d.emitters import Localizations

__all__ = ["SIGMA_UM", "diffusing", "successors", "tracked"]

SIGMA_UM = (0.012, 0.012, 0.020)


def diffusing(
    molecules: int = 60,
    frames: int = 50,
    coefficient: ArrayLike = 1.5e-3,
    *,
    box_um: tuple[float, float, float] = (20.0, 20.0, 4.0),
    missed: float = 0.1,
    false: float = 3.0,
    sigma_um: tuple[float, float, float] = SIGMA_UM,
    drift_um: float = 0.0,
    exposures: int = 1,
    seed: int = 0,
) -> tuple[Localizations, torch.Tensor]:
    """A list, frame by frame, and the molecule of each row, −1 of a false one.

    coefficient: D, µm² per frame, of all or of each molecule;  missed: part of the molecules in a frame;
    false: detections a frame;  drift_um: common step on x;  exposures: positions averaged within a frame that
    is exposed throughout (motion blur).
    """
    g = np.random.default_rng(seed)
    box = np.array(box_um)
    spread = np.sqrt(2 * np.broadcast_to(coefficient, (molecules,)) / exposures)[:, None]
    steps = spread * g.normal(size=(frames * exposures, molecules, 3)) + [drift_um / exposures, 0, 0]
    path = g.uniform(0, 1, (molecules, 3)) * box + np.cumsum(steps, axis=0)
    path = path.reshape(frames, exposures, molecules, 3).mean(axis=1)
    path += np.array(sigma_um) * g.normal(size=path.shape)
    seen = g.random((frames, molecules)) >= missed
    frame, who = np.nonzero(seen)
    count = g.poisson(false, frames)
    xyz = np.concatenate([path[seen], g.uniform(0, 1, (count.sum(), 3)) * box])
    frame = np.concatenate([frame, np.repeat(np.arange(frames), count)])
    who = np.concatenate([who, np.full(count.sum(), -1)])
    order = np.lexsort((g.random(len(frame)), frame))
    place = torch.from_numpy(xyz[order].astype(np.float32))
    table = Localizations.proposals(place, torch.from_numpy(frame[order]), torch.ones(len(place)))
    sigma = torch.tensor(sigma_um).expand(len(place), 3).contiguous()
    table = dataclasses.replace(
        table, sigma_xyz=sigma, sigma_source="fit", photons=torch.full_like(place[:, 0], 2e4)
    )
    return table, torch.from_numpy(who[order])


def tracked(table: Localizations, track: torch.Tensor) -> Localizations:
    """The list with a trajectory for each row."""
    return dataclasses.replace(table, track=track)


def successors(who: torch.Tensor, frame: torch.Tensor, gap: int = 0) -> set[tuple[int, int]]:
    """Pairs of rows that follow each other in one trajectory with at most `gap` frames between them."""
    order = np.lexsort((frame.numpy(), who.numpy()))
    w, f = who.numpy()[order], frame.numpy()[order]
    same = (np.diff(w) == 0) & (np.diff(f) <= gap + 1) & (w[1:] >= 0)
    return set(zip(order[:-1][same].tolist(), order[1:][same].tolist(), strict=True))
