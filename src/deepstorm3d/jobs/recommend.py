"""Recommend: which of the known masks fits a sample, and what to expect of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..experiment.conditions import scene_conditions
from ..experiment.experiment import Experiment
from ..experiment.known_masks import Expected, KnownMask, MaskTable, Place, known_masks, place_among
from ..experiment.optics import psf_source
from ..experiment.recommendation import Advice, Recommendation, Sample
from ..experiment.sample_scale import depth_waves, patch_for_depth, resolution_area
from ..optics.microscope import Microscope
from ..simulation.counts import DensityCount
from ..streams import stream
from ..watch import SILENT, Watcher, advance
from . import recommendation_notes as notes
from .known_mask_setup import BORDER_PX, best_focus, gain_of, joint_bound, sketched, spot_of, through

__all__ = ["SampleChanges", "recommend", "refuse_mask", "sample_of"]

# How far beyond the table's ends its last figures still stand: ranges of depth, densities, gains of a molecule.
_BEYOND_DEPTH = 1.25
_BEYOND_DENSITY = 1.25
_BEYOND_GAIN = 0.5
# Side of the frames in which the joint bound is computed, px, and about how many molecules it is the median of.
_FRAME_PX = 64
_MOLECULES = 80
# No objective reaches so far into a sample, µm: the depth was given in nm.
_OBJECTIVE_UM = 300.0
# Largest number of these frames: sparser molecules are drawn as dense as it takes, each nearly alone.
_MOST_FRAMES = 60
# Molecules lie up to so far outside of them, px.
_BEYOND_PX = 6.0


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

    Raises InputError for values that cannot be, such as the density of a scene without molecules.
    """
    changes = changes or SampleChanges()
    given = experiment.scene(scene)
    if changes.depth_um is not None and not 0 < changes.depth_um < math.inf:
        raise InputError(
            f"the range of depths must be above 0 µm, got {changes.depth_um:g}",
            "give the length of the range in µm (`depth_um`)",
        )
    there = scene_conditions(experiment, given, changes.photons, changes.background)
    density = given.emitters.highest_density(there.field) if changes.density is None else changes.density
    if not 0 < density < math.inf:
        raise InputError(
            f"the density must be above 0 molecules per µm², got {density:g}",
            "give that of your densest frames (`density`)",
        )
    low, high = given.emitters.z_um
    return Sample(
        z_um=(low, high if changes.depth_um is None else low + changes.depth_um),
        density=density,
        photons=there.photons,
        background=there.background,
    )


def recommend(
    experiment: Experiment, sample: Sample, *, scene: str | None = None, watch: Watcher = SILENT
) -> Recommendation:
    """Known masks for a sample under an experiment's microscope, best first.

    The joint bound is computed for this microscope, each mask at its own best focus; Jaccard index and the
    ratio of errors to the bound come from the table of simulated fits (`MaskTable`). Further channels of the
    experiment are not looked at: masks of two channels divide the light of all. The patch is the experiment's,
    or as large as the depths need (`patch_for_depth`).

    scene: gives the blur;  watch: told each mask; it can end the work (Interrupted).
    Raises InputError for a PSF without a mask, and for a sample outside of the table, with what to do instead.
    """
    whole, experiment = experiment, experiment.of_channel(0)
    scope, table = experiment.microscope, known_masks()
    depth, densities = _places(scope, sample, table)
    there = scene_conditions(experiment, experiment.scene(scene), sample.photons, sample.background)
    patch_px = max(experiment.psf.patch_px, patch_for_depth(scope, sample.z_um[1] - sample.z_um[0]))
    experiment = experiment.with_(psf=experiment.psf.with_(patch_px=patch_px))
    empty = sketched(experiment, sample.scene(there.blur_px, -_BEYOND_PX), _FRAME_PX)
    simulated = [each for each in table.masks if _simulated(each, depth)]
    advice, dim, bright = [], [], []
    for number, known in enumerate(simulated, 1):
        masks = known.masks(depth)
        here = through(empty, masks, best_focus(empty, masks)[0])
        gain = gain_of(here, sample.density)
        dim.append(gain / _end_of_gain(known, depth, densities, 0))
        bright.append(gain / _end_of_gain(known, depth, densities, -1))
        advice.append(_advice(known, here, sample, known.expected(depth, densities, gain)))
        advance(watch, number, len(simulated))
    if max(dim) < _BEYOND_GAIN:
        raise InputError(
            f"a molecule of {sample.photons:g} photons over {sample.background:g} per pixel stands out "
            f"{max(dim):.2g} times as much as the dimmest that were simulated (at least {_BEYOND_GAIN:g})",
            "more light: a longer exposure, brighter dyes or less background (`photons`, `background`)",
        )
    order = sorted(advice, key=lambda each: -each.efficiency)
    told = (
        notes.of_table(table, depth),
        *notes.beyond_the_table(scope, sample, table),
        *notes.of_light(dim, bright),
        *notes.of_microscope(scope, sample),
        *notes.of_channels(whole),
        *notes.of_answer(order),
    )
    return Recommendation(sample, tuple(notes.with_reasons(order, sample)), told)


