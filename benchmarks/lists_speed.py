"""How fast lists are filtered and linked, and how truly: simulated blinks of known molecules.

Molecules at random places of 1 µm depth shine through 3 frames on average; 5 % of their rows are missing; the
error of a row is drawn from its σ, 8, 9 and 15 nm at full light. Joined: of all pairs of successive rows of
one molecule at most one dark frame apart, the share that linking joins; true: the share of what it joins.
Seconds are those of the processor (one thread), which other work on the machine lengthens less than the clock.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from deepstorm3d.analysis.filters import rows_where
from deepstorm3d.analysis.linking import LinkRule, link_rows
from deepstorm3d.analysis.merging import merge_rows
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.simulation.blinking import blink
from harness import arguments_of, report

FILTER = "10 < z_nm < 500 & sqrt(sigma_xy_nm**2 + sigma_z_nm**2) < 40 | photons > 2000"
FULL_LIGHT, SIGMA_UM, MISSING = 3000.0, (0.008, 0.009, 0.015), 0.05


def blinks(molecules: int, frames: int, side_um: float) -> tuple[Emitters, Localizations]:
    """Truth and list, row by row."""
    g = torch.Generator().manual_seed(0)
    xyz = torch.rand(molecules, 3, generator=g) * torch.tensor([side_um, side_um, 1.0])
    light = torch.full((molecules,), FULL_LIGHT)
    truth = blink(xyz, light, frames, g, on_time=3.0, off_time=frames / 2)
    truth = truth.select(torch.rand(len(truth), generator=g) > MISSING)
    sigma = torch.tensor(SIGMA_UM) * (FULL_LIGHT / truth.photons.clamp(min=100)).sqrt()[:, None]
    place = truth.xyz + sigma * torch.randn(len(truth), 3, generator=g)
    found = Localizations.proposals(place, truth.frame, torch.ones(len(truth)))
    return truth, dataclasses.replace(found, photons=truth.photons, sigma_xyz=sigma, sigma_source="fit")


def successors(who: torch.Tensor, frame: torch.Tensor) -> np.ndarray:
    """Pairs of rows that follow each other in one molecule, as one number each."""
    order = np.lexsort((frame.numpy(), who.numpy()))
    w, f = who.numpy()[order], frame.numpy()[order]
    near = (w[1:] == w[:-1]) & (f[1:] - f[:-1] <= 2)
    return order[:-1][near] * len(order) + order[1:][near]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.process_time()
    done = work()
    return done, round(time.process_time() - begin, 2)


def linking(molecules: int, frames: int, side_um: float) -> dict[str, Any]:
    truth, found = blinks(molecules, frames, side_um)
    track, seconds = timed(lambda: link_rows(found, LinkRule()))
    merged, merging = timed(lambda: merge_rows(found, track))
    joined, true = successors(track, found.frame), successors(truth.id, truth.frame)
    both = len(np.intersect1d(joined, true))
    return {
        "rows": len(found),
        "per frame and µm²": round(len(found) / frames / side_um**2, 2),
        "link (s)": seconds,
        "merge (s)": merging,
        "molecules": len(merged),
        "joined": round(both / len(true), 4),
        "true": round(both / len(joined), 4),
    }


def main() -> None:
    arguments = arguments_of(argparse.ArgumentParser(description=__doc__))
    less = 50 if arguments.quick else 1
    rows = [
        linking(310_000 // less, 10_000 // less, 40.0),
        linking(10_000 // less, 1000 // less, 10.0),
        linking(20_000 // less, 600 // less, 5.0),
        linking(20_000 // less, 300 // less, 3.0),
    ]
    many = 10_000_000 // less
    table = blinks(1000, 1000, 10.0)[1]
    table = table.select(torch.arange(many) % len(table))
    kept, seconds = timed(lambda: rows_where(table, FILTER))
    figures = {"expression": FILTER, "rows": many, "kept": int(kept.sum()), "seconds": seconds}
    report("lists", rows, arguments, filter=figures)


if __name__ == "__main__":
    main()
