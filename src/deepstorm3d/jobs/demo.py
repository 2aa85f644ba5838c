"""Demo: the main job from start to finish on a simulated movie with known truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import plot
from ..analysis.matching import match
from ..analysis.metrics import score_with_intervals
from ..emitters import Emitters, Localizations
from ..io.parts import make_folder, write_text
from ..io.tables import read_table, read_truth
from ..localizing.catalogue import find_model
from ..localizing.excerpt import Excerpt
from ..localizing.pipeline import experiment_of, load_pipeline
from ..plot.panels import save_figure
from ..simulation.specimen import Specimen
from ..watch import SILENT, Watcher
from .localize import ListFile, localize_movie
from .regenerate import regenerate_frame
from .simulate import MovieSimulation, simulate_movie

__all__ = ["DemoFiles", "DemoResult", "run_demo"]

# Built-in model that localizes the demonstration.
_MODEL = "tetrapod"
# Length of the simulated movie, frames.
_FRAMES = 600
# Mean number of emitters in a frame.
_PER_FRAME = 6


@dataclass(frozen=True)
class DemoFiles:
    """What the demo writes, in one folder."""

    folder: Path

    @property
    def movie(self) -> Path:
        return self.folder / "movie.tif"

    @property
    def truth(self) -> Path:
        return self.folder / "truth.csv"

    @property
    def localizations(self) -> Path:
        return self.folder / "localizations.hdf5"

    @property
    def evaluation(self) -> Path:
        return self.folder / "evaluation.json"

    @property
    def overlay(self) -> Path:
        return self.folder / "overlay.png"

    @property
    def scatter(self) -> Path:
        return self.folder / "truth_and_found.png"

    @property
    def rendering(self) -> Path:
        return self.folder / "rendering.png"


@dataclass(frozen=True)
class DemoResult:
    """Files and the figures of merit."""

    files: DemoFiles
    recall: float
    jaccard: float


def run_demo(
    out: Path,
    *,
    frames: int = _FRAMES,
    watch: Watcher = SILENT,
) -> DemoResult:
    """Simulate blinking molecules on mitochondria-like shells, find them, score, and draw.

    out: folder, made if missing; an earlier demo in it is replaced.  Each step is told with the
    command line that does the same.
    """
    make_folder(out)
    files = DemoFiles(out)
    model = find_model(_MODEL)
    experiment = experiment_of(model)
    watch.message(f"1/5 simulating {frames} frames of mitochondria-like shells over 4 µm -> {files.movie.name}")
    simulate_movie(
        MovieSimulation(
            experiment, frames=frames, specimen=Specimen(emitters=_PER_FRAME, structure="mitochondria"), seed=1
        ),
        files.movie,
        truth=files.truth,
        overwrite=True,
        watch=watch,
    )
    watch.message(f"2/5 localizing with the built-in model '{_MODEL}' -> {files.localizations.name}")
    pipeline = load_pipeline(model)
    # Frame by frame: the fit over frames, which `localize` makes of such a movie, takes minutes more.
    table = ListFile(files.localizations, overwrite=True)
    localize_movie(Excerpt(files.movie), pipeline, table, over_frames=False, watch=watch)
    pixel_um = experiment.microscope.pixel_um
    truth, found = (
        read_truth(files.truth, pixel_um=pixel_um),
        read_table(files.localizations, pixel_um=pixel_um),
    )
    watch.message(f"3/5 comparing with the truth -> {files.evaluation.name}")
    recall, jaccard = _evaluate(truth, found, files, watch)
    frame = _busiest_frame(truth)
    watch.message(f"4/5 regenerating frame {frame} from its list -> {files.overlay.name}")
    regenerate_frame(
        files.localizations, Excerpt(files.movie), pipeline, files.overlay, frame=frame, truth=files.truth
    )
    one_truth, one_found = truth.select(truth.frame == frame), found.select(found.frame == frame)
    save_figure(plot.comparison(one_truth, one_found, title="Demo"), files.scatter)
    watch.message(f"5/5 rendering all molecules, coloured by depth -> {files.rendering.name}")
    save_figure(plot.rendering(found, pixel_nm=25, title="Demo: mitochondria-like shells"), files.rendering)
    return DemoResult(files, recall, jaccard)


def _evaluate(truth: Emitters, found: Localizations, files: DemoFiles, watch: Watcher) -> tuple[float, float]:
    """Score within 150 nm, write the figures, say the main ones; returns recall and Jaccard index."""
    figures = score_with_intervals(truth, found, match(truth, found), np.random.default_rng(0))
    write_text(files.evaluation, json.dumps(figures.to_mapping(), indent=1) + "\n")
    result = figures.score
    lateral, axial = result.rmse_lateral_nm or 0.0, result.rmse_axial_nm or 0.0
    watch.message(
        f"    {len(truth)} molecules, {len(found)} localizations: {result.recall:.1%} found, "
        f"Jaccard {result.jaccard:.3f}, RMSE {lateral:.0f} nm lateral, {axial:.0f} nm axial"
    )
    return result.recall, result.jaccard


def _busiest_frame(truth: Emitters) -> int:
    """The frame with the most molecules: the most to see in one picture."""
    return int(truth.frame.bincount().argmax()) if len(truth) else 0
