"""Estimate: photons, density, background and noise from a movie, as an experiment to train with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..calibration.movie_statistics.by_model import found_light
from ..calibration.movie_statistics.camera import CameraMatch, match_camera, noise_over_field
from ..calibration.movie_statistics.experiment import changes, estimated_experiment
from ..calibration.movie_statistics.figure import likeness_figure
from ..calibration.movie_statistics.molecules import LightModel, measure_light, refuse_small
from ..calibration.movie_statistics.scene_match import SceneMatch, guess_photons, match_scene, simulate_guess
from ..camera import Camera
from ..chip import Maps
from ..errors import InputError
from ..experiment.experiment import Experiment, psf_source, write_experiment
from ..frames.mean_variance import DarkLevel, dark_level
from ..frames.no_light import refuse_without_light
from ..frames.plausibility import check_frames
from ..frames.similarity import Likeness, compare_frames
from ..io.movies import open_movie
from ..io.parts import claim_name
from ..localizing.excerpt import Excerpt
from ..localizing.pipeline import Pipeline
from ..optics.tabulated import TabulatedPSF
from ..pixels.faults import PixelFaults
from ..plot.panels import save_figure
from ..simulation.priors import EmitterPrior, Scene
from ..streams import stream_seed
from ..watch import SILENT, Watcher
from .simulate import patch_for_light

__all__ = ["Estimate", "estimate_movie"]

_SAMPLE_PIXELS, _SAMPLE_FRAMES = 2**23, 200
# Frames whose pixels are mended at a time.
_AT_ONCE = 16
_DEPTHS = 12
# Share of the real field's change of level that the simulated one must have, or another kind of background
# serves.
_UNEVEN = 0.35
# Relative spread of brightness above which something else than brightness must differ.
_WIDEST_SPREAD = 1.2


@dataclass(frozen=True)
class Estimate:
    """What a movie says of its own set-up.

    experiment: complete, with the new values;  changes: key, old and new value of each that changed;  frames:
    how many of the movie were looked at;  camera, scene: how they were found;  likeness: of simulated to real
    frames; warnings, notes: in words.
    """

    experiment: Experiment
    changes: list[tuple[str, Any, Any]]
    frames: int
    camera: CameraMatch
    scene: SceneMatch
    likeness: Likeness
    warnings: list[str]
    notes: list[str]


def estimate_movie(
    excerpt: Excerpt,
    experiment: Experiment,
    out: Path,
    *,
    picture: Path | None = None,
    dark: Path | None = None,
    baseline: float | None = None,
    scene: str | None = None,
    seed: int | None = None,
    pipeline: Pipeline | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> Estimate:
    """Estimate from a sample of frames, write the experiment, and draw simulated beside real frames.

    experiment: the set-up; optics, mask and depth range are taken as true;  picture: beside `out` where left
    out;  dark: a movie without light;  baseline: ADU, where it is known;  scene: which one changes, the first
    else;  seed: of the simulations, the experiment's where left out;  pipeline: a trained model at work
    (`model_for`): density, photons and background are those of the molecules that it finds (`found_light`).
    Raises InputError where the movie does not fit the experiment or cannot be estimated from.
    """
    picture = out.with_suffix(".png") if picture is None else picture
    for path in (out, picture):
        claim_name(path, overwrite=overwrite)
    if pipeline is not None:
        with excerpt.open() as source:
            source.check_against(pipeline)
    seed = experiment.seed if seed is None else seed
    stack, counts, maps, faults = _sample(excerpt, experiment)
    whole = stack.dtype.kind in "iu"
    known = experiment.camera if faults.full >= faults.said else experiment.camera.with_(saturation=faults.full)
    level = None if dark is None else _dark_level(dark)
    chosen = experiment.scene(scene)
    refuse_small((counts.shape[1], counts.shape[2]), _border_px(chosen))
    camera = match_camera(counts, known, dark=level, baseline=baseline, whole=whole)
    psf = _psf(experiment, chosen)
    photons = camera.camera.to_photons(counts, maps)
    if not camera.camera.is_calibrated:
        # How noisy the dark pixels are is known once it is known how much of the light is molecules.
        light = measure_light(photons, _light_model(psf, chosen, camera.camera, experiment))
        quieter = noise_over_field(counts, camera.camera, light.background)
        camera = replace(camera, camera=quieter)
    found, used, notes = _scene(
        photons, chosen, camera.camera, psf, experiment, maps=maps, seed=seed, watch=watch
    )
    if pipeline is not None:
        by_model = found_light(
            photons,
            found.guess,
            used,
            camera.camera,
            pipeline,
            psf,
            maps=maps,
            seed=stream_seed(seed, "found photons"),
            watch=watch,
        )
        used = used.with_(emitters=used.emitters.with_(photons=by_model.family))
        found, notes = by_model.taken_into(found), [*notes, by_model.in_words()]
    final = estimated_experiment(experiment, scene, used, found.guess, camera.camera)
    simulated = simulate_guess(
        found.guess,
        used,
        camera.camera,
        psf,
        tuple(counts.shape),
        seed=stream_seed(seed, "estimated movie"),
        maps=maps,
    )
    simulated = guess_photons(simulated, camera.camera, maps)
    write_experiment(final, out)
    title = f"{excerpt.name} beside frames simulated with {out.name}"
    likeness = _draw(photons, simulated, camera, experiment.microscope.pixel_um, picture, title)
    contradictions = [finding.text for finding in check_frames(stack, photons, camera.camera, maps=maps)]
    warnings = [*faults.in_words(), *contradictions, *camera.warnings]
    warnings += _doubts(found, final.scene(scene).emitters)
    complaints = likeness.complaints()
    if complaints:
        warnings.append("the simulated frames do not look like the real ones: " + "; ".join(complaints))
    return Estimate(
        experiment=final,
        changes=changes(experiment.to_mapping(), final.to_mapping()),
        frames=len(counts),
        camera=camera,
        scene=found,
        likeness=likeness,
        warnings=warnings,
        notes=[*camera.notes, *notes],
    )


def _draw(
    photons: Tensor, simulated: Tensor, camera: CameraMatch, pixel_um: float, picture: Path, title: str
) -> Likeness:
    """How alike real and simulated photons (B, H, W) are, and the picture of both."""
    real, made = (each.double().numpy() for each in (photons, simulated))
    likeness, line = compare_frames(real, made), camera.line
    figure = likeness_figure(
        real,
        made,
        (line.mean.numpy(), line.variance.numpy(), line.slope, line.zero),
        likeness,
        pixel_um=pixel_um,
        unit=camera.camera.unit,
        title=title,
    )
    save_figure(figure, picture)
    return likeness


class _Sample(NamedTuple):
    """Frames (B, H, W) as the file holds them; as float32, defective pixels mended; maps; faults."""

    stack: NDArray[Any]
    counts: Tensor
    maps: Maps
    faults: PixelFaults


def _sample(excerpt: Excerpt, experiment: Experiment) -> _Sample:
    """Frames spread evenly over the excerpt."""
    with excerpt.open() as source:
        source.check_pixel(experiment)
        source = source.judged(experiment.camera, experiment.microscope)
        height, width = source.size
        first, last = source.span[0], source.last
        most = int(np.clip(_SAMPLE_PIXELS // (height * width), 1, _SAMPLE_FRAMES))
        numbers = np.unique(np.linspace(first, last - 1, min(most, last - first)).round().astype(int))
        inside = [n for n in numbers.tolist() if not any(a <= n < b for a, b in source.movie.gaps)]
        if not inside:
            raise InputError(f"{excerpt.name}: none of these frames can be read")
        frames = [source.read(n, n + 1) for n in inside]
        reader, maps = source.reader(experiment.camera), source.maps_of(experiment.camera)
    stack = np.concatenate(frames)
    refuse_without_light(stack, experiment.camera.saturation, excerpt.name)
    counts = torch.from_numpy(stack.astype(np.float32))
    mended = torch.cat([reader.mended(part) for part in counts.split(_AT_ONCE)])
    return _Sample(stack, mended, maps, reader.faults)


def _dark_level(dark: Path) -> DarkLevel:
    """Baseline and noise of a movie without light."""
    with open_movie(dark) as movie:
        frames = movie.read(0, min(movie.shape[0], _SAMPLE_FRAMES))
    return dark_level(torch.from_numpy(frames.astype(np.float32)), whole=frames.dtype.kind in "iu")


def _psf(experiment: Experiment, scene: Scene) -> TabulatedPSF:
    source = psf_source(experiment)
    patch, _ = patch_for_light(experiment, source)
    # As in the middle of the field: light and density do not depend on what changes across it.
    spec = experiment.psf.at(0.0, 0.0).with_(patch_px=patch)
    return spec.tabulate(experiment.microscope, source, scene.emitters.z_um, experiment.blur_px)


def _light_model(psf: TabulatedPSF, scene: Scene, camera: Camera, experiment: Experiment) -> LightModel:
    """Images at depths spread evenly, each at a random place in its pixel."""
    low, high = scene.emitters.z_um
    blur = scene.emitters.blur_px or (experiment.psf.blur_px, experiment.psf.blur_px)
    z = low + (high - low) * (torch.arange(_DEPTHS) + 0.5) / _DEPTHS
    place = (torch.rand(_DEPTHS, 2, generator=torch.Generator().manual_seed(0)) - 0.5) * psf.pixel_um
    with torch.no_grad():
        spots = psf(torch.cat([place, z[:, None]], 1), torch.full((_DEPTHS,), sum(blur) / 2)).values
    return LightModel(
        spots=spots,
        read_variance=camera.dark_variance,
        counted=camera.is_calibrated,
        multiplied=camera.multiplication > 1,
        border_px=_border_px(scene),
    )


def _border_px(scene: Scene) -> int:
    """Mean width of the border that the scene leaves free."""
    return max(0, round(sum(scene.emitters.margin_px) / 2))


def _scene(
    photons: Tensor,
    scene: Scene,
    camera: Camera,
    psf: TabulatedPSF,
    experiment: Experiment,
    *,
    maps: Maps,
    seed: int,
    watch: Watcher,
) -> tuple[SceneMatch, Scene, list[str]]:
    """The match, and the scene with the kind of background that it is for."""
    model = _light_model(psf, scene, camera, experiment)

    def match(like: Scene) -> SceneMatch:
        return match_scene(
            photons,
            like,
            camera,
            psf,
            model,
            seed=stream_seed(seed, "matched scene"),
            maps=maps,
            watch=watch,
        )

    if camera.is_calibrated:
        scene = scene.with_(background=scene.background.with_light())
    found = match(scene)
    real, made = found.uneven
    other = None
    if real - made > _UNEVEN:
        other = scene.background.less_even()
    elif made - real > _UNEVEN:
        other = scene.background.more_even()
    if other is None or not camera.is_calibrated:
        return found, scene, []
    changed = scene.with_(background=other)
    again = match(changed)
    if abs(again.uneven[0] - again.uneven[1]) >= abs(real - made):
        return found, scene, []
    note = (
        f"the level changes over the field by {real:.2f} of its mean, with the experiment's background it "
        f"would by {made:.2f}: another kind of background was taken ({other.kind})"
    )
    return again, changed, [note]


def _doubts(found: SceneMatch, prior: EmitterPrior) -> list[str]:
    """What makes the scene's numbers uncertain, or unfit to learn from."""
    warnings = []
    drawn = prior.photons.draw(4000, torch.Generator().manual_seed(0))
    labelled = float((drawn >= prior.min_photons).float().mean())
    if labelled < 0.5:
        warnings.append(
            f"only {labelled:.0%} of the molecules have the {prior.min_photons:,.0f} photons from which on the "
            "network is taught to find them (min_photons, unchanged)"
        )
    if found.guess.photon_spread > _WIDEST_SPREAD:
        warnings.append(
            "the brightness seems to differ more than that of molecules: they may stand in clusters, or be "
            "out of focus; estimate from a region that they fill evenly (`roi`), and see whether the "
            "picture gets better"
        )
    sigma = found.light.sigma
    if not np.isfinite(sigma[0]):
        warnings.append(
            "too few frames to say how certain the figures are and how they change over frames: widen the "
            "ranges by hand"
        )
    for name, value in (("density", sigma[0]), ("photons", sigma[1])):
        if value > 0.15:
            warnings.append(f"the {name} is uncertain by {value:.0%} (one σ over frames): give more frames")
    for name, value in zip(("density", "photons"), found.corrections, strict=True):
        if not 0.5 < value < 2:
            warnings.append(
                f"simulations moved the {name} by a factor of {value:.2f}: the estimate is not reliable here"
            )
    return warnings
