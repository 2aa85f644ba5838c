"""Regenerate: the image that a list of localizations predicts, beside the frame it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .. import plot
from ..analysis.fit_quality import DevianceAssessment, judge_deviance
from ..brief import Brief
from ..camera import IdealCamera
from ..emitters import Emitters, Localizations
from ..fitting.photometry import Photometry
from ..frames.explain import correlation
from ..frames.no_light import refuse_without_light
from ..io.tables import read_list, read_truth
from ..localizing.excerpt import Excerpt
from ..localizing.pipeline import Pipeline
from ..pixels.reading import Light
from ..plot.panels import save_figure
from ..simulation.simulator import Simulator
from .movie_of_list import doubts_of_movie

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "RegenerateReport",
    "RegeneratedFrame",
    "explain_frame",
    "read_frame",
    "regenerate_frame",
    "regenerated",
]

# Below, hardly a pixel of a frame has light or noise to compare.
_LEAST_EXPECTED = 0.1


@dataclass(frozen=True)
class RegenerateReport:
    """How well a list explains a frame.

    localizations: in the frame;  correlation: of frame and regenerated image;
    deviance_per_pixel: mean squared residual over the expected variance, about 1 where the list is
    complete and the model right;  expected: of the same where noise alone is left, below 1 where pixels have
    less than one photon;  pixels: of the frame, that count;  notes: what is wrong with the frame's pixels, in
    words, or with the choice of the movie. Pixels that are full or defective do not count.
    """

    localizations: int
    correlation: float
    deviance_per_pixel: float
    expected: float = 1.0
    pixels: float = math.inf
    notes: tuple[str, ...] = ()

    @property
    def assessment(self) -> DevianceAssessment:
        """Whether noise alone is left, or more, or not even that; unknown in frames that hold hardly a
        photon."""
        if self.expected < _LEAST_EXPECTED:
            return DevianceAssessment("unknown", "")
        return judge_deviance(self.deviance_per_pixel / self.expected, self.expected * self.pixels)


@dataclass(frozen=True, repr=False)
class RegeneratedFrame(Brief):
    """A frame beside the image that a list predicts for it.

    photons, model: (H, W), the frame and its prediction;  sigma: (H, W), the standard deviation of the noise
    over the prediction, photons, at least 1;  report: how well the two agree;  found: the N rows, in the
    frame's own µm, as frame 0;  light: (N,), photons of each as fitted to this frame, 0 outside of it;
    pixel_um: camera pixel, µm;  name: of the frame, for people.
    """

    photons: Tensor
    model: Tensor
    sigma: Tensor
    report: RegenerateReport
    found: Localizations
    light: Tensor
    pixel_um: float
    name: str = ""

    @property
    def residual(self) -> Tensor:
        """(H, W): what is left, in standard deviations of the noise."""
        return (self.photons - self.model) / self.sigma


def regenerated(
    pipeline: Pipeline, found: Localizations, seen: Light, *, equal_photons: bool = False
) -> RegeneratedFrame:
    """Fit photons and background at the found positions, and say how well they explain the frame.

    found: rows of this one frame, frame 0;  seen: the frame;
    equal_photons: give all molecules the median of the fitted photons, as Nehme et al. 2020 in Fig. 3b: then
    only the positions can explain the frame.
    """
    photons = seen.photons[0]
    counted = torch.ones_like(photons, dtype=torch.bool) if seen.weight is None else seen.weight[0] > 0
    light = pipeline.photometry(found, seen.photons, seen.weight)
    model = _equally_bright(pipeline, found, light) if equal_photons else light.model[0]
    own = pipeline.noise.averaged().variance(model).clamp(min=0)
    variance = own.clamp(min=1.0)
    report = RegenerateReport(
        localizations=len(found),
        correlation=float(correlation(photons, model, counted)) if counted.any() else float("nan"),
        deviance_per_pixel=float(((photons - model).square() / variance)[counted].mean()),
        expected=float((own / variance)[counted].mean()),
        pixels=int(counted.sum()),
        notes=tuple(_about_pixels(seen)),
    )
    pixel_um = pipeline.experiment.microscope.pixel_um
    return RegeneratedFrame(photons, model, variance.sqrt(), report, found, light.photons, pixel_um)


def explain_frame(
    pipeline: Pipeline,
    found: Localizations,
    seen: Light,
    *,
    truth: Emitters | None = None,
    equal_photons: bool = False,
    title: str = "",
) -> tuple[RegenerateReport, Figure]:
    """As `regenerated`, and the overlay drawn.

    truth: rows of this one frame, frame 0, to mark.
    """
    frame = regenerated(pipeline, found, seen, equal_photons=equal_photons)
    figure = plot.overlay(
        frame.photons,
        found,
        pixel_um=pipeline.experiment.microscope.pixel_um,
        regenerated=frame.model,
        truth=truth,
        noise=None if pipeline.noise.averaged().is_shot_noise_alone else frame.sigma,
        title=title,
    )
    return frame.report, figure


def _about_pixels(seen: Light) -> list[str]:
    """What is wrong with pixels of this very frame."""
    told = []
    if bool(seen.full[0]):
        told.append("the frame has saturated pixels: they do not count; lower the exposure or the gain")
    if int(seen.outliers[0]):
        told.append(
            f"{int(seen.outliers[0])} pixels stand out as no light through this objective can (cosmic rays): "
            "given no weight"
        )
    return told


def _equally_bright(pipeline: Pipeline, found: Localizations, light: Photometry) -> Tensor:
    """The frame (H, W) with every molecule as bright as the median of them."""
    emitters = Emitters(
        xyz=found.xyz,
        frame=found.frame,
        photons=light.photons.median().expand(len(found)) if len(found) else light.photons,
        id=torch.arange(len(found), device=found.frame.device),
    )
    field = pipeline.field_of(light.model)
    # The simulator only sums images here: no camera's maps are needed.
    return Simulator(pipeline.psf, IdealCamera(), field).expected(emitters, light.background_image)[0]


def regenerate_frame(
    locs: Path,
    excerpt: Excerpt,
    pipeline: Pipeline,
    out: Path,
    *,
    frame: int = 0,
    truth: Path | None = None,
    equal_photons: bool = False,
) -> RegenerateReport:
    """Draw one frame of a movie beside the image regenerated from its localizations.

    excerpt: the movie, prepared as it was for the list;  frame: from 0;  truth: list of true emitters to
    mark, if known;  equal_photons: see `explain_frame`.
    Raises InputError where the frame is not in the movie or the files do not fit the model.
    """
    pixel_um = pipeline.experiment.microscope.pixel_um
    pipeline, seen, told = read_frame(replace(excerpt, roi=None), pipeline, frame)
    found, header = read_list(locs, pixel_um=pixel_um)
    told = [*doubts_of_movie(header, excerpt), *told]
    found = found.select(found.frame == frame).shift(frames=-frame).to(pipeline.device)
    known = None
    if truth is not None:
        emitters = read_truth(truth, pixel_um=pixel_um)
        known = emitters.select(emitters.frame == frame).shift(frames=-frame)
    title = f"{excerpt.name}, frame {frame}"
    report, figure = explain_frame(pipeline, found, seen, truth=known, equal_photons=equal_photons, title=title)
    save_figure(figure, out)
    return replace(report, notes=(*told, *report.notes))


def read_frame(excerpt: Excerpt, pipeline: Pipeline, frame: int) -> tuple[Pipeline, Light, list[str]]:
    """One frame of a movie, the pipeline for its pixels, and what is known of their faults.

    excerpt: its region is read;  frame: from 0.
    Raises InputError where the frame is not in the movie, does not fit the model, or has no light.
    """
    with replace(excerpt, frames=(frame, frame + 1)).open() as source:
        source.check_against(pipeline)
        source = source.judged(pipeline.camera, pipeline.experiment.microscope)
        pipeline = source.at_work(pipeline)
        counts = source.read(frame, frame + 1)
        told = source.pixel_notes()
    refuse_without_light(counts, pipeline.camera.saturation, f"{excerpt.name}, frame {frame}")
    return pipeline, pipeline.light(torch.from_numpy(counts.astype(np.float32))), told
