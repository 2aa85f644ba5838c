"""What a recommendation leaves: table, record, picture, and the experiment with a known mask."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from .. import plot
from ..errors import InputError
from ..experiment.conditions import scene_conditions
from ..experiment.experiment import Experiment
from ..experiment.files import write_experiment
from ..experiment.optics import psf_source
from ..experiment.recommendation import Advice, Recommendation, Sample
from ..experiment.sample_scale import patch_for_depth
from ..io.parts import write_text
from ..plot.panels import save_figure
from ..simulation.backgrounds import UniformBackground
from ..simulation.counts import Count, DensityCount, UniformCount
from ..simulation.photons import FixedPhotons
from ..simulation.priors import Scene
from ..spec import Spec, unit_of
from .known_mask_setup import through

__all__ = ["draw", "experiment_for", "write_experiment_for", "write_masks", "write_record"]

# Relative difference from what the scene has that is no change.
_SAME = 1e-6

Light = TypeVar("Light", bound=Spec)


def experiment_for(
    experiment: Experiment, sample: Sample, advice: Advice, scene: str | None = None
) -> Experiment:
    """The experiment with the mask of an advice, at its focus, and the sample in its scene.

    Of two channels, with half of the light each; the experiment's further channels are left out. What the scene
    has otherwise than the sample is changed there: depths; the density (`DensityCount`, its lower end in
    proportion); brightness and background, all their levels in proportion. A longer range of depths has a
    larger patch (`patch_for_depth`). Other scenes stay as they are.

    scene: that of the sample, the first where left out.
    """
    name = next(iter(experiment.scenes)) if scene is None else scene
    given = experiment.scene(name)
    there = _scene_with(experiment, given, sample)
    alone = experiment.of_channel(0).with_(scenes={**experiment.scenes, name: there})
    made = through(alone, advice.masks, advice.focus)
    (low, high), (least, most) = sample.z_um, given.emitters.z_um
    if high - low <= most - least:
        return made
    room = made.psf.widest_patch_px(made.microscope, psf_source(made))
    side = max(made.psf.patch_px, min(room, patch_for_depth(made.microscope, high - low)))
    return made.with_(psf=made.psf.with_(patch_px=side))


def _scene_with(experiment: Experiment, given: Scene, sample: Sample) -> Scene:
    """A scene with the depths, density, light and background of a sample."""
    prior, field = given.emitters, scene_conditions(experiment, given, None, None).field
    dimmest, photons = prior.min_photons, prior.photons
    share = sample.photons / prior.median_photons
    if abs(share - 1) > _SAME:
        photons, dimmest = _scaled(photons, "photons", share), share * dimmest
        prior = prior.with_(photons=photons, min_photons=dimmest)
        if not math.isclose(prior.median_photons, sample.photons, rel_tol=0.01):
            prior = prior.with_(photons=FixedPhotons(photons=sample.photons / prior.blinking.mean_share))
    count = _with_density(prior.count, prior.highest_density(field), sample.density)
    background, mean = given.background, given.background.mean
    if not math.isclose(mean, sample.background, rel_tol=_SAME):
        background = _scaled(background, "photons/pixel", sample.background / mean) if mean else background
        if not math.isclose(background.mean, sample.background, rel_tol=0.01):
            background = UniformBackground(low=sample.background, high=sample.background)
    return given.with_(emitters=prior.with_(count=count, z_um=sample.z_um), background=background)


def _with_density(count: Count, highest: float, density: float) -> Count:
    """A count of this highest density, per µm²; its lowest one in proportion."""
    if math.isclose(highest, density, rel_tol=_SAME):
        return count
    if isinstance(count, UniformCount | DensityCount) and count.high > 0:
        return DensityCount(low=density * count.low / count.high, high=density)
    return DensityCount(low=density, high=density)


def _scaled(light: Light, unit: str, share: float) -> Light:
    """A distribution with all its numbers of one unit multiplied."""
    changes = {}
    for name, field in type(light).model_fields.items():
        value = getattr(light, name)
        if unit_of(field) == unit:
            changes[name] = tuple(share * each for each in value) if isinstance(value, tuple) else share * value
    return light.with_(**changes)


def write_experiment_for(
    experiment: Experiment,
    report: Recommendation,
    path: Path,
    mask: str | None = None,
    scene: str | None = None,
) -> None:
    """Write the experiment with a known mask, the best one where none is named (`experiment_for`).

    Raises InputError for a name that is not in the answer.
    """
    names = [each.mask for each in report.advice]
    if mask is not None and mask not in names:
        raise InputError(f"there is no known mask '{mask}' in the answer; there are: {', '.join(names)}")
    advice = report.advice[names.index(mask) if mask else 0]
    write_experiment(experiment_for(experiment, report.sample, advice, scene), path)


def write_masks(report: Recommendation, path: Path) -> None:
    """Write a row for each mask, best first, as CSV."""
    rows = list(report.rows())
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_record(report: Recommendation, path: Path) -> None:
    """Write sample, notes and a row for each mask as JSON, with its masks as in an experiment."""
    masks = [
        {**row, "settings": [mask.to_mapping() for mask in each.masks]}
        for row, each in zip(report.rows(), report.advice, strict=True)
    ]
    record = {
        "sample": asdict(report.sample),
        "masks": masks,
        "notes": report.notes,
    }
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def draw(report: Recommendation, path: Path) -> None:
    """Draw the expected figures of all masks; the ending names the format."""
    save_figure(plot.recommendation(report), path)
