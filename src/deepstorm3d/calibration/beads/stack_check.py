"""Checks a stack of beads against its camera, before anything is fitted to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ...camera import Camera
from ...chip import Maps
from ...frames.no_light import refuse_without_light
from ...frames.plausibility import check_frames
from ...io.movies import Movie, opened, path_of

__all__ = ["check_stack"]

# Most pixels that are checked.
_PIXELS = 2**19
# Most frames that are checked.
_FRAMES = 24


def check_stack(source: Path | Movie, camera: Camera, maps: Maps) -> list[str]:
    """What of a stack's frames contradicts its camera, in words.

    maps: of the camera, for the pixels of the frames.
    Raises InputError for a stack without light: black or constant, saturated, not finite.
    """
    with opened(source) as movie:
        count, height, width = movie.shape
        most = int(np.clip(_PIXELS // (height * width), 1, _FRAMES))
        numbers = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
        counts = np.concatenate([movie.read(n, n + 1) for n in numbers.tolist()])
    refuse_without_light(counts, camera.saturation, path_of(source))
    photons = camera.to_photons(torch.from_numpy(counts.astype(np.float32)), maps)
    return [finding.text for finding in check_frames(counts, photons, camera, maps=maps)]
