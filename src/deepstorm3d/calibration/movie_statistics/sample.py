"""The frames of a movie that an estimate looks at: a few, spread evenly, with their defective pixels mended."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...chip import Maps
from ...errors import InputError
from ...experiment.experiment import Experiment
from ...frames.mean_variance import DarkLevel, dark_level
from ...frames.no_light import refuse_without_light
from ...io.movies import Movie, opened
from ...localizing.excerpt import Excerpt
from ...pixels.counts import whole_counts
from ...pixels.faults import PixelFaults

__all__ = ["Sample", "level_of_dark", "sample_of"]

# Largest number of pixels in the sample, over all of its frames.
_SAMPLE_PIXELS = 2**23
# Largest number of frames in the sample.
_SAMPLE_FRAMES = 200
# Frames whose pixels are mended at a time.
_AT_ONCE = 16


class Sample(NamedTuple):
    """Frames (B, H, W) as the file holds them; as float32, defective pixels mended; maps; faults."""

    stack: NDArray[Any]
    counts: Tensor
    maps: Maps
    faults: PixelFaults


def sample_of(excerpt: Excerpt, experiment: Experiment) -> Sample:
    """Frames spread evenly over the excerpt.

    Raises InputError where the movie's pixels are not the experiment's, and for frames without light.
    """
    with excerpt.open() as source:
        source.check_pixel(experiment)
        source = source.judged(experiment.camera, experiment.microscope)
        height, width = source.size
        first, last = source.span[0], source.last
        most = int(np.clip(_SAMPLE_PIXELS // (height * width), 1, _SAMPLE_FRAMES))
        numbers = np.unique(np.linspace(first, last - 1, min(most, last - first)).round().astype(int))
        inside = [n for n in numbers.tolist() if not any(a <= n < b for a, b in source.movie.gaps)]
        if not inside:
            raise InputError(f"{excerpt.name}: none of these frames can be read")
        frames = [source.read(n, n + 1) for n in inside]
        reader, maps = source.reader(experiment.camera), source.maps_of(experiment.camera)
    stack = np.concatenate(frames)
    refuse_without_light(stack, experiment.camera.saturation, excerpt.name)
    counts = torch.from_numpy(stack.astype(np.float32))
    mended = torch.cat([reader.mended(part) for part in counts.split(_AT_ONCE)])
    return Sample(stack, mended, maps, reader.faults)


def level_of_dark(dark: Path | Movie) -> DarkLevel:
    """Baseline and noise of a movie without light."""
    with opened(dark) as movie:
        frames = movie.read(0, min(movie.shape[0], _SAMPLE_FRAMES))
    return dark_level(torch.from_numpy(frames.astype(np.float32)), whole=whole_counts(frames))
