"""Limit: how well anyone could localize with one mask, with several, or with several channels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsIndex

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..experiment.conditions import LEAST_BACKGROUND, Conditions, scene_conditions
from ..experiment.configure import phase_of
from ..experiment.experiment import Experiment
from ..experiment.light_patch import LIGHT_OF_BOUNDS, patch_for_light
from ..experiment.limits import Bounds, LimitReport, MaskLimits
from ..experiment.optics import experiment_mask, psf_source
from ..fitting.background import SplineBackground
from ..fitting.information import joint_bounds
from ..fitting.likelihood import Likelihood
from ..fitting.linear import LinearImage
from ..fitting.state import JointState
from ..io.masks import mask_sha256
from ..optics.fisher import crlb_of_images
from ..optics.masks import FileMask
from ..optics.psf import on_axis
from ..optics.tabulated import TabulatedPSF
from ..simulation.priors import FixedCount
from ..streams import stream
from ..watch import SILENT, Watcher, advance
from .joint_limit import ChannelSet, Light, channel_sets

__all__ = ["Sweep", "limit", "masks_to_compare"]

# Molecules in a frame of the area below: the densities for which the bound is computed.
_COUNTS = (1, 5, 10, 20, 35, 50, 75, 100, 150, 200)
# Area of the published frames, 81×81 pixels of 110 nm, µm².
_AREA_UM2 = 79.3881
# Their images alone, at 157 px and in double precision, take 0.4 GB, and are held a few times over.
_MOST_EMITTERS = 500
# Largest number of molecules whose images are in memory at once, so that the same memory is used again.
_BATCH_EMITTERS = 50
# Largest number of frames computed at once.
_BATCH_FRAMES = 64


@dataclass(frozen=True)
class Sweep:
    """Depths, photons, backgrounds and densities for which the bound is computed.

    Parameters
    ----------
    depths : int
        Number of depths, evenly over the scene's range.
    photons : tuple of float
        Photons of a molecule.
    background : tuple of float
        Photons per pixel.
    emitters : tuple of int
        Molecules in a frame; None: the densities 0.013 to 2.5 per µm²; (): only one molecule alone, which is
        much faster.
    molecules : int
        Molecules at random positions for each density, in as many frames as that takes, at least two.
    seed : int
        Of these positions; None: the experiment's.
    """

    depths: int = 41
    photons: tuple[float, ...] = (1e3, 2e3, 3e3, 5e3, 1e4, 2e4, 3e4, 5e4, 1e5)
    background: tuple[float, ...] = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
    emitters: tuple[int, ...] | None = None
    molecules: int = 400
    seed: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.depths, SupportsIndex) or isinstance(self.depths, bool) or self.depths < 1:
            raise InputError(f"depths is the number of depths, 1 or more, not {self.depths}")
        for name, least in (("photons", "above 0"), ("background", "0 or more")):
            values = getattr(self, name)
            if not isinstance(values, Iterable):
                raise InputError(f"{name} of a sweep are several numbers, not {values}", f"{name}=(1000, 5000)")
            values = tuple(values)
            object.__setattr__(self, name, values)
            if not values:
                raise InputError(f"{name} of a sweep are several numbers, not none", f"{name}=(1000, 5000)")
            for value in values:
                if not math.isfinite(value) or value < 0 or (name == "photons" and not value):
                    raise InputError(f"{name} of a sweep are {least}, got {value:g}")
        if self.emitters is not None and any(number < 1 for number in self.emitters):
            raise InputError(
                f"a frame has at least one molecule, got emitters of {', '.join(map(str, self.emitters))}",
                "give numbers from 1 on, or none at all for one molecule alone",
            )
        if self.molecules < 1:
            raise InputError(f"the bound is averaged over 1 molecule at least, got {self.molecules}")


def masks_to_compare(experiment: Experiment, others: Sequence[str | Path]) -> list[tuple[str, Tensor | None]]:
    """Names and phases (h, w) rad of the experiment's own mask (None) and of others, each a file or a kind.

    The own mask comes first. It is left out where one of the others is the same (by its SHA-256), or where
    the experiment knows only its hash. Files are named without their folder where that tells them apart.
    Raises InputError for what is neither a mask file nor a kind of mask ("tetrapod").
    """
    paths = [Path(other) for other in others]
    phases = [phase_of(experiment, path) for path in paths]
    known = Counter(path.name for path in paths)
    # Files of one name in two folders are told apart by their paths.
    names = [path.name if known[path.name] == 1 else str(path) for path in paths]
    given: list[tuple[str, Tensor | None]] = list(zip(names, phases, strict=True))
    spec = experiment.mask
    own = spec.kind
    if isinstance(spec, FileMask):
        own = Path(spec.path).name or f"mask of {experiment.name}"
    if not experiment.psf.needs_mask:
        own = experiment.psf.file_name or f"PSF of {experiment.name}"
    if not others:
        return [(own, None)]
    if isinstance(spec, FileMask) and not spec.path:
        return given
    if mask_sha256(experiment_mask(experiment)()) in {mask_sha256(phase) for phase in phases}:
        return given
    return [(f"{own} (the experiment's)", None), *given]


def limit(
    experiment: Experiment,
    masks: Sequence[tuple[str, Tensor | None]] | None = None,
    *,
    scene: str | None = None,
    photons: float | None = None,
    background: float | None = None,
    sweep: Sweep | None = None,
    watch: Watcher = SILENT,
) -> LimitReport:
    """Cramér-Rao bounds of position against depth, photons, background and density, for each mask.

    One molecule: at the middle of a pixel, estimated with its photons and one level of background on a
    patch that holds 95 % of its light where the mask's sampling permits. Many: at random places, the same
    for each mask, each estimated together with all of its frame and one level of background. The noise is
    that of the experiment's camera.

    Of an experiment with several channels the first bound is that of all channels together, each with its share
    of the light and a background of its own, and with photons of its own unless the shares are known; then
    follow each channel alone and each mask in the first channel, all of them with all of the light.

    masks: name and phase (h, w) rad, None for the experiment's own (by itself where left out);
    scene: gives depth range, blur, border, median photons and mean background, the first where left out;
    photons, background: instead of the scene's;  sweep: where the bound is computed;
    watch: told each point that is computed, and asked whether to stop (then Interrupted is raised).
    Raises InputError where a mask does not fit the microscope, naming it.
    """
    masks = masks_to_compare(experiment, ()) if masks is None else masks
    if experiment.channels:
        # The first channel's own mask is among its channels.
        masks = [(name, phase) for name, phase in masks if phase is not None]
    sweep = sweep or Sweep()
    there = scene_conditions(experiment, experiment.scene(scene), photons, background)
    numbers = _default_numbers(there) if sweep.emitters is None else sweep.emitters
    sets: list[ChannelSet | _OneMask] = list(
        channel_sets(experiment, scene, there) if experiment.channels else ()
    )
    first = experiment.of_channel(0)
    steps, total = 0, (len(sets) + len(masks)) * (1 + len(numbers))
    limits = []
    for seen in (*sets, *masks):
        if isinstance(seen, tuple):
            seen = _OneMask(seen[0], _table(first, there, *seen), there)
        alone = _alone(seen, there, sweep)
        steps += 1
        advance(watch, steps, total)
        crowded: list[NDArray[np.float64]] = []
        for number in numbers:
            generator = stream(experiment.seed if sweep.seed is None else sweep.seed, "limit")
            sigma = seen.together(there, number, max(2, -(-sweep.molecules // number)), generator)
            crowded.append(np.stack([np.median(sigma, 0), _rms(sigma)]))
            steps += 1
            advance(watch, steps, total)
        density = np.array(numbers, dtype=np.float64) / there.area_um2
        both = np.stack(crowded, 1) if crowded else np.zeros((2, 0, 3))
        median, rms = (Bounds(density, sigmas) for sigmas in both)
        limits.append(MaskLimits(seen.name, *alone, median, rms, np.array(numbers, dtype=np.int64)))
    return LimitReport(
        experiment=experiment.name,
        photons=there.photons,
        background=there.background,
        blur_px=there.blur_px,
        noise=str(there.noise),
        z_um=there.prior.z_um,
        frame_px=there.field.size,
        margin_px=there.prior.margin_px[0],
        masks=tuple(limits),
    )


def _default_numbers(there: Conditions) -> tuple[int, ...]:
    scale = there.area_um2 / _AREA_UM2
    numbers = {max(1, round(count * scale)) for count in _COUNTS}
    return tuple(sorted(number for number in numbers if number <= _MOST_EMITTERS or number == min(numbers)))


def _table(experiment: Experiment, there: Conditions, name: str, phase: Tensor | None) -> TabulatedPSF:
    """The PSF at one blur. Two samples per pixel where it is computed: a coarser bound is up to 2 % off."""
    try:
        given = experiment if phase is None else experiment.with_(mask=FileMask())
        source = psf_source(given) if phase is None else experiment_mask(given, phase=phase)
        middle = experiment.psf.at(0.0, 0.0)
        spec = middle.with_(patch_px=patch_for_light(experiment, source, light=LIGHT_OF_BOUNDS)[0])
        blur = (there.blur_px, there.blur_px)
        return spec.tabulate(experiment.microscope, source, there.prior.z_um, blur, finer=True)
    except InputError as error:
        raise InputError(f"{name}: {error.what}", error.remedy) from error


@dataclass(frozen=True)
class _OneMask:
    """One channel through one mask."""

    name: str
    psf: TabulatedPSF
    there: Conditions

    @torch.no_grad()
    def alone(self, z_um: NDArray[np.float64], light: Sequence[Light]) -> NDArray[np.float64]:
        """σ of x, y, z (K, depths, 3) nm of one molecule at the middle of a pixel.

        light: K photons and backgrounds.
        """
        patches, slopes = self.psf.derivatives(on_axis(torch.from_numpy(z_um)))
        found = []
        for photons, background in light:
            bright, floor = (
                patches.values.new_full((len(z_um),), value)
                for value in self.there.as_poisson(photons, background)
            )
            found.append(1000 * crlb_of_images(patches.values, slopes, bright, floor)[:, :3].numpy())
        return np.stack(found)

    def together(
        self, there: Conditions, number: int, frames: int, generator: torch.Generator
    ) -> NDArray[np.float64]:
        """σ of x, y, z (frames·number, 3) nm of molecules at random places, all of a frame together."""
        return _together(self.psf, there, number, frames, generator)


def _alone(seen: ChannelSet | _OneMask, there: Conditions, sweep: Sweep) -> tuple[Bounds, Bounds, Bounds]:
    """Bounds of one molecule against depth, photons and background."""
    z = torch.linspace(*there.prior.z_um, sweep.depths, dtype=torch.float64).numpy()
    light = [(value, there.background) for value in sweep.photons]
    light += [(there.photons, value) for value in sweep.background]
    sigma = seen.alone(z, [*light, (there.photons, there.background)])
    rms = np.sqrt(np.square(sigma).mean(1))
    return (
        Bounds(z, sigma[-1]),
        Bounds(np.array(sweep.photons), rms[: len(sweep.photons)]),
        Bounds(np.array(sweep.background, dtype=float), rms[len(sweep.photons) : -1]),
    )


@torch.no_grad()
def _together(
    psf: TabulatedPSF, there: Conditions, number: int, frames: int, generator: torch.Generator
) -> NDArray[np.float64]:
    """σ of x, y, z (frames·number, 3) nm of molecules at random places, all of a frame estimated together."""
    prior = there.prior.with_(count=FixedCount(count=number))
    emitters = prior.draw(frames, there.field, generator)
    step = max(1, min(_BATCH_FRAMES, _BATCH_EMITTERS // number))
    background = SplineBackground(there.field.size, float("inf"), torch.zeros(1, dtype=torch.float64))
    level = max(there.background, LEAST_BACKGROUND)
    found = []
    for start in range(0, frames, step):
        count = min(step, frames - start)
        rows = (emitters.frame >= start) & (emitters.frame < start + count)
        xyz = emitters.xyz[rows].double()
        state = JointState(
            xyz=xyz,
            photons=torch.full_like(xyz[:, 0], there.photons),
            frame=emitters.frame[rows] - start,
            coefficients=xyz.new_full((count, 1, 1), level),
        )
        image = LinearImage(psf, state, background, (count, *there.field.size))
        noise = Likelihood(image.image, there.noise)
        found.append(1000 * joint_bounds(image, noise.information(image.image))[0][:, :3])
    return torch.cat(found).numpy()


def _rms(sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(np.square(sigma).mean(0))
