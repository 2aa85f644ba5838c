"""A live nucleus in two cameras behind a pair of masks (Nehme et al. 2021): both channels, tracks, diffusion.

    python benchmarks/live_nucleus.py MODELS LISTS

MODELS has the small models of `live_nucleus_models.py`. The movies are localized as `localize A B` does it:
each channel alone, then every frame in both together, once with the transform that the data's owners measured,
once with the one found from the lists (`register`). Each list is tracked (`track`, 0.1 s a frame, the shutter
open all the time). Lists in the folder LISTS are read where they are there, and written where not.

For each list: rows a frame, trajectories of three rows and more, those of at least half of the frames, median
length; D from the trajectories with its error, and the localization error that the trajectories show on x, y, z
beside the σ that the rows state.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import torch

import deepstorm3d as ds
from deepstorm3d.analysis.trajectories import FrameTiming, TrackRule, track_list
from deepstorm3d.channels import ChannelPair, Transform
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.field import Field
from deepstorm3d.io.tables import read_table
from deepstorm3d.jobs.channel_inputs import ChannelInput
from deepstorm3d.jobs.localize import ListFile
from deepstorm3d.jobs.localize_channels import GivenTransform, localize_channels
from deepstorm3d.localizing.excerpt import Excerpt
from fixed_nucleus import DATA, PIXEL_UM
from fixed_nucleus_pairs import add_rounds, in_both, pipeline_of, tell
from harness import arguments_of, report
from live_nucleus_models import MASKS

SIDE_PX, FRAMES = 256, 30
# From the first channel to the second, µm from the middle of each: as the data's owners measured it.
MATRIX = [[1.01002185, -0.00786473], [0.00468756, 1.01382323]]
OFFSET_UM = [0.07049558, 0.07880941]
WAYS = ("owners", "found")


def owners_transform() -> ChannelPair:
    """The owners' transform, in µm from the first pixel."""
    matrix = torch.tensor(MATRIX, dtype=torch.float64)
    middle = torch.full((2,), (SIDE_PX - 1) / 2 * PIXEL_UM, dtype=torch.float64)
    offset = middle + torch.tensor(OFFSET_UM, dtype=torch.float64) - matrix @ middle
    field = Field(SIDE_PX, SIDE_PX, PIXEL_UM)
    return ChannelPair(Transform.affine(matrix, offset), (0.0, 0.05), (field, field))


def localized(arguments: argparse.Namespace) -> None:
    """Write the lists of both channels, alone and together, where they are not there."""
    span = (0, arguments.frames)
    channels = [
        ChannelInput(
            Excerpt(arguments.data / f"live_channel{number}_30.tif", frames=span),
            pipeline_of(arguments.models / f"{name}.pt", arguments.data / f"{mask}.tif", arguments.rounds),
        )
        for number, (name, mask) in enumerate(MASKS.items(), 1)
    ]
    both = (channels[0], channels[1])
    given = {"owners": GivenTransform(owners_transform(), "the owners' transform"), "found": GivenTransform()}
    for way in WAYS:
        out = arguments.lists / f"{way}.hdf5"
        if out.exists():
            continue
        if way == "found":
            for path in arguments.lists.glob("owners.*.hdf5"):
                shutil.copy(path, path.with_name(path.name.replace("owners", "found")))
        begun = time.process_time()
        try:
            summary = localize_channels(both, given[way], ListFile(out, resume=True))
        except InputError as error:
            print(f"{way}: {error}", flush=True)
            continue
        tell(way, summary, time.process_time() - begun)
        if summary.transform is not None:
            compare_transforms(summary.transform)


def compare_transforms(path: Path) -> None:
    """How far the transform that was found is from the owners', over the middle of the frame."""
    found, owners = ds.read_transform(path), owners_transform()
    side = torch.linspace(0.25, 0.75, 11) * SIDE_PX * PIXEL_UM
    places = torch.cartesian_prod(side, side).double()
    off = 1000 * (found.transform.apply(places) - owners.transform.apply(places))
    print(
        f"found: {found.transform}, owners: {owners.transform}; apart in the middle half of the frame by "
        f"{off.mean(0).tolist()} nm on average, {float(off.square().sum(1).mean().sqrt()):.0f} nm rms; depth "
        f"offset {found.depth}",
        flush=True,
    )


def tracked(name: str, table: Localizations, frames: int) -> dict[str, Any]:
    """What the trajectories of a list show."""
    rule = TrackRule(timing=FrameTiming(interval=0.1, exposure=0.1))
    found = track_list(table, rule)
    track = found.localizations.track
    assert track is not None
    lengths = torch.bincount(track[track >= 0])
    row: dict[str, Any] = {
        "list": name,
        "rows a frame": round(len(table) / frames, 1),
        "tracks": found.tracks,
        "half and longer": int((lengths >= frames / 2).sum()),
        "median length": found.median_length,
        "rows in tracks": round(found.kept / max(1, len(table)), 2),
    }
    if found.diffusion is not None:
        axes = found.diffusion.axes
        row |= {
            "D, 1e-3 µm²/s": round(1000 * found.diffusion.coefficient, 2),
            "error": round(1000 * found.diffusion.coefficient_error, 2),
            "D x, y, z": [round(1000 * axis.coefficient, 2) for axis in axes],
            "sigma nm": [round(1000 * axis.sigma_um, 1) for axis in axes],
            "stated nm": [round(1000 * value, 1) for value in found.stated_sigma_um],
        }
    for text in found.warnings:
        print(f"{name}: {text}", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("lists", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--frames", type=int, default=FRAMES, help="first frames of the movies")
    add_rounds(parser)
    arguments = arguments_of(parser)
    if not arguments.data.exists():
        print(f"skipped: the data are not at {arguments.data}")
        return
    arguments.lists.mkdir(parents=True, exist_ok=True)
    localized(arguments)
    lists = {
        "first camera": "owners.first",
        "second camera": "owners.second",
        "both, the owners' transform": "owners",
        "both, found from the lists": "found",
    }
    rows = []
    for name, file in lists.items():
        path = arguments.lists / f"{file}.hdf5"
        if path.exists():
            table = read_table(path)
            rows.append(tracked(name, table, arguments.frames))
            if file in WAYS:
                rows.append(tracked(f"{name}, seen in both", in_both(table), arguments.frames))
    report("A live nucleus in two cameras", rows, arguments)


if __name__ == "__main__":
    main()
