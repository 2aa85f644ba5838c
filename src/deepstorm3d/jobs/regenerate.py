"""Regenerate: the image that a list of localizations predicts, beside the frame it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..analysis.explain import correlation
from ..analysis.figures import overlay_figure
from ..camera import variance_terms
from ..emitters import Emitters, Localizations
from ..errors import InputError
from ..io.movies import open_movie
from ..io.tables import read_table, read_truth
from ..localizer.modelfile import ModelFile
from .localize import check_movie, select
from .pipeline import Pipeline, load_pipeline

__all__ = ["RegenerateReport", "explain_frame", "regenerate_frame"]


@dataclass(frozen=True)
class RegenerateReport:
    """How well a list explains a frame.

    localizations: in the frame;  correlation: of frame and regenerated image;
    deviance_per_pixel: mean squared residual over the expected variance, about 1 where the list is
    complete and the model right.
    """

    localizations: int
    correlation: float
    deviance_per_pixel: float


def explain_frame(
    pipeline: Pipeline,
    found: Localizations,
    photons: Tensor,
    out: Path,
    *,
    truth: Emitters | None = None,
    title: str = "",
) -> RegenerateReport:
    """Fit photons and background at the found positions, draw the overlay, and say how well it fits.

    found, truth: rows of this one frame, frame 0;  photons: (H, W);  out: picture to write.
    """
    excess, read_variance = variance_terms(pipeline.camera)
    light = pipeline.photometry(found, photons[None])
    variance = (excess * light.model[0].clamp(min=0) + read_variance).clamp(min=1.0)
    shot_noise_only = excess == 1.0 and read_variance == 0.0
    overlay_figure(
        photons,
        light.model[0],
        truth,
        found,
        out,
        pixel_um=pipeline.experiment.microscope.pixel_um,
        noise=None if shot_noise_only else variance.sqrt(),
        title=title,
    )
    return RegenerateReport(
        localizations=len(found),
        correlation=float(correlation(photons, light.model[0])),
        deviance_per_pixel=float(((photons - light.model[0]).square() / variance).mean()),
    )


def regenerate_frame(
    locs: Path,
    movie: Path,
    model: ModelFile,
    out: Path,
    *,
    frame: int = 0,
    mask: Path | None = None,
    truth: Path | None = None,
    camera: tuple[str, ...] = (),
    device: str = "cpu",
) -> RegenerateReport:
    """Draw one frame of a movie beside the image regenerated from its localizations.

    frame: from 0;  truth: list of true emitters to mark, if known.
    Raises InputError where the frame is not in the movie or the files do not fit the model.
    """
    pipeline = load_pipeline(model, mask=mask, camera=camera, device=device)
    pixel_um = pipeline.experiment.microscope.pixel_um
    with open_movie(movie) as source:
        if not 0 <= frame < source.shape[0]:
            raise InputError(
                f"there is no frame {frame} in {movie}, which has frames 0 to {source.shape[0] - 1}"
            )
        check_movie(source, select(source, (frame, frame + 1), None), pipeline)
        counts = source.read(frame, frame + 1)
    photons = pipeline.to_photons(torch.from_numpy(counts.astype(np.float32)))[0]
    found = read_table(locs, pixel_um=pixel_um)
    found = found.select(found.frame == frame).shift(frames=-frame).to(device)
    known = None
    if truth is not None:
        emitters = read_truth(truth, pixel_um=pixel_um)
        known = emitters.select(emitters.frame == frame).shift(frames=-frame)
    return explain_frame(pipeline, found, photons, out, truth=known, title=f"{movie.name}, frame {frame}")
