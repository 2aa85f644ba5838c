"""The files that an experiment names: masks, PSFs, camera maps, transforms, and their paths beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..camera import Camera
from ..optics.masks import FileMask, MaskSpec
from .channel import Channel

if TYPE_CHECKING:
    from .experiment import Experiment

__all__ = ["files_named", "with_files_beside", "with_files_named_from", "with_files_renamed"]

Rename = Callable[[str], str]
AnyMaskSpec = TypeVar("AnyMaskSpec", bound=MaskSpec)


def with_files_beside(experiment: Experiment, folder: Path) -> Experiment:
    """The experiment with paths of its files in a folder, if these files exist there."""

    def beside(path: str) -> str:
        return str(folder / path) if (folder / path).exists() else path

    return with_files_renamed(experiment, beside)


def files_named(experiment: Experiment) -> list[str]:
    """Paths of the files that the experiment names: camera maps, masks, PSFs, transforms."""
    found: list[str] = []

    def noted(path: str) -> str:
        found.append(path)
        return path

    with_files_renamed(experiment, noted)
    return found


def with_files_named_from(experiment: Experiment, folder: Path) -> Experiment:
    """The experiment with the paths that its file in this folder should have, so that both move together.

    Files in or below the folder are named relative to it, others from the root: the inverse of
    `with_files_beside`. Names of files that there are not stay as they are.
    """
    home = folder.resolve()

    def beside(path: str) -> str:
        if not Path(path).exists():
            return path
        whole = Path(path).resolve()
        return str(whole.relative_to(home)) if whole.is_relative_to(home) else str(whole)

    return with_files_renamed(experiment, beside)


def with_files_renamed(experiment: Experiment, rename: Rename) -> Experiment:
    """The experiment with another path for each file that it names, those of its further channels too."""
    channels = {name: _channel(channel, rename) for name, channel in experiment.channels.items()}
    return experiment.with_(
        camera=_camera(experiment.camera, rename),
        mask=_mask(experiment.mask, rename),
        psf=experiment.psf.renamed(lambda path: _named(path, rename)),
        channels=channels,
    )


def _channel(channel: Channel, rename: Rename) -> Channel:
    return channel.with_(
        camera=None if channel.camera is None else _camera(channel.camera, rename),
        mask=None if channel.mask is None else _mask(channel.mask, rename),
        psf=None if channel.psf is None else channel.psf.renamed(lambda path: _named(path, rename)),
        transform=rename(channel.transform) if channel.transform else channel.transform,
    )


def _camera(camera: Camera, rename: Rename) -> Camera:
    named = {name: rename(path) for name, path in camera.maps_named().items()}
    return camera.with_(**named) if named else camera


def _mask(mask: AnyMaskSpec, rename: Rename) -> AnyMaskSpec:
    return mask.with_(path=rename(mask.path)) if isinstance(mask, FileMask) and mask.path else mask


def _named(path: str, rename: Rename) -> str:
    return rename(path) if path else path
