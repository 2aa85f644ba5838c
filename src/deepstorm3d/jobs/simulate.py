"""Simulate: an experiment becomes a movie of camera counts and the list of what is in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..analysis.drift import DriftCurve
from ..chip import check_size
from ..emitters import Emitters
from ..errors import InputError
from ..experiment.experiment import Experiment, psf_source
from ..field import Field
from ..io.movies import MovieWriter
from ..io.parts import write_text
from ..io.tables import TableWriter, open_truth_writer
from ..optics.model import PSFSource, build_psf, tabulate
from ..optics.psf import Images, on_axis
from ..optics.tabulated import TabulatedPSF
from ..optics.volume import widest_patch_px
from ..psf_volume import PSFVolume
from ..simulation.simulator import Simulator
from ..simulation.specimen import Specimen
from ..streams import stream
from ..watch import SILENT, Watcher

__all__ = [
    "LIGHT_HELD",
    "SimulationSummary",
    "patch_for_light",
    "simulate_movie",
]

LIGHT_HELD = 0.95
"""Fraction of a molecule's light that the patch of a simulated movie holds, at every depth, where it can."""

BLOCK_PIXELS = 2**22
"""Pixels computed at a time, the borders for overhanging patches included: 16 MB in single precision.

Measured on two cores: blocks of 47 MB take 1.3 times as long, since an allocator hands memory above 32 MB
back to the system and gets it again page by page.
"""

_DEPTHS = 9


@dataclass(frozen=True)
class SimulationSummary:
    """What was simulated.

    emitters: rows of truth inside the frames;  labelled: of these, at least as bright as the scene's
    `min_photons`;  patch_px, light_held: side of the patch, and the least fraction of a molecule's
    light on it over the depths;  clipped: pixels beyond 16 bits;  saturated_frames: with
    a pixel at the camera's saturation.
    """

    frames: int
    emitters: int
    labelled: int
    patch_px: int
    light_held: float
    clipped: int
    saturated_frames: int


def simulate_movie(
    experiment: Experiment,
    out: Path,
    *,
    frames: int,
    specimen: Specimen | None = None,
    truth: Path | None = None,
    scene: str | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> SimulationSummary:
    """Write a movie of the experiment's camera as 16-bit TIFF, and the true emitters as ThunderSTORM CSV.

    The PSF is tabulated on a patch that holds 95 % of the light at every depth where the sampling of the mask
    or the measured planes permit (`patch_for_light`), at least as large as the experiment's own; what lies
    beyond is lost.

    specimen: what is seen; the scene's own emitters where left out;
    truth: gets every emitter inside the frame where it is seen, the dim ones too; a drift goes beside it, to
    ``NAME.drift.csv``;  scene: one of the experiment's, the first else;  seed: of all random numbers, the
    experiment's else.
    Raises InputError for what does not fit; nothing then stands under the final names.
    """
    if frames < 1:
        raise InputError(f"a movie needs at least one frame, {frames} were asked for")
    check_size(experiment.camera.load_maps(), experiment.frame_px, "the simulated frames (frame_px)")
    specimen = specimen or Specimen()
    chosen, source = experiment.scene(scene), psf_source(experiment)
    pixel_um, shape = experiment.microscope.pixel_um, experiment.frame_px
    field = Field(*shape, pixel_um)
    generator = stream(experiment.seed if seed is None else seed, "movie")
    with (
        _truth_file(truth, pixel_um, frames, shape, overwrite) as table,
        MovieWriter(out, frames=frames, shape=shape, pixel_um=pixel_um, overwrite=overwrite) as movie,
    ):
        patch_px, held = patch_for_light(experiment, source)
        simulator = _simulator(experiment, source, patch_px, field)
        drift = specimen.drift(frames, generator)
        draw = specimen.draw_of(chosen, field, drift, frames, generator)
        rows = labelled = saturated = 0
        side = [length + 2 * patch_px for length in shape]
        block = max(1, BLOCK_PIXELS // (side[0] * side[1]))
        for start in range(0, frames, block):
            count = min(block, frames - start)
            here, background = draw(start, count)
            counts = simulator(here.shift(frames=-start), background, generator)
            movie.append(counts.numpy())
            saturated += int((counts >= experiment.camera.saturation).flatten(1).any(1).sum())
            here = here.select(_inside(here, field))
            if table is not None:
                table.append(here, frames_done=start + count)
            rows += len(here)
            labelled += int(chosen.emitters.labelled(here).sum())
            watch.progress(start + count, frames)
        clipped = movie.clipped
    if drift is not None and truth is not None:
        curve = DriftCurve(np.arange(frames), drift.double().numpy(), np.zeros((frames, 3)))
        write_text(truth.with_name(f"{truth.stem}.drift.csv"), curve.to_csv())
    return SimulationSummary(frames, rows, labelled, patch_px, held, clipped, saturated)


def patch_for_light(experiment: Experiment, source: PSFSource, light: float = LIGHT_HELD) -> tuple[int, float]:
    """Side of the smallest patch that holds a fraction of the light at every depth, and the fraction it holds.

    No smaller than the experiment's patch, no larger than the image period of the mask's pixels permits
    (half of it), than measured planes are, or than a molecule anywhere in the frame needs: the largest is given
    where none suffices.
    """
    spec = experiment.psf
    psf = _widest(experiment, source)
    largest = psf.patch_px
    z = torch.linspace(*experiment.z_um, _DEPTHS)
    xyz = on_axis(z)
    with torch.no_grad():
        values = psf(xyz, torch.full_like(z, experiment.blur_px[1])).values
    held = 0.0
    for side in range(spec.patch_px, largest + 1, 2):
        cut = (largest - side) // 2
        held = float(values[:, cut : largest - cut, cut : largest - cut].sum((1, 2)).min())
        if held >= light:
            return side, held
    return largest, held


def _widest(experiment: Experiment, source: PSFSource) -> Images:
    """The PSF on the largest patch that may be tabulated, at least the experiment's own."""
    spec, margin = experiment.psf, TabulatedPSF.margin_px
    useful = min(2 * max(experiment.frame_px) + 1, 501)
    if isinstance(source, PSFVolume):
        spec = spec.with_(patch_px=max(spec.patch_px, min(widest_patch_px(source), useful)))
        return tabulate(spec, experiment.microscope, source, experiment.z_um, experiment.blur_px)
    period = experiment.microscope.image_period_px * spec.pupil_oversampling
    # The table's spline takes a margin of its source.
    fits = min(int(period / 2) - 2 * margin, useful)
    largest = max(spec.patch_px, fits - 1 + fits % 2)
    return build_psf(spec, experiment.microscope, source, patch_px=largest)


def _simulator(experiment: Experiment, source: PSFSource, patch_px: int, field: Field) -> Simulator:
    spec = experiment.psf.with_(patch_px=patch_px)
    psf = tabulate(spec, experiment.microscope, source, experiment.z_um, experiment.blur_px)
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


def _inside(emitters: Emitters, field: Field) -> Tensor:
    """Which emitters lie on the frame's pixels, (N,) bool."""
    place = emitters.xyz[:, :2] / field.pixel_um
    return ((place >= -0.5) & (place < torch.tensor([field.width, field.height]) - 0.5)).all(dim=1)
