"""What a recommendation says in words: the reason of each mask, and what limits the answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..experiment.experiment import Experiment
from ..experiment.known_masks import MaskTable, Place, place_among
from ..experiment.recommendation import Advice, Sample
from ..experiment.sample_scale import depth_waves, resolution_area
from ..optics.microscope import Microscope

__all__ = [
    "beyond_the_table",
    "densities_at",
    "of_answer",
    "of_channels",
    "of_light",
    "of_microscope",
    "of_table",
    "with_reasons",
]

# Jaccard index below which no known mask is called good.
_GOOD = 0.8
# Difference of the indices of immersion and sample below which focus has little spherical aberration.
_MISMATCH = 0.1
# From which ratio of bounds on, and from which difference of Jaccard indices, a reason is given.
_LESS_PRECISE = 1.3
_FEWER = 0.1
# Share of the bound below which an error is said to be no sign of precision.
_BELOW_BOUND = 0.9
# Distance from an end of the table, relative to it, that is none.
_NEAR = 1e-3


def with_reasons(order: Sequence[Advice], sample: Sample) -> list[Advice]:
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
        difference = first.jaccard - each.jaccard
        if difference > _FEWER:
            words.append(f"Jaccard index {difference:.2f} below that of {first.mask}")
        told.append(replace(each, reason="; ".join(words)))
    return told


def densities_at(scope: Microscope, depth: Place, table: MaskTable) -> tuple[float, float]:
    """The least and the highest density that were simulated for a range of depth, molecules per µm²."""
    area = resolution_area(scope)
    least, most = (math.exp(depth.of([math.log(each[end]) for each in table.densities])) for end in (0, -1))
    return least / area, most / area


def of_table(table: MaskTable, depth: Place) -> str:
    """How the figures came about, and which masks they leave out."""
    conditions = table.conditions
    missing = [each.name for each in table.masks if math.isnan(depth.of([float(d.sum()) for d in each.gain]))]
    left_out = f"; not simulated for this range of depth: {', '.join(missing)}" if missing else ""
    return (
        f"simulated ({table.made_by}, {table.commit}) with {100 * conditions['proposed']:.0f} % of the "
        f"molecules proposed, as by a good network; some {conditions['judged']} molecules a point: differences "
        f"of Jaccard indices below {_FEWER:g} may be chance{left_out}"
    )


def beyond_the_table(scope: Microscope, sample: Sample, table: MaskTable) -> Iterator[str]:
    """Where the sample's depths or density lie beyond the ends of the table."""
    one_um, length = depth_waves(scope, 1.0), sample.z_um[1] - sample.z_um[0]
    shallow, deep = table.waves[0] / one_um, table.waves[-1] / one_um
    if not shallow * (1 - _NEAR) <= length <= deep * (1 + _NEAR):
        yield (
            f"the range of {length:.3g} µm lies beyond those that were simulated ({shallow:.3g} to "
            f"{deep:.3g} µm under this microscope): figures are those at the end of the table"
        )
    least, most = densities_at(scope, place_among(table.waves, length * one_um), table)
    if not least * (1 - _NEAR) <= sample.density <= most * (1 + _NEAR):
        expect = "more" if sample.density < least else "fewer"
        yield (
            f"{sample.density:.3g} molecules per µm² lie beyond what was simulated ({least:.3g} to {most:.3g} "
            f"per µm² for these depths): figures are those at the end of the table, expect {expect} to be found"
        )


def of_light(dim: Sequence[float], bright: Sequence[float]) -> Iterator[str]:
    """Where molecules stand out less than the dimmest, or more than the brightest, that were simulated.

    dim, bright: gain of a molecule over that of either, for each mask.
    """
    if min(dim) < 1 - _NEAR:
        yield f"dimmer than simulated ({min(dim):.2g} of the least gain of a molecule): expect fewer than this"
    if max(bright) > 1 + _NEAR:
        yield (
            f"brighter than simulated ({max(bright):.2g} times the largest gain of a molecule): the share "
            "found is that of the brightest simulated"
        )


def of_microscope(scope: Microscope, sample: Sample) -> Iterator[str]:
    """Where focus is aberrated otherwise than from the coverslip on with oil immersion into water."""
    mismatch, low = scope.n_immersion - scope.n_sample, sample.z_um[0]
    if abs(mismatch) < _MISMATCH:
        yield (
            "simulated with oil immersion into water; without the mismatch of the refractive indices, depths "
            "above and below focus look alike through the flat mask, which then finds far fewer"
        )
        return
    if mismatch < 0:
        yield (
            f"simulated with oil immersion into water; here the sample's index is {-mismatch:.2g} above that "
            "of the immersion, which turns the sign of the spherical aberration: masks may fit better or worse"
        )
    if low > 0:
        yield (
            f"simulated from the coverslip; yours begins {low:g} µm above it, with more spherical aberration"
        )


def of_channels(experiment: Experiment) -> Iterator[str]:
    """That further channels of the experiment are left out."""
    if experiment.channels:
        yield (
            f"further channels of the experiment are left out ({', '.join(experiment.channels)}): all light "
            "goes through the known mask, and an experiment that is written has the channels of that mask alone"
        )


def of_answer(order: Sequence[Advice]) -> Iterator[str]:
    """Errors below the bound, and that no known mask is good."""
    below = [
        each.mask
        for each in order
        if each.rmse_lateral_nm < _BELOW_BOUND * each.bound_lateral_nm
        or each.rmse_axial_nm < _BELOW_BOUND * each.bound_axial_nm
    ]
    if below:
        yield (
            f"{', '.join(below)}: errors are of the molecules that were matched, within the matching distance; "
            "where most are missed they lie below the bound of all, and are no sign of precision"
        )
    best = max(order, key=lambda each: each.jaccard)
    if best.jaccard < _GOOD:
        yield (
            f"none of the known masks is good: the highest Jaccard index is {best.jaccard:.2f}, below "
            f"{_GOOD:g}; let fewer molecules shine at a time, or design a mask for this sample (`design_mask`)"
        )
