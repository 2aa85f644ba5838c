"""What the description in a TIFF file says of its frames: how many, in which order, of how many channels."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from .ome import images_here, ome_pixels, planes_here

if TYPE_CHECKING:
    import tifffile

__all__ = ["Described", "described_frames"]

METAMORPH_PLANES = 33629
"""The tag UIC2 of a MetaMorph stack has one entry a frame; its index lists only the first."""


@dataclass(frozen=True)
class Described:
    """frames: that are announced, 0 where nothing is said;  channels: that are frames, 0 or 1: none is;
    pages: (frames,) the image in the file that each frame is, None: in the order of the file.
    """

    frames: int = 0
    channels: int = 0
    pages: tuple[int, ...] | None = None


def described_frames(tiff: tifffile.TiffFile, first: Any, path: Path) -> Described:
    """What the file says of its frames;  first: its first page.

    Raises InputError for several colour channels, several images, and axes that have no names.
    """
    if first.is_micromanager:
        # Its descriptions count the frames of all files of a recording; the chain of pages counts its own.
        said = (tiff.micromanager_metadata or {}).get("Summary", {})
        sizes = (int(said.get(axis, 1)) for axis in ("Channels", "Frames", "Slices"))
        return Described(channels=_channels_as_frames(*sizes, path=path))
    if first.is_stk:
        return Described(int(first.tags[METAMORPH_PLANES].count) if METAMORPH_PLANES in first.tags else 1)
    if tiff.is_imagej:
        said = tiff.imagej_metadata or {}
        sizes = (int(said.get(axis, 1)) for axis in ("channels", "frames", "slices"))
        return Described(int(said.get("images", 1)), _channels_as_frames(*sizes, path=path))
    text = first.description or ""
    if "<OME" in text[:2000]:
        return _by_ome(text, path)
    return _by_tifffile(text, path) if text.startswith("{") else Described()


def _by_ome(text: str, path: Path) -> Described:
    pixels = ome_pixels(text)
    if not pixels:
        return Described()
    sizes = [int(pixels.get(axis, 1)) for axis in ("SizeC", "SizeT", "SizeZ")]
    channels, frames = _channels_as_frames(*sizes, path=path), math.prod(sizes)
    if frames == 1:
        return Described(frames)
    if (images := images_here(text)) > 1:
        raise InputError(
            f"{path}: {images} images (series) in one file, the first of {frames} frames",
            "save each as a file of its own (in ImageJ/Fiji: File > Import > Bio-Formats, File > Save As)",
        )
    planes = planes_here(text)
    if planes == {frame: frame for frame in range(len(planes))}:
        return Described(frames, channels)
    if len(planes) < frames and "FileName" in text:  # a file of a set, whose planes tifffile puts in order
        return Described(frames, channels)
    here = tuple(planes[frame] for frame in sorted(planes))
    if sorted(here) != list(range(frames)) or sorted(planes) != list(range(frames)):
        moved = next((frame for frame in sorted(planes) if frame != planes[frame]), None)
        if moved is None:
            lost = next(frame for frame in range(frames) if frame not in planes)
            wrong = f"leaves out frame {lost}, which is not at the end"
        else:
            wrong = f"takes frame {moved} from image {planes[moved]} of the file"
        raise InputError(
            f"{path}: its OME description {wrong}, and tells the places of {len(planes)} of {frames} frames",
            "save it anew in the order of time (in ImageJ/Fiji: File > Import > Bio-Formats, File > Save As)",
        )
    return Described(frames, channels, here)


def _by_tifffile(text: str, path: Path) -> Described:
    """From tifffile's own description: the shape of an array, and which axis is which."""
    try:
        said = json.loads(text)
    except ValueError:
        return Described()
    shape = said.get("shape", []) if isinstance(said, dict) else []
    # A file written page by page announces each page alone: its shape has no leading axis.
    if len(shape) <= 2:
        return Described()
    axes = str(said.get("axes", ""))
    if not axes and sum(length > 1 for length in shape[:-2]) > 1:
        raise InputError(
            f"{path}: an array of shape {tuple(shape)} whose axes have no names; a movie has (frames, height, "
            "width)",
            "write one channel in that shape, or name the axes (in tifffile: metadata={'axes': 'TZYX'})",
        )
    before = dict(zip(axes[:-2], shape[:-2], strict=False))
    channels = _channels_as_frames(int(before.pop("C", 1)), 1, *before.values(), path=path)
    return Described(math.prod(shape[:-2]), channels)


def _channels_as_frames(channels: int, *others: int, path: Path) -> int:
    """Channels that are frames: so programs write a movie whose axes were not named."""
    if channels > 1 and max(others) > 1:
        raise InputError(
            f"{path}: {channels} colour channels in one movie",
            "split them and give one (in ImageJ/Fiji: Image > Color > Split Channels)",
        )
    return channels
