"""Preview: a few frames before a long run, to see whether this model fits this movie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import plot
from ..io.parts import make_folder
from ..localizing.excerpt import Excerpt
from ..localizing.first_look import check_counts
from ..localizing.pipeline import Pipeline
from ..localizing.reading import light_of, read_block
from ..plot.panels import save_figure
from ..simulation.simulator import Simulator
from ..watch import SILENT, Watcher
from .regenerate import RegenerateReport, explain_frame

__all__ = ["PreviewReport", "conclusion", "preview_movie", "simulated_like"]


@dataclass(frozen=True)
class PreviewReport:
    """What the preview saw: a report for each frame by its number, and the verdict in plain words."""

    frames: dict[int, RegenerateReport]
    fits: bool
    lines: list[str]


def preview_movie(
    excerpt: Excerpt,
    pipeline: Pipeline,
    out_dir: Path,
    *,
    frames: int = 3,
    watch: Watcher = SILENT,
) -> PreviewReport:
    """Localize a few frames spread evenly over the excerpt, draw them, and compare them with simulated ones.

    Writes ``frame_K.png`` (overlay) for each and ``histogram.png`` into out_dir.
    frames: how many;  watch: told what is worked on, before each frame: a dense one takes minutes.
    """
    make_folder(out_dir)
    reports: dict[int, RegenerateReport] = {}
    seen, stack = [], []
    with excerpt.open() as source:
        source.check_against(pipeline)
        source = source.judged(pipeline.camera, pipeline.experiment.microscope, watch=watch)
        told = source.pixel_notes()
        pipeline = source.at_work(pipeline)
        numbers = np.unique(np.linspace(source.span[0], source.last - 1, frames).round().astype(int)).tolist()
        for place, number in enumerate(numbers, 1):
            watch.message(f"frame {number} ({place} of {len(numbers)}): localizing and drawing it")
            read = read_block(source, (number, number + 1), pipeline.context)
            stack.append(read.counts[read.own])
            light, around = light_of(pipeline, read)
            found = pipeline.localize(light.photons, light.weight, around=around)
            title = f"{excerpt.name}, frame {number}"
            reports[number], figure = explain_frame(pipeline, found, light, title=title)
            save_figure(figure, out_dir / f"frame_{number}.png")
            seen.append(light.photons[0].cpu())
    real = torch.stack(seen)
    watch.message("comparing them with simulated frames")
    simulated = simulated_like(pipeline, real)
    save_figure(plot.histogram(simulated, real), out_dir / "histogram.png")
    findings = [finding.text for finding in check_counts(pipeline, np.concatenate(stack))]
    fits, lines = conclusion(reports, findings)
    told += [f"frame {number}: {sentence}" for number, report in reports.items() for sentence in report.notes]
    return PreviewReport(reports, fits, [*told, *lines])


def simulated_like(pipeline: Pipeline, frames: Tensor) -> Tensor:
    """As many frames of this size as the model was trained on, with its share of light: (B, H, W) photons."""
    generator = torch.Generator().manual_seed(0)
    field = pipeline.field_of(frames)
    camera, maps = pipeline.experiment.camera, {}
    if pipeline.maps or camera.maps_named():
        # Noise of pixels that were measured one by one is the movie's own, not that of others in training.
        camera, maps = pipeline.camera, {name: values.cpu() for name, values in pipeline.maps.items()}
    scene = pipeline.experiment.scene()
    simulator = Simulator(pipeline.psf.cpu(), camera, field, maps=maps)
    with torch.no_grad():
        emitters, background = scene.draw(len(frames), field, generator)
        emitters = replace(emitters, photons=emitters.photons * pipeline.share)
        counts = simulator(emitters, background * pipeline.share, generator)
    pipeline.psf.to(pipeline.device)
    return simulator.to_photons(counts)


def conclusion(reports: dict[int, RegenerateReport], findings: list[str]) -> tuple[bool, list[str]]:
    """Whether the model fits, and why, in plain words.  findings: what contradicts the camera and the model."""
    lines = [
        f"frame {number}: {report.localizations} molecules, correlation {report.correlation:.3f}, "
        f"residual {report.deviance_per_pixel:.2f} x the expected noise variance"
        for number, report in reports.items()
    ]
    measured = [report for report in reports.values() if report.pixels] or list(reports.values())
    middle = sorted(measured, key=lambda report: report.deviance_per_pixel)[(len(measured) - 1) // 2]
    assessment = middle.assessment
    lines += findings
    if assessment.kind == "too quiet":
        lines.append(assessment.text)
    fits = assessment.kind in ("fits", "unknown") and not findings
    if fits:
        lines.append("verdict: the model explains these frames down to their noise")
    elif assessment.kind == "too quiet" or findings:
        lines.append("verdict: camera and frames contradict each other; correct this first")
    elif assessment.kind != "misfit":
        lines.append(
            "verdict: doubtful; look at the residuals: structure there means another PSF, density or background"
        )
    else:
        lines.append(
            "verdict: this model does not fit these frames; train one for your mask, camera and background "
            "(docs/tutorial.md)"
        )
    return fits, lines
