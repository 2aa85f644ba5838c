"""Recommend: which of the known masks fits a sample, and what to expect of each."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .. import plot
from ..errors import InputError
from ..experiment.conditions import scene_conditions
from ..experiment.experiment import Experiment, psf_source, write_experiment
from ..experiment.known_masks import Expected, KnownMask, MaskTable, Place, known_masks, place_among
from ..experiment.recommendation import Advice, Recommendation, Sample
from ..experiment.sample_scale import depth_waves, resolution_area
from ..io.parts import write_text
from ..optics.microscope import Microscope
from ..plot.panels import save_figure
from ..streams import stream
from ..watch import SILENT, Watcher, advance
from .known_mask_setup import BORDER_PX, best_focus, gain_of, joint_bound, sketched, spot_of, through

__all__ = [
    "SampleChanges",
    "draw",
    "experiment_for",
    "recommend",
    "sample_of",
    "write_experiment_for",
    "write_record",
    "write_table",
]

# How far beyond the table's ends its last figures still stand: ranges of depth, densities, gains of a molecule.
_BEYOND_DEPTH = 1.25
_BEYOND_DENSITY = 1.25
_BEYOND_GAIN = 0.5
# Side of the frames in which the joint bound is computed, px, and about how many molecules it is the median of.
_FRAME_PX = 64
_MOLECULES = 80
# Largest number of these frames, for molecules so sparse that each is alone.
_MOST_FRAMES = 60
# Molecules lie up to so far outside of them, px.
_BEYOND_PX = 6.0
# Jaccard index below which no known mask is called good.
_GOOD = 0.8
# Difference of the refractive indices below which focus has no spherical aberration to speak of.
_MISMATCH = 0.1
# What a user should know then.
_MATCHED = (
    "simulated with oil immersion into water; with an objective of the sample's own index depths above and "
    "below focus look alike through the flat mask, which then finds far fewer"
)
# From which ratio of bounds on, and from which difference of Jaccard indices, a reason is given.
_LESS_PRECISE = 1.3
_FEWER = 0.03


@dataclass(frozen=True)
class SampleChanges:
    """What is said instead of an experiment's scene; None: as there.

    depth_um: length of the range of depths, from where the scene's begins;  density: molecules per µm²;
    photons: of a molecule;  background: photons per pixel.
    """

    depth_um: float | None = None
    density: float | None = None
    photons: float | None = None
    background: float | None = None


def sample_of(experiment: Experiment, scene: str | None = None, changes: SampleChanges | None = None) -> Sample:
    """The sample of a scene: its depths, highest density, median photons and mean background, or as changed.

    Raises InputError for values that cannot be.
    """
    changes = changes or SampleChanges()
    given = experiment.scene(scene)
    for name, value in (("depth", changes.depth_um), ("density", changes.density)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"the {name} must be above 0, got {value:g}")
    there = scene_conditions(experiment, given, changes.photons, changes.background)
    low, high = given.emitters.z_um
    return Sample(
        z_um=(low, high if changes.depth_um is None else low + changes.depth_um),
        density=given.emitters.highest_density(there.field) if changes.density is None else changes.density,
        photons=there.photons,
        background=there.background,
    )


def recommend(
    experiment: Experiment, sample: Sample, *, scene: str | None = None, watch: Watcher = SILENT
) -> Recommendation:
    """Known masks for a sample under an experiment's microscope, best first.

    The joint bound is computed for this microscope, each mask at its own best focus; Jaccard index and the
    ratio of errors to the bound come from the table of simulated fits (`MaskTable`). Further channels of the
    experiment are not looked at: masks of two channels divide the light of all.

    scene: gives the blur;  watch: told each mask; it can end the work (Interrupted).
    Raises InputError for a PSF without a mask, and for a sample outside of the table, with what to do instead.
    """
    experiment = experiment.of_channel(0)
    scope, table = experiment.microscope, known_masks()
    depth, densities = _places(scope, sample, table)
    matched = scope.n_immersion - scope.n_sample < _MISMATCH
    there = scene_conditions(experiment, experiment.scene(scene), sample.photons, sample.background)
    empty = sketched(experiment, sample.scene(there.blur_px, -_BEYOND_PX), _FRAME_PX)
    advice, gains = [], []
    simulated = {each.name: math.isfinite(_least_gain(each, depth, densities)) for each in table.masks}
    there_is = [each for each in table.masks if simulated[each.name]]
    left_out = [
        f"{each.name}: not simulated for this range of depth"
        for each in table.masks
        if not simulated[each.name]
    ]
    for number, known in enumerate(there_is, 1):
        masks = known.masks(depth)
        here = through(empty, masks, best_focus(empty, masks)[0])
        gain = gain_of(here, sample.density)
        gains.append(gain / _least_gain(known, depth, densities))
        advice.append(_advice(known, here, sample, known.expected(depth, densities, gain)))
        advance(watch, number, len(there_is))
    if max(gains) < _BEYOND_GAIN:
        raise InputError(
            f"a molecule of {sample.photons:g} photons over {sample.background:g} per pixel stands out "
            f"{max(gains):.2g} times as much as the dimmest that were simulated (at least {_BEYOND_GAIN:g})",
            "more light: a longer exposure, brighter dyes or less background (`photons`, `background`)",
        )
    order = sorted(advice, key=lambda each: -each.efficiency)
    return Recommendation(
        sample,
        tuple(_with_reasons(order, sample)),
        (*_notes(order, gains, depth, table), *left_out, *((_MATCHED,) if matched else ())),
    )


def _places(scope: Microscope, sample: Sample, table: MaskTable) -> tuple[Place, list[Place]]:
    """Where the sample's depth range and density lie in the table; raises InputError far outside."""
    length = sample.z_um[1] - sample.z_um[0]
    one_um, area = depth_waves(scope, 1.0), resolution_area(scope)
    shallow, deep = table.waves[0] / one_um, table.waves[-1] / one_um
    if length > deep * _BEYOND_DEPTH:
        raise InputError(
            f"a range of {length:.3g} µm is deeper than was simulated: {deep:.3g} µm under this microscope",
            "design a mask for it (`design_mask`), or image it in two ranges",
        )
    if length < shallow / 2:
        raise InputError(
            f"a range of {length:.3g} µm is less than was simulated: {shallow:.3g} µm under this microscope",
            "ask for a deeper range (`depth_um`); molecules in one plane need no mask",
        )
    depth = place_among(table.waves, length * one_um)
    most = math.exp(depth.of([math.log(each[-1]) for each in table.densities])) / area
    if sample.density > most * _BEYOND_DENSITY:
        raise InputError(
            f"{sample.density:.3g} molecules per µm² over {length:.3g} µm are more than were simulated: "
            f"{most:.3g} under this microscope",
            "let fewer molecules shine at a time (`density`), or train with each mask at this density "
            "(`compare_masks`)",
        )
    return depth, [place_among(each, sample.density * area) for each in table.densities]


