"""One fixed nucleus seen through six masks (Nehme et al. 2021): do the six lists agree?

    python benchmarks/fixed_nucleus.py MODELS --lists LISTS    # a folder of tetra.pt, edof.pt, crlb1.pt …

Each snapshot of 155×155 px is localized with the model trained for its mask, with and without the joint fit.
There is no truth, but the molecules are the same: each list is compared with each other one. The network's
list is laid on the other by the shift on which most molecules agree; then, since the two masks of a pair
stood in two paths of light whose images differ by about 1 % in magnification, by straight lines (x and y
linear in x and y, z linear in z) through the pairs found, until the pairs stay. The joint fit's list is laid
on by the lines of the network's, and then by its own. Pairs are counted within 250 nm in 3D (Hungarian
method).

Lists in the folder LISTS are read where they are there, and written where not: a joint fit takes minutes.

jaccard: pairs over all molecules of both lists;  rms: of the pairs, lateral (per axis) and axial, nm;
by chance: pairs where the list is moved away by 1.5 µm, mean of eight directions.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deepstorm3d.analysis.matching import match
from deepstorm3d.analysis.point_registration import register_points
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.movies import open_movie
from deepstorm3d.io.tables import read_table, write_table
from deepstorm3d.localizing.catalogue import find_model
from deepstorm3d.localizing.pipeline import load_pipeline
from harness import arguments_of, report

DATA = Path(__file__).parents[2] / "shared" / "data" / "nebulae"
MASKS = {
    "tetra": "mask_oracle1",
    "edof": "mask_oracle2",
    "crlb1": "mask_crlb1",
    "crlb2": "mask_crlb2",
    "learn1": "mask_learned_fixed1",
    "learn2": "mask_learned_fixed2",
}
TOLERANCE_UM, AWAY_UM, ROUNDS, FEWEST, PIXEL_UM = 0.25, 1.5, 4, 8, 0.11
Points = NDArray[np.float64]


def localized(name: str, arguments: argparse.Namespace, *, refine: bool) -> Localizations:
    """The list of one snapshot, from the folder of lists or made anew."""
    kept = None
    if arguments.lists is not None:
        kept = arguments.lists / f"{name}.{'joint' if refine else 'network'}.hdf5"
        if kept.exists():
            return read_table(kept)
    with open_movie(arguments.data / f"fixedcell1_{name}.tif") as movie:
        counts = torch.from_numpy(movie.read(0, 1).astype(np.float32))
    model = find_model(arguments.models / f"{name}.pt")
    mask = arguments.data / f"{MASKS[name]}.tif"
    pipeline = load_pipeline(model, mask=mask, device=arguments.device, refine=refine)
    found = pipeline.localize(pipeline.to_photons(counts)).to("cpu")
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_table(kept, found, pixel_um=PIXEL_UM, frames=1, shape=tuple(counts.shape[1:]))
    return found


def pairs_of(points: Points, reference: Points) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of both that belong together, within the tolerance."""
    frames = [torch.zeros(len(each), dtype=torch.int64) for each in (points, reference)]
    truth = Emitters(
        torch.from_numpy(reference), frames[1], torch.ones(len(reference)), torch.arange(len(reference))
    )
    found = Localizations.proposals(torch.from_numpy(points), frames[0], torch.ones(len(points)))
    pairs = match(truth, found, tolerance_um=TOLERANCE_UM)
    return pairs.found_index.numpy(), pairs.truth_index.numpy()


@dataclass(frozen=True)
class Lines:
    """Straight lines from one list to another: x and y of x, y and 1 (3, 2), z of z and 1 (2, 1)."""

    across: Points
    depth: Points

    def __call__(self, points: Points) -> Points:
        one = np.ones(len(points))
        return np.column_stack(
            [
                np.column_stack([points[:, :2], one]) @ self.across,
                np.column_stack([points[:, 2], one]) @ self.depth,
            ]
        )


def shift_between(points: Points, reference: Points) -> Lines | None:
    """The shift on which most molecules agree; None where there is none."""
    try:
        shift = register_points(points, reference).xyz
    except InputError:
        return None
    return Lines(np.vstack([np.eye(2), shift[None, :2]]), np.array([[1.0], [shift[2]]]))


