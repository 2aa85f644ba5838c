"""One fixed nucleus seen through six masks (Nehme et al. 2021): do the six lists agree?

    python benchmarks/fixed_nucleus.py MODELS    # a folder of tetra.pt, edof.pt, crlb1.pt …

Each snapshot of 155×155 px is localized with the model trained for its mask, with and without the joint fit.
There is no truth, but the molecules are the same: each list is compared with each other one. A list is laid on
the other by the shift on which most molecules agree; then, since the two masks of a pair stood in two paths of
light whose images differ by about 1 % in magnification, by straight lines (x and y linear in x and y, z linear
in z) through the pairs found, until the pairs stay. Pairs are counted within 250 nm in 3D (Hungarian method).

jaccard: pairs over all molecules of both lists;  rms: of the pairs, lateral (per axis) and axial, nm;
by chance: the Jaccard index against the other list mirrored left to right, laid on in the same way.
"""

from __future__ import annotations

import argparse
import itertools
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
TOLERANCE_UM, ROUNDS, PIXEL_UM = 0.25, 4, 0.11
Points = NDArray[np.float64]


def localized(name: str, folder: Path, data: Path, device: str, *, refine: bool) -> Localizations:
    """The list of one snapshot."""
    with open_movie(data / f"fixedcell1_{name}.tif") as movie:
        counts = torch.from_numpy(movie.read(0, 1).astype(np.float32))
    model = find_model(folder / f"{name}.pt")
    pipeline = load_pipeline(model, mask=data / f"{MASKS[name]}.tif", device=device, refine=refine)
    return pipeline.localize(pipeline.to_photons(counts)).to("cpu")


def pairs_of(points: Points, reference: Points) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of both that belong together, within the tolerance."""
    frames = [torch.zeros(len(each), dtype=torch.int64) for each in (points, reference)]
    truth = Emitters(
        torch.from_numpy(reference), frames[1], torch.ones(len(reference)), torch.arange(len(reference))
    )
    found = Localizations.proposals(torch.from_numpy(points), frames[0], torch.ones(len(points)))
    pairs = match(truth, found, tolerance_um=TOLERANCE_UM)
    return pairs.found_index.numpy(), pairs.truth_index.numpy()


def laid_on(points: Points, reference: Points) -> Points:
    """The points on the reference: shifted, then along straight lines through the pairs."""
    moved = points + register_points(points, reference).xyz
    for _ in range(ROUNDS):
        mine, other = pairs_of(moved, reference)
        if len(mine) < 8:
            return moved
        across = np.column_stack([points[:, :2], np.ones(len(points))])
        depth = np.column_stack([points[:, 2], np.ones(len(points))])
        lateral = np.linalg.lstsq(across[mine], reference[other, :2], rcond=None)[0]
        axial = np.linalg.lstsq(depth[mine], reference[other, 2:], rcond=None)[0]
        moved = np.column_stack([across @ lateral, depth @ axial])
    return moved


def compared(points: Points, reference: Points) -> dict[str, Any]:
    """Figures of one list against another."""
    try:
        moved = laid_on(points, reference)
    except InputError:
        return {"pairs": 0, "jaccard": 0.0}
    mine, other = pairs_of(moved, reference)
    off = 1000 * (moved[mine] - reference[other])
    return {
        "pairs": len(mine),
        "jaccard": len(mine) / (len(points) + len(reference) - len(mine)),
        "rms lateral": float(np.sqrt((off[:, :2] ** 2).mean())),
        "rms axial": float(np.sqrt((off[:, 2] ** 2).mean())),
    }


def draw(lists: dict[str, Localizations], data: Path, out: Path) -> None:
    """Every snapshot with its molecules, coloured by depth."""
    from matplotlib.figure import Figure

    figure = Figure((15, 10), layout="constrained")
    for axes, (name, found) in zip(figure.subplots(2, 3).flat, lists.items(), strict=True):
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
    parser.add_argument("--picture", type=Path, help="the six snapshots with their molecules")
    arguments = arguments_of(parser)
    rows: list[dict[str, Any]] = []
    for refine in (False,) if arguments.network_alone else (False, True):
        lists = {
            name: localized(name, arguments.models, arguments.data, arguments.device, refine=refine)
            for name in MASKS
        }
        points = {name: found.xyz.double().numpy() for name, found in lists.items()}
        print({name: len(each) for name, each in points.items()}, flush=True)
        for one, other in itertools.combinations(MASKS, 2):
            mirrored = points[other] * np.array([-1.0, 1.0, 1.0]) + np.array([154 * PIXEL_UM, 0.0, 0.0])
            chance = compared(points[one], mirrored)["jaccard"]
            how = "joint fit" if refine else "network"
            row = {
                "list": how,
                "one": one,
                "other": other,
                "found": f"{len(points[one])}, {len(points[other])}",
            }
            rows.append(row | compared(points[one], points[other]) | {"by chance": chance})
    if arguments.picture is not None:
        draw(lists, arguments.data, arguments.picture)
    report("One nucleus through six masks: agreement within 250 nm", rows, arguments)


if __name__ == "__main__":
    main()