def _least_gain(known: KnownMask, depth: Place, densities: Sequence[Place]) -> float:
    """The smallest gain that was simulated at a depth and density."""
    return depth.of([place.of(known.gain[number, :, 0]) for number, place in enumerate(densities)])


def _advice(known: KnownMask, here: Experiment, sample: Sample, expected: Expected) -> Advice:
    """What to expect of a mask, without a reason."""
    lateral, axial = _joint_bound(here, sample)
    return Advice(
        mask=known.name,
        about=known.about,
        masks=(here.mask, *(each.mask for each in here.channels.values() if each.mask is not None)),
        focus=here.microscope.focus,
        jaccard=expected.jaccard,
        rmse_lateral_nm=expected.lateral * lateral,
        rmse_axial_nm=expected.axial * axial,
        bound_lateral_nm=lateral,
        bound_axial_nm=axial,
        spot_um2=spot_of(here),
    )


def _joint_bound(here: Experiment, sample: Sample) -> tuple[float, float]:
    """Median bound, lateral and axial, nm, of molecules at the sample's density."""
    side = (_FRAME_PX - 2 * BORDER_PX) * here.microscope.pixel_um
    frames = min(_MOST_FRAMES, math.ceil(_MOLECULES / (sample.density * side**2)))
    blur, psfs = here.blur_px, []
    for number in range(len(here.channel_names)):
        alone = here.of_channel(number)
        psfs.append(alone.psf.tabulate(alone.microscope, psf_source(alone), here.z_um, blur, finer=True))
    return joint_bound(here, psfs, frames, stream(0, "limit"))


def _with_reasons(order: Sequence[Advice], sample: Sample) -> list[Advice]:
    """Each mask with its reason: its spots, its depth bound where it is large, what it lacks."""
    first, told = order[0], []
    axial = min(each.bound_axial_nm for each in order)
    for each in order:
        share = 100 * -math.expm1(-each.spot_um2 * sample.density)
        words = [f"spot of {each.spot_um2:.2g} µm²: {share:.0f} % of molecules have another in theirs"]
        if each.bound_axial_nm > _LESS_PRECISE * axial:
            words.append(
                f"the light tells depth {each.bound_axial_nm / axial:.1f} times worse than the best here"
            )
        if each.jaccard < first.jaccard - _FEWER:
            words.append(f"{100 * (first.jaccard - each.jaccard):.0f} % fewer right than {first.mask}")
        told.append(replace(each, reason="; ".join(words)))
    return told


def _notes(order: Sequence[Advice], gains: Sequence[float], depth: Place, table: MaskTable) -> list[str]:
    """What limits the answer."""
    conditions = table.conditions
    notes = [
        f"simulated ({table.made_by}, {table.commit}) with {100 * conditions['proposed']:.0f} % of the "
        f"molecules proposed, as by a good network; some {conditions['judged']} molecules a point: differences "
        "of Jaccard indices below 0.1 mean nothing"
    ]
    if min(gains) < 1:
        notes.append(
            f"dimmer than simulated ({min(gains):.2g} of the least gain of a molecule): expect fewer than this"
        )
    if depth.share in (0.0, 1.0) and depth.index in (0, len(table.waves) - 2):
        notes.append("the range of depths is at the end of the table: figures are those of that end")
    if order[0].jaccard < _GOOD:
        notes.append(
            f"none of the known masks is good: the best has a Jaccard index of {order[0].jaccard:.2f}, below "
            f"{_GOOD:g}; let fewer molecules shine at a time, or design a mask for this sample (`design_mask`)"
        )
    return notes


def experiment_for(experiment: Experiment, advice: Advice) -> Experiment:
    """The experiment with the mask of an advice, at its focus; of two channels with half of the light each."""
    return through(experiment.of_channel(0), advice.masks, advice.focus)


def write_experiment_for(
    experiment: Experiment, report: Recommendation, path: Path, mask: str | None = None
) -> None:
    """Write the experiment with a known mask, the best one where none is named.

    Raises InputError for a name that is not in the answer.
    """
    names = [each.mask for each in report.advice]
    if mask is not None and mask not in names:
        raise InputError(f"there is no known mask '{mask}'; there are: {', '.join(names)}")
    write_experiment(experiment_for(experiment, report.advice[names.index(mask) if mask else 0]), path)


def write_table(report: Recommendation, path: Path) -> None:
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
