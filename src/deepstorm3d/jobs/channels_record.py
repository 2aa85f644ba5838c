"""How the frames of two channels were read, and the transform, in the record of their list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..camera import Camera
from ..channels import ChannelPair
from ..errors import InputError
from ..io.movies.preparation import Prepared
from ..io.parts import beside, claim_name
from ..io.transforms import channels_of, mapping_of, read_transform, write_transform
from ..localizing.over_channels import ChannelMovie
from ..localizing.pipeline import Pipeline
from ..spec import Spec, spec_from_mapping
from .localize import ListFile

__all__ = [
    "claim_transform_file",
    "keep_transform",
    "prepared_of",
    "record_of",
    "recorded_transform",
    "transform_file",
    "with_recorded_cameras",
]


class _RecordedCamera(Spec):
    camera: Camera


def record_of(movies: Sequence[ChannelMovie], pair: ChannelPair) -> dict[str, object]:
    """How the rows of all channels were made, for the table's header; lists have an entry for each channel.

    movies: opened, with the faults of their pixels;  pair: from the first channel to the second.
    """
    sources, pipelines = [movie.source for movie in movies], [movie.pipeline for movie in movies]
    faults = [source.excerpt.faults for source in sources]
    return {
        "movie": sources[0].excerpt.name,
        "channels": [source.excerpt.name for source in sources],
        "frames": list(sources[0].span),
        "roi": [list(source.roi) for source in sources],
        "prepared": [source.excerpt.prepared.to_mapping() for source in sources],
        "threshold": [pipeline.localizer.threshold for pipeline in pipelines],
        "method": pipelines[0].method,
        "refined": pipelines[0].fit is not None,
        "defects": [source.excerpt.defects_named for source in sources],
        "pixels": [None if found is None else found.to_mapping() for found in faults],
        "cameras": [pipeline.camera.to_mapping() for pipeline in pipelines],
        "model_sha256": [pipeline.model_sha256 for pipeline in pipelines],
        "experiments": [pipeline.experiment.to_mapping() for pipeline in pipelines],
        "transform": mapping_of(pair),
    }


def prepared_of(made: Mapping[str, Any], channels: int = 2) -> list[Prepared]:
    """How the frames of each channel were prepared; as stored where the list does not say it.

    made: provenance of the list, also of one channel.
    Raises InputError for a record that cannot be read.
    """
    told = made.get("prepared") or {}
    each = told if isinstance(told, list) else [told] * channels
    return [spec_from_mapping(Prepared, one, source="the list's record") for one in each]


def with_recorded_cameras(
    pipelines: tuple[Pipeline, Pipeline], made: Mapping[str, Any]
) -> tuple[Pipeline, Pipeline]:
    """The pipelines with the cameras that the list was localized with; as they are where it does not say it.

    made: provenance of the list.
    Raises InputError for a record that cannot be read.
    """
    told = made.get("cameras")
    if not isinstance(told, list) or len(told) != len(pipelines):
        return pipelines
    first, second = (_with_camera(pipeline, one) for pipeline, one in zip(pipelines, told, strict=True))
    return first, second


def recorded_transform(made: Mapping[str, Any]) -> ChannelPair | None:
    """The transform that the list was localized with, None where it does not say it.

    made: provenance of the list.
    Raises InputError for a record that cannot be read.
    """
    told = made.get("transform")
    return channels_of(told, "the list's record") if isinstance(told, Mapping) else None


def transform_file(out: Path) -> Path:
    """The file beside a list that holds the transform between its channels."""
    return beside(out, ".transform.yaml")


def claim_transform_file(out: ListFile, pair: ChannelPair | None) -> None:
    """Check, before any work is done, that the transform may be written beside the list.

    pair: the transform, None: still to be found.
    Raises InputError where another transform lies there that may not be replaced.
    """
    path = transform_file(out.path)
    if pair is None or not _holds(path, pair):
        claim_name(path, overwrite=out.overwrite or out.resume)


def keep_transform(out: Path, pair: ChannelPair) -> Path:
    """Write the transform beside the list, unless its file lies there already; the file."""
    path = transform_file(out)
    if not _holds(path, pair):
        write_transform(path, pair, overwrite=True)
    return path


def _holds(path: Path, pair: ChannelPair) -> bool:
    """Whether a file holds this transform, wherever it was found."""
    if not path.is_file():
        return False
    try:
        there = read_transform(path)
    except InputError:
        return False
    return mapping_of(there) == mapping_of(pair)


def _with_camera(pipeline: Pipeline, told: Mapping[str, Any]) -> Pipeline:
    camera = spec_from_mapping(_RecordedCamera, {"camera": told}, source="the list's record").camera
    maps = {name: values.to(pipeline.device) for name, values in camera.load_maps().items()}
    return replace(pipeline, camera=camera, maps=maps)
