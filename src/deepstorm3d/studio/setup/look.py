"""What an experiment looks like: a simulated frame, the PSF through depth, and a real frame beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...api.masks import psf
from ...errors import InputError
from ...experiment.experiment import Experiment
from ...frames.pixel_values import PixelHistogram, pixel_histograms
from ...frames.similarity import Similarity, compare_frames
from ...jobs.simulate import MovieSimulation
from ...watch import Watcher, advance

__all__ = ["ExperimentView", "FurtherChannel", "ViewQuestion", "view_experiment"]

# Depths at which the PSF is shown.
_PLANES = 7
# Highest count of a movie of 16 bits.
_MOST = 65535
# Smallest side of frames whose likeness can be told, px.
_LEAST_PX = 16


@dataclass(frozen=True, eq=False)
class ViewQuestion:
    """What to look at.

    experiment: the set-up;  scene: one of its scenes, the first where empty;  seed: of the simulated frame;
    real: (H, W) counts of a frame of the movie, None where none is open;  real_name: tells it from others.
    """

    experiment: Experiment
    scene: str = ""
    seed: int = 0
    real: NDArray[Any] | None = None
    real_name: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for questions that have the same answer."""
        return self.experiment, self.scene, self.seed, self.real_name


@dataclass(frozen=True, eq=False)
class FurtherChannel:
    """What a further channel sees of the same molecules.

    name, share: of the channel, and of the light that it has;  frame: (H, W) counts;  planes: (Z, h, h), as of
    `ExperimentView`, of molecules at the same depths of the first channel;  pixel_um: camera pixel.
    """

    name: str
    share: float
    frame: NDArray[np.uint16]
    planes: NDArray[np.float32]
    pixel_um: float


@dataclass(frozen=True, eq=False)
class ExperimentView:
    """What an experiment looks like.

    number: grows from view to view;  frame: (H, W) counts, simulated;  molecules: in it;  planes: (Z, h, h)
    share of a molecule's photons in each pixel, at depths (Z,) µm;  edges, histograms: of pixel values, by
    "simulated" and "real";  alike: how like the two are, None where there is no real frame;
    remarks: sentences;  further: the channels after the first.
    """

    number: int
    frame: NDArray[np.uint16]
    molecules: int
    planes: NDArray[np.float32]
    depths: NDArray[np.float64]
    edges: NDArray[np.float64]
    histograms: dict[str, PixelHistogram]
    alike: Similarity | None
    remarks: tuple[str, ...]
    further: tuple[FurtherChannel, ...] = ()

    def strip(self) -> NDArray[np.float32]:
        """The planes side by side (h, Z·h), each over its brightest pixel, square root: for its faint tails.

        Of several channels one row each, below the other.
        """
        rows = [self.planes, *(channel.planes for channel in self.further)]
        side = max(planes.shape[1] for planes in rows)
        return np.concatenate([_row_of(planes, side) for planes in rows])


def _row_of(planes: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Planes (Z, h, h) side by side, each in the middle of a square of this side: (side, Z·side)."""
    scaled = np.sqrt(planes.clip(0) / planes.max((1, 2), keepdims=True).clip(1e-12))
    before = (side - planes.shape[1]) // 2
    margin = (before, side - planes.shape[1] - before)
    return np.concatenate(list(np.pad(scaled, ((0, 0), margin, margin))), 1)


def view_experiment(asked: ViewQuestion, number: int, watch: Watcher) -> ExperimentView:
    """Simulate one frame, compute the PSF through depth, compare with the real frame.

    Raises InputError where the experiment cannot be simulated, Interrupted where `watch` stops the work.
    """
    experiment = asked.experiment
    advance(watch, 0, 2, "simulating a frame")
    made = MovieSimulation(experiment, frames=1, scene=asked.scene or None, seed=asked.seed)
    block = next(made.blocks())
    counts = np.rint(block.counts.numpy())
    frames = _as_stored(counts)
    advance(watch, 1, 2, "the PSF through depth")
    depths = np.linspace(*experiment.z_um, _PLANES)
    planes = psf(experiment.of_channel(0), depths)
    further = _further(experiment, [np.rint(seen.numpy()) for seen in block.further])
    named = {"simulated": frames} if asked.real is None else {"real": asked.real, "simulated": frames}
    edges, histograms = pixel_histograms(named)
    alike, remarks = _likeness(asked.real, frames)
    remarks += _remarks(planes, counts, experiment.camera.saturation)
    return ExperimentView(
        number, frames[0], len(block.truth), planes, depths, edges, histograms, alike, tuple(remarks), further
    )


def _as_stored(counts: NDArray[np.floating]) -> NDArray[np.uint16]:
    return np.clip(counts, 0, _MOST).astype(np.uint16)


def _further(experiment: Experiment, counts: Sequence[NDArray[np.floating]]) -> tuple[FurtherChannel, ...]:
    """What each further channel sees; counts: (1, H, W) of each."""
    found = []
    for number, (name, channel, seen) in enumerate(
        zip(experiment.channels, experiment.channels.values(), counts, strict=True), 1
    ):
        alone = experiment.of_channel(number)
        planes = psf(alone, np.linspace(*alone.z_um, _PLANES))
        found.append(
            FurtherChannel(name, channel.light, _as_stored(seen)[0], planes, alone.microscope.pixel_um)
        )
    return tuple(found)


def _remarks(planes: NDArray[np.float32], counts: NDArray[np.float32], saturation: float) -> list[str]:
    """Light beyond the patch, and pixels beyond what the camera or a file can hold."""
    held = 100 * float(planes.sum((1, 2)).min())
    told = [f"the patch of {planes.shape[1]} px holds {held:.0f} % or more of a molecule's light"]
    full = int((counts >= min(saturation, _MOST)).sum())
    return told + ([f"{full} pixels of the simulated frame are saturated"] if full else [])


def _likeness(real: NDArray[Any] | None, frames: NDArray[np.uint16]) -> tuple[Similarity | None, list[str]]:
    """How like a real frame (H, W) is to simulated ones (N, h, w), and what there is to say about it."""
    if real is None:
        return None, []
    if min(real.shape) < _LEAST_PX:
        return None, [f"the real frame is smaller than {_LEAST_PX} px: it is not compared"]
    try:
        alike = compare_frames(real[None].astype(np.float64), frames.astype(np.float64))
    except InputError as error:
        return None, [str(error)]
    return alike, alike.complaints() or ["the simulated frame measures like the real one"]
