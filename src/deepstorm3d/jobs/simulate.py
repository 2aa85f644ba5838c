"""Simulate: an experiment becomes a movie of camera counts and the list of what is in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ..analysis.drift import DriftCurve
from ..chip import check_size
from ..emitters import Emitters
from ..errors import InputError
from ..experiment.experiment import Experiment, psf_source
from ..experiment.light_patch import patch_for_light
from ..field import Field
from ..frames.companions import shown_field
from ..io.movies import MovieWriter
from ..io.movies.preparation import Prepared
from ..io.parts import write_text
from ..io.tables import TableWriter, open_truth_writer
from ..simulation.simulator import Simulator
from ..simulation.specimen import Specimen
from ..streams import stream
from ..watch import SILENT, Watcher

__all__ = [
    "MovieSimulation",
    "SimulatedBlock",
    "SimulationSummary",
    "simulate_movie",
]

BLOCK_PIXELS = 2**22
"""Pixels computed at a time, the borders for overhanging patches included: 16 MB in single precision.

Measured on two cores: blocks of 47 MB take 1.3 times as long, since an allocator hands memory above 32 MB
back to the system and gets it again page by page.
"""


@dataclass(frozen=True)
class SimulationSummary:
    """What was simulated.

    emitters: rows of truth inside the frames;  labelled: of these, at least as bright as the scene's
    `min_photons`;  patch_px, encircled_energy: side of the patch, and the least fraction of a molecule's
    light on it over the depths;  clipped: pixels beyond 16 bits;  saturated_frames: with
    a pixel at the camera's saturation.
    """

    frames: int
    emitters: int
    labelled: int
    patch_px: int
    encircled_energy: float
    clipped: int
    saturated_frames: int


def simulate_movie(
    simulation: MovieSimulation,
    out: Path,
    *,
    truth: Path | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> SimulationSummary:
    """Write a simulated movie as 16-bit TIFF, and the true emitters as ThunderSTORM CSV.

    truth: gets every emitter inside the frame where it is seen, the dim ones too; a drift is written next to
    it, to ``NAME.drift.csv``;  watch: told the frames done.
    Raises InputError for what does not fit; nothing then stands under the final names.
    """
    experiment, frames = simulation.experiment, simulation.frames
    pixel_um, shape = experiment.microscope.pixel_um, experiment.frame_px
    rows = labelled = saturated = 0
    with (
        _truth_file(truth, pixel_um, frames, shape, overwrite) as table,
        MovieWriter(out, frames=frames, shape=shape, pixel_um=pixel_um, overwrite=overwrite) as movie,
    ):
        for block in simulation.blocks():
            movie.append(block.counts.numpy())
            saturated += int((block.counts >= experiment.camera.saturation).flatten(1).any(1).sum())
            if table is not None:
                table.append(block.truth, frames_done=block.stop)
            rows += len(block.truth)
            labelled += int(simulation.scene.emitters.labelled(block.truth).sum())
            watch.progress(block.stop, frames)
        clipped = movie.clipped
    if simulation.drift is not None and truth is not None:
        drift = simulation.drift.double()
        curve = DriftCurve(np.arange(frames), drift.numpy(), np.zeros((frames, 3)))
        write_text(truth.with_name(f"{truth.stem}.drift.csv"), curve.to_csv())
    patch_px, encircled_energy = simulation.patch_px, simulation.encircled_energy
    return SimulationSummary(frames, rows, labelled, patch_px, encircled_energy, clipped, saturated)


class SimulatedBlock(NamedTuple):
    """Frames start … stop−1: camera counts (n, H, W), and the emitters inside the frames."""

    start: int
    stop: int
    counts: Tensor
    truth: Emitters


class MovieSimulation:
    """A movie of an experiment, drawn a block of frames at a time.

    The PSF is tabulated on a patch that holds 95 % of the light at every depth where the sampling of the mask
    or the measured planes permit (`patch_for_light`), at least as large as the experiment's own; what lies
    beyond is lost.

    specimen: what is seen; the scene's own emitters where left out;  scene: one of the experiment's, the first
    else;  seed: of all random numbers, the experiment's else.
    Attributes: `scene`, `patch_px`, `encircled_energy` (least share of a molecule's light on the patch)
    and, once `blocks` has begun, `drift` ((frames, 3) µm, None where nothing drifts).
    Raises InputError for what does not fit.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        frames: int,
        specimen: Specimen | None = None,
        scene: str | None = None,
        seed: int | None = None,
    ) -> None:
        if frames < 1:
            raise InputError(f"a movie needs at least one frame, {frames} were asked for")
        check_size(experiment.camera.load_maps(), experiment.frame_px, "the simulated frames (frame_px)")
        self.experiment, self.frames = experiment, frames
        self.scene = experiment.scene(scene)
        self.drift: Tensor | None = None
        self._specimen = specimen or Specimen()
        frame = Field(*experiment.frame_px, experiment.microscope.pixel_um)
        self._field = shown_field(frame, experiment.psf.across, experiment.camera, Prepared())
        self._generator = stream(experiment.seed if seed is None else seed, "movie")
        source = psf_source(experiment)
        self.patch_px, self.encircled_energy = patch_for_light(experiment, source)
        self._simulator = _simulator(experiment, source, self.patch_px, self._field)

    def blocks(self) -> Iterator[SimulatedBlock]:
        """The frames in order, as many at a time as the memory takes; the random numbers go on from block to
        block, so a movie is drawn once."""
        field, generator, frames = self._field, self._generator, self.frames
        self.drift = self._specimen.drift(frames, generator)
        draw = self._specimen.draw_of(self.scene, field, self.drift, frames, generator)
        side = [length + 2 * self.patch_px for length in self.experiment.frame_px]
        step = max(1, BLOCK_PIXELS // (side[0] * side[1]))
        for start in range(0, frames, step):
            count = min(step, frames - start)
            here, background = draw(start, count)
            counts = self._simulator(here.shift(frames=-start), background, generator)
            yield SimulatedBlock(start, start + count, counts, here.select(field.inside(here.xyz)))


def _simulator(experiment: Experiment, source: Any, patch_px: int, field: Field) -> Simulator:
    spec = experiment.psf.with_(patch_px=patch_px)
    psf = spec.tabulate(experiment.microscope, source, experiment.z_um, experiment.blur_px)
    return Simulator(psf, experiment.camera, field)


@contextmanager
def _truth_file(
    path: Path | None, pixel_um: float, frames: int, shape: tuple[int, int], overwrite: bool
) -> Iterator[TableWriter[Emitters] | None]:
    """The growing list, named after the movie is complete; nothing is left of a failed run."""
    if path is None:
        yield None
        return
    writer = open_truth_writer(path, pixel_um=pixel_um, frames=frames, shape=shape, overwrite=overwrite)
    try:
        yield writer
        writer.finish()
    except BaseException:
        writer.discard()
        raise