def refuse_mask(experiment: Experiment, sample: Sample, mask: str) -> None:
    """Raise InputError for a name that no known mask has, or that was not simulated for the sample's depths."""
    table = known_masks()
    depth, _ = _places(experiment.microscope, sample, table)
    there = ", ".join(each.name for each in table.masks if _simulated(each, depth))
    if mask not in [each.name for each in table.masks]:
        raise InputError(f"there is no known mask '{mask}'; there are: {there}")
    if mask not in there.split(", "):
        length = sample.z_um[1] - sample.z_um[0]
        raise InputError(f"'{mask}' was not simulated for {length:.3g} µm of depth; there are: {there}")


def _places(scope: Microscope, sample: Sample, table: MaskTable) -> tuple[Place, list[Place]]:
    """Where the sample's depth range and density lie in the table; raises InputError far outside."""
    length = sample.z_um[1] - sample.z_um[0]
    one_um, area = depth_waves(scope, 1.0), resolution_area(scope)
    shallow, deep = table.waves[0] / one_um, table.waves[-1] / one_um
    if length > deep * _BEYOND_DEPTH:
        raise InputError(
            f"a range of {length:,.4g} µm is deeper than was simulated: {deep:.3g} µm under this microscope",
            "design a mask for it (`design_mask`), or image it in two ranges"
            if length < _OBJECTIVE_UM
            else "depths are in µm, not nm",
        )
    if length < shallow / 2:
        raise InputError(
            f"a range of {length:.3g} µm is less than was simulated: {shallow:.3g} µm under this microscope",
            "ask for a deeper range (`depth_um`); molecules in one plane need no mask",
        )
    depth = place_among(table.waves, length * one_um)
    most = notes.densities_at(scope, depth, table)[1]
    if sample.density > most * _BEYOND_DENSITY:
        raise InputError(
            f"{sample.density:.3g} molecules per µm² over {length:.3g} µm are more than were simulated: "
            f"{most:.3g} under this microscope",
            "let fewer molecules shine at a time (`density`), or train with each mask at this density "
            "(`compare_masks`)",
        )
    return depth, [place_among(each, sample.density * area) for each in table.densities]


def _simulated(known: KnownMask, depth: Place) -> bool:
    """Whether a mask was simulated at the depths around a place."""
    return math.isfinite(depth.of([float(each.sum()) for each in known.gain]))


def _end_of_gain(known: KnownMask, depth: Place, densities: Sequence[Place], light: int) -> float:
    """The gain that was simulated at a depth and density with the least light, 0, or the most, -1."""
    return depth.of([place.of(known.gain[number, :, light]) for number, place in enumerate(densities)])


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
    """Median bound, lateral and axial, nm, of molecules at the sample's density, or at the least drawn."""
    side = (_FRAME_PX - 2 * BORDER_PX) * here.microscope.pixel_um
    density = max(sample.density, _MOLECULES / (_MOST_FRAMES * side**2))
    scene, frames = here.scene(), math.ceil(_MOLECULES / (density * side**2) - 1e-9)
    crowd = scene.emitters.with_(count=DensityCount(low=density, high=density))
    here = here.with_(scenes={"sample": scene.with_(emitters=crowd)})
    blur, psfs = here.blur_px, []
    for number in range(len(here.channel_names)):
        alone = here.of_channel(number)
        psfs.append(alone.psf.tabulate(alone.microscope, psf_source(alone), here.z_um, blur, finer=True))
    return joint_bound(here, psfs, frames, stream(0, "limit"))
