"""One fixed nucleus through three pairs of masks, each pair fitted together: do the lists agree?

    python benchmarks/fixed_nucleus_pairs.py MODELS LISTS

MODELS has the small models of `fixed_nucleus_models.py`. Each pair of snapshots is localized as `localize A B`
does it: each alone, the transform between them found from the two lists (the same positions where they are
too few), then both in one fit. Lists in the folder LISTS are read where they are there, and written where not.

Every list is then registered to every other one (`register`, with its depth offset) and compared within 250 nm
in 3D (Hungarian method): single masks with each other, and pairs with pairs. Of a pair, "seen in both" are the
rows whose light in each of the two channels is more than 3 σ.

jaccard: pairs over all molecules of both lists;  rms: of the pairs, lateral (each axis) and axial, nm;
by chance: pairs where one list is moved away by 1.5 µm, mean of eight directions.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import deepstorm3d as ds
from deepstorm3d.channels import ChannelPair, Transform
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.field import Field
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.io.tables import read_table
from deepstorm3d.jobs.channel_inputs import ChannelInput
from deepstorm3d.jobs.localize import ListFile
from deepstorm3d.jobs.localize_channels import ChannelsSummary, GivenTransform, localize_channels
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import Pipeline
from fixed_nucleus import AWAY_UM, DATA, MASKS, PIXEL_UM, pairs_of
from harness import arguments_of, report

PAIRS = {"tetra + edof": ("tetra", "edof"), "crlb": ("crlb1", "crlb2"), "learned": ("learn1", "learn2")}
SIDE_PX = 155


def pipeline_of(model: Path, mask: Path, rounds: int | None) -> Pipeline:
    """Of the model of one mask;  rounds: of adding molecules, None: as localize."""
    loaded = ds.load_model(model, mask=mask)
    if rounds is None:
        return loaded.pipeline()
    # Without rounds of adding, what the network proposes stays: at the threshold of its own lists.
    pipeline = loaded.pipeline(threshold=None if rounds else loaded.file.threshold)
    assert isinstance(pipeline.fit, JointFit)
    return replace(pipeline, fit=replace(pipeline.fit, rounds=rounds))


def localized(pair: str, arguments: argparse.Namespace) -> None:
    """Write the lists of both masks of a pair and that of the pair, where they are not there."""
    out = arguments.lists / f"{pair.replace(' ', '')}.hdf5"
    if out.exists():
        return
    begun = time.process_time()
    channels = [
        ChannelInput(
            Excerpt(arguments.data / f"fixedcell1_{name}.tif"),
            pipeline_of(
                arguments.models / f"{name}.pt", arguments.data / f"{MASKS[name]}.tif", arguments.rounds
            ),
        )
        for name in PAIRS[pair]
    ]
    both, file = (channels[0], channels[1]), ListFile(out, resume=True)
    try:
        summary = localize_channels(both, GivenTransform(), file)
    except InputError as error:
        print(f"{pair}: {error}; so the same positions are taken", flush=True)
        field = Field(SIDE_PX, SIDE_PX, PIXEL_UM)
        same = ChannelPair(Transform.identity(), (0.0, 0.0), (field, field))
        summary = localize_channels(both, GivenTransform(same), file)
    tell(pair, summary, time.process_time() - begun)


def add_rounds(parser: argparse.ArgumentParser) -> None:
    """The option of how much is added to the networks' lists."""
    parser.add_argument(
        "--rounds", type=int, help="of adding molecules (default: as localize; 0: the networks' lists, refined)"
    )


def tell(pair: str, summary: ChannelsSummary, spent: float) -> None:
    """What the program says of a pair."""
    print(
        f"{pair}: {summary.alone} alone, {summary.rows} rows of both, {summary.together} in both channels, "
        f"{summary.filled} looks filled in, {summary.split} divided, {summary.removed} removed, mean deviance "
        f"{summary.misfit[0]:.2f} and {summary.misfit[1]:.2f}, {spent:.0f} s",
        *summary.warnings,
        sep="\n  ",
        flush=True,
    )


def in_both(table: Localizations) -> Localizations:
    """The rows whose light is significant in each of two channels."""
    share, sigma = table.share, table.sigma_share
    assert share is not None and sigma is not None
    return table.select((sigma > 0) & (share > 3 * sigma) & (1 - share > 3 * sigma))


def compared(one: Localizations, other: Localizations) -> dict[str, Any]:
    """Figures of one list against another, registered to it."""
    try:
        found = ds.register(one, other)
        moved = found.undo(other)
    except InputError as error:
        return {"pairs": 0, "jaccard": 0.0, "note": error.what}
    points, reference = moved.xyz.double().numpy(), one.xyz.double().numpy()
    mine, theirs = pairs_of(points, reference)
    off = 1000 * (points[mine] - reference[theirs])
    angles = np.arange(8) * np.pi / 4
    away = AWAY_UM * np.column_stack([np.cos(angles), np.sin(angles), 0 * angles])
    return {
        "pairs": len(mine),
        "jaccard": round(len(mine) / (len(points) + len(reference) - len(mine)), 3),
        "rms lateral": round(float(np.sqrt((off[:, :2] ** 2).mean())), 1),
        "rms axial": round(float(np.sqrt((off[:, 2] ** 2).mean())), 1),
        "by chance": float(np.mean([len(pairs_of(points + each, reference)[0]) for each in away])),
    }


def lists_of(arguments: argparse.Namespace) -> dict[str, dict[str, Localizations]]:
    """Lists by kind and name."""
    kinds: dict[str, dict[str, Localizations]] = {"single masks": {}, "pairs": {}, "pairs, seen in both": {}}
    for pair, names in PAIRS.items():
        path = arguments.lists / f"{pair.replace(' ', '')}.hdf5"
        for name, channel in zip(names, ("first", "second"), strict=True):
            kinds["single masks"][name] = read_table(path.with_name(f"{path.stem}.{channel}.hdf5"))
        kinds["pairs"][pair] = read_table(path)
        kinds["pairs, seen in both"][pair] = in_both(kinds["pairs"][pair])
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("lists", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    add_rounds(parser)
    arguments = arguments_of(parser)
    if not arguments.data.exists():
        print(f"skipped: the data are not at {arguments.data}")
        return
    arguments.lists.mkdir(parents=True, exist_ok=True)
    for pair in PAIRS:
        localized(pair, arguments)
    rows: list[dict[str, Any]] = []
    for kind, lists in lists_of(arguments).items():
        for one, other in itertools.combinations(lists, 2):
            row = {
                "lists": kind,
                "one": one,
                "other": other,
                "found": f"{len(lists[one])}, {len(lists[other])}",
            }
            rows.append(row | compared(lists[one], lists[other]))
    report("One nucleus through three pairs of masks: agreement within 250 nm", rows, arguments)


if __name__ == "__main__":
    main()
