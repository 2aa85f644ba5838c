"""Designed masks against each other: what `compare-psf` measured, paired by training, with intervals.

The masks come from `design-psf` on the preset `mask-design` (2 µm of depth, 10,000 to 60,000 photons in a
nucleus): "single" and "crowd" with --by fisher (learning rate 0.05; crowd at 0.8 per µm²) from the
astigmatic start, "learned" with a network from the flat mask. Then, in one folder,

  deepstorm3d compare-psf mask-design learned.npy single.npy crowd.npy astigmatic zero --seeds 3 --out DIR

trains the same network for each mask and seed. Every mask sees the same emitters, background and seeds, so
differences are taken seed by seed; intervals are 95 % (Student's t over the seeds).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from harness import arguments_of, interval, report

FIGURES = ("jaccard", "rmse_lateral_nm", "rmse_axial_nm")


def read(path: Path) -> dict[tuple[str, float], list[dict[str, float]]]:
    """Figures of every training, in order of seed, by mask and density."""
    found: dict[tuple[str, float], list[dict[str, float]]] = {}
    with path.open(encoding="utf-8") as file:
        for row in sorted(csv.DictReader(file), key=lambda row: int(row["seed"])):
            values = {name: float(row[name] or "nan") for name in (*FIGURES, "emitters")}
            found.setdefault((row["mask"], float(row["density"])), []).append(values)
    return found


def told(values: list[float], digits: int) -> str:
    mean, low, high = interval(values)
    return f"{mean:.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparison", type=Path, metavar="CSV", help="comparison.csv of compare-psf")
    parser.add_argument("--against", default="single", help="mask whose figures are taken off the others'")
    arguments = arguments_of(parser)
    found = read(arguments.comparison)
    rows = []
    for (mask, density), trainings in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        others = found.get((arguments.against, density))
        row = {"per µm²": density, "mask": mask, "trainings": len(trainings)}
        for name, digits in zip(FIGURES, (3, 1, 1), strict=True):
            row[name] = round(sum(each[name] for each in trainings) / len(trainings), digits)
        if others and mask != arguments.against:
            for name, digits in zip(FIGURES, (3, 1, 1), strict=True):
                apart = [a[name] - b[name] for a, b in zip(trainings, others, strict=False)]
                row[f"{name} less {arguments.against}"] = told(apart, digits)
        rows.append(row)
    report("Masks compared", rows, arguments, emitters=int(next(iter(found.values()))[0]["emitters"]))


if __name__ == "__main__":
    main()