def settled(start: Lines, points: Points, reference: Points) -> Lines:
    """The lines through the pairs that the lines before have given."""
    for _ in range(ROUNDS):
        mine, other = pairs_of(start(points), reference)
        if len(mine) < FEWEST:
            return start
        one = np.ones(len(mine))
        flat, deep = np.column_stack([points[mine, :2], one]), np.column_stack([points[mine, 2], one])
        start = Lines(
            np.linalg.lstsq(flat, reference[other, :2], rcond=None)[0],
            np.linalg.lstsq(deep, reference[other, 2:], rcond=None)[0],
        )
    return start


def compared(lines: Lines | None, points: Points, reference: Points) -> dict[str, Any]:
    """Figures of one list against another."""
    if lines is None:
        return {"pairs": 0, "jaccard": 0.0}
    moved = lines(points)
    mine, other = pairs_of(moved, reference)
    off = 1000 * (moved[mine] - reference[other])
    angles = np.arange(8) * np.pi / 4
    away = AWAY_UM * np.column_stack([np.cos(angles), np.sin(angles), 0 * angles])
    return {
        "pairs": len(mine),
        "jaccard": len(mine) / (len(points) + len(reference) - len(mine)),
        "rms lateral": float(np.sqrt((off[:, :2] ** 2).mean())),
        "rms axial": float(np.sqrt((off[:, 2] ** 2).mean())),
        "by chance": float(np.mean([len(pairs_of(moved + each, reference)[0]) for each in away])),
    }


def draw(lists: dict[str, Localizations], data: Path, out: Path) -> None:
    """Every snapshot with its molecules, coloured by depth."""
    from matplotlib.figure import Figure

    figure = Figure((15, 10), layout="constrained")
    for axes, (name, found) in zip(
        figure.subplots(-(-len(lists) // 3), min(3, len(lists))).flat, lists.items(), strict=False
    ):
        with open_movie(data / f"fixedcell1_{name}.tif") as movie:
            axes.imshow(movie.read(0, 1)[0], cmap="gray", vmax=float(np.percentile(movie.read(0, 1), 99.7)))
        x, y, z = found.xyz.numpy().T
        marks = axes.scatter(x / PIXEL_UM, y / PIXEL_UM, c=z, s=26, cmap="turbo", linewidths=1)
        marks.set(facecolor="none", edgecolor=marks.to_rgba(z))
        axes.set_title(f"{name}: {len(found)} molecules, z {z.min():.1f} to {z.max():.1f} µm", fontsize=10)
        axes.set_axis_off()
    figure.savefig(out, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--network-alone", action="store_true", help="leave the joint fit out: it takes minutes"
    )
    parser.add_argument("--lists", type=Path, help="a folder for the lists")
    parser.add_argument(
        "--masks", nargs="+", choices=MASKS, default=list(MASKS), help="of these snapshots only"
    )
    parser.add_argument("--picture", type=Path, help="the six snapshots with their molecules")
    arguments = arguments_of(parser)
    rows: list[dict[str, Any]] = []
    lines: dict[tuple[str, str], Lines | None] = {}
    lists: dict[str, Localizations] = {}
    for refine in (False,) if arguments.network_alone else (False, True):
        lists = {name: localized(name, arguments, refine=refine) for name in arguments.masks}
        points = {name: found.xyz.double().numpy() for name, found in lists.items()}
        print({name: len(each) for name, each in points.items()}, flush=True)
        for pair in itertools.combinations(arguments.masks, 2):
            one, other = (points[name] for name in pair)
            start = lines[pair] if refine else shift_between(one, other)
            lines[pair] = None if start is None else settled(start, one, other)
            row = {"list": "joint fit" if refine else "network", "one": pair[0], "other": pair[1]}
            rows.append(row | {"found": f"{len(one)}, {len(other)}"} | compared(lines[pair], one, other))
    if arguments.picture is not None:
        draw(lists, arguments.data, arguments.picture)
    report("One nucleus through six masks: agreement within 250 nm", rows, arguments)


if __name__ == "__main__":
    main()
