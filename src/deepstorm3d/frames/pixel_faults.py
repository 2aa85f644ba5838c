"""Looks for faulty pixels in a sample of the frames of a movie, before the movie is processed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..camera import Camera
from ..chip import Maps
from ..errors import InputError
from ..io.movies.movie_source import Movie
from ..io.movies.preparation import Prepared
from ..optics.microscope import Microscope
from ..pixels.clipping import clipped_noise
from ..pixels.counts import whole_counts
from ..pixels.defects import find_defects
from ..pixels.faults import PixelFaults
from ..pixels.prediction import FinestSpot
from ..pixels.saturation import plateau
from .companions import prepared_maps

__all__ = ["DefectChoice", "defects_meant", "faults_of", "frames_to_wait_for", "known_defects", "sample_frames"]

DefectChoice = Literal["auto", "none"] | Path
"""auto: defective pixels are detected;  none: all pixels are used as they are;  a .npy file lists them."""

# Frames in the sample.
_FRAMES = 16
# Pixels in the sample; with large frames it has fewer frames, …
_PIXELS = 2**20
# … but not fewer than this.
_FEWEST = 3


def defects_meant(given: DefectChoice | str) -> DefectChoice:
    """The choice that is meant, where the name of a file may be a text."""
    return Path(given) if isinstance(given, str) and given not in ("auto", "none") else given  # pyright: ignore


def faults_of(
    counts: NDArray[Any],
    camera: Camera,
    maps: Maps,
    microscope: Microscope,
    *,
    begin: tuple[int, int] = (0, 0),
    known: Tensor | None = None,
    look: bool = True,
) -> PixelFaults:
    """The pixel faults that these frames show.

    counts: (T, H, W), spread over the movie;  maps: of the camera, for these pixels;  begin: column and row of
    the first of them in the frame;  known: (H, W) bool, defective pixels; if given, no others are searched;
    look: whether faults are searched at all.
    Raises InputError where all pixels are known to be defective.
    """
    if known is not None and bool(known.all()):
        raise InputError(
            f"the defects (`defects`) mark every pixel of this region of {known.shape[1]} x {known.shape[0]} "
            "px as defective",
            "choose another region, or `defects=auto`",
        )
    frames = torch.from_numpy(counts.astype(np.float32))
    size = (frames.shape[1], frames.shape[2])
    spot = FinestSpot(microscope.wavelength, microscope.na, microscope.pixel_um)
    said = camera.saturation
    if counts.dtype.kind in "iu":
        said = min(said, float(np.iinfo(counts.dtype).max))
    end = plateau(frames) if whole_counts(counts) else None
    noise = camera.pixel_noise(maps).averaged().at_least_shot_noise()
    photons = camera.to_photons(frames, maps)
    photon = camera.to_photons(frames[:1] + 1, maps) - photons[:1]
    hidden = clipped_noise(frames) * float(photon.median())
    known = known if look else torch.zeros(size, dtype=torch.bool)
    found = find_defects(photons, spot, noise=noise, hidden=hidden, known=known)
    return PixelFaults(
        size=size,
        begin=begin,
        defective=tuple((row, column) for row, column in found.bad.nonzero().tolist()),
        spot=spot,
        law=found.law,
        sigmas=found.sigmas if look else float("inf"),
        full=said if end is None else min(said, end),
        stated_full=said,
        share=0.0 if found.plausible else found.share,
    )


def sample_frames(movie: Movie, prepared: Prepared, *, growing: bool = False) -> NDArray[Any]:
    """A few frames (T, H, W) of a movie, the same for any part of it that is processed.

    prepared: preparation of the movie;  growing: whether it is still being recorded.
    The frames are spread evenly. If a level is subtracted for each window of frames, or the movie grows, they
    are the first ones. Frames that cannot be read are left out.
    Raises InputError where none can be read, as the movie does.
    """
    count, height, width = movie.shape
    most = min(count, max(_FEWEST, min(_FRAMES, _PIXELS // (height * width))))
    last = count
    if growing:
        last = most
    elif prepared.subtract != "none":
        last = min(count, prepared.window)
    wanted = np.unique(np.linspace(0, last - 1, min(most, last)).round().astype(int)).tolist()
    frames = [frame for number in wanted if (frame := _read(movie, number)) is not None]
    # If none can be read, the error of the first frame gives the reason.
    return np.concatenate(frames) if frames else movie.read(wanted[0], wanted[0] + 1)


def frames_to_wait_for(prepared: Prepared) -> int:
    """Number of frames that a growing movie must have before its pixels can be judged."""
    return _FRAMES if prepared.subtract == "none" else 2 * prepared.window


def _read(movie: Movie, number: int) -> NDArray[Any] | None:
    if any(first <= number < last for first, last in movie.gaps):
        return None
    try:
        return movie.read(number, number + 1)
    except InputError:
        # The error is raised again when this frame itself is needed.
        return None


def known_defects(choice: DefectChoice, prepared: Prepared, shape: Sequence[int]) -> Tensor | None:
    """Defective pixels (H, W) bool of prepared frames from a file, None if the choice is not a file.

    shape: of the prepared movie (frames, height, width).
    Raises InputError where the file is not a .npy array of two dimensions, or not of the stored frames' size.
    """
    if not isinstance(choice, Path):
        return None
    try:
        values = np.load(choice, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"the defects {choice} (`defects`) cannot be read ({error})",
            "give auto, none or a .npy file of shape (height, width) that is nonzero at defective pixels",
        ) from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "biuf":
        raise InputError(
            f"the defects {choice} (`defects`) are not a two-dimensional array of numbers",
            "save an array (height, width) with numpy that is nonzero at defective pixels",
        )
    defects = torch.from_numpy(values != 0)
    if bool(defects.all()):
        raise InputError(f"the defects {choice} (`defects`) mark every pixel as defective (nonzero: defective)")
    return prepared_maps({"defects": defects.float()}, prepared, (shape[1], shape[2]))["defects"] > 0
