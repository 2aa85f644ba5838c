"""The table behind `recommend`: masks for three ranges of depth, and how well the joint fit does through each.

Three steps, each kept in the folder; the same command continues. `design` finds each family's numbers for each
range of depth by the bound of one molecule (crowd: of many); `measure` simulates frames and fits them; `write`
puts these into src/deepstorm3d/experiment/known_masks.json, and leaves other masks there as they are.

The fit begins with what a good network would propose: nine of ten molecules, at random; laterally off by 50 nm
along each axis; at the depth that fits best the image of this molecule alone, with noise of its own and its
neighbours' mean light as background (so that masks that do not tell two depths apart are not helped); none that
does not stand out. The others are for the fit's own search. (Begun with no candidates it finds few in dense
frames, where a network finds nearly all: benchmarks/recommend_check.py.)

  python benchmarks/known_masks.py design runs/known
  python benchmarks/known_masks.py measure runs/known
  python benchmarks/known_masks.py write runs/known
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from scipy.optimize import minimize_scalar
from torch import Tensor

from deepstorm3d.analysis.matching import match
from deepstorm3d.analysis.metrics import Score, score
from deepstorm3d.camera import IdealCamera
from deepstorm3d.channels import Transform
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.experiment.design_settings import DesignSpec
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.known_masks import with_noll_numbers
from deepstorm3d.experiment.optics import psf_source
from deepstorm3d.experiment.recommendation import Sample
from deepstorm3d.experiment.sample_scale import depth_waves, resolution_area
from deepstorm3d.extent import frame_extent
from deepstorm3d.field import Field
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.search import gain_threshold
from deepstorm3d.fitting.sites.candidates import CandidatesFit
from deepstorm3d.fitting.sites.channels import ChannelsFit, FurtherChannel
from deepstorm3d.jobs.known_mask_setup import BORDER_PX, best_focus, gain_of, joint_bound, sketched, through
from deepstorm3d.localizing.fits import build_fit, highest_density
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import (
    AnyMask,
    AstigmaticMask,
    DoubleHelixMask,
    LearnedMask,
    MaskSpec,
    TetrapodMask,
    ZernikeMask,
    ZernikePhase,
    ZeroMask,
)
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.psf import on_axis
from deepstorm3d.optics.pupil import mask_coordinates
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.optics.zernike import zernike_basis
from deepstorm3d.simulation.simulator import Simulator
from deepstorm3d.training.fisher import Alone, Crowd, FisherCriterion, minimise_bound
from harness import environment

OUT = Path(__file__).parents[1] / "src/deepstorm3d/experiment/known_masks.json"
# Depths from the coverslip, µm, in the default microscope (0.58 µm, NA 1.45, in water, pixels of 110 nm).
DEPTHS_UM = (1.0, 2.2, 4.8)
# Of each: densities, molecules/µm²; side of frame, and of the PSF's patch in fit and simulation, px.
DENSITIES = ((0.4, 1.2, 3.0), (0.2, 0.7, 1.8), (0.1, 0.4, 1.1))
SIDES = (40, 48, 64)
PATCHES = ((31, 41), (45, 61), (75, 91))
# Photons of a molecule, background per pixel.
LIGHTS = ((2000.0, 15.0), (20_000.0, 100.0))
# The same for the design of masks; blur σ, px.
DESIGN_LIGHT, BLUR_PX = (6000.0, 40.0), 1.0
# Molecules lie up to so far outside the frame, px; number judged in each cell, about.
BEYOND_PX = 6.0
JUDGED = 80
# Candidates: share of the molecules, lateral error along an axis (µm), step of depths tried (µm).
PROPOSED, OFF_UM, STEP_UM = 0.9, 0.05, 0.05
# Molecules dimmer than this share of the others are improbable, as for `build_fit`.
_DIM = 0.5
# Largest ratio of an error to its bound that the table keeps: beyond it matched pairs are chance.
_MOST_RATIO = 4.0
ZERNIKE_ORDER, STEPS = 6, {"least bound": 100, "crowd": 60}

Family = Callable[[float], tuple[MaskSpec, ...]]
FAMILIES: dict[str, tuple[str, Family, tuple[float, float]]] = {
    "astigmatic": ("a cylindrical lens", lambda s: (AstigmaticMask(strength=s),), (0.2, 5.0)),
    "tetrapod": (
        "the built-in Tetrapod, scaled to the depth",
        lambda s: (TetrapodMask(strength=s),),
        (0.1, 1.6),
    ),
    "double helix": ("two lobes that rotate", lambda w: (DoubleHelixMask(waist=w),), (0.2, 0.9)),
    "spherical": (
        "spherical aberration: compact over the depth",
        lambda c: (ZernikeMask(coefficients={11: c}),),
        (-3.0, 3.0),
    ),
    "two planes": (
        "no mask, two cameras at different focus",
        lambda c: (ZernikeMask(coefficients={4: -c}), ZernikeMask(coefficients={4: c})),
        (0.1, 4.0),
    ),
}
# The same at all depths.
FIXED: dict[str, MaskSpec] = {"flat": ZeroMask(), "learned": LearnedMask()}
# First of the ranges of depth that a mask is simulated for: the learned one is for 4 µm.
FIRST_DEPTH = {"learned": 1}
ABOUT = {
    "flat": "no mask",
    "learned": "learned with a network and the joint bound, for dense molecules over 4 µm; a network finds "
    "more through it than is proposed here",
    "least bound": "designed for one molecule's precision (design-psf --by fisher)",
    "crowd": "designed for precision in a crowd (design-psf --by fisher with design.fisher_density)",
}


def setup(depth: int, light: tuple[float, float], density: float, patch_px: int) -> Experiment:
    """The default microscope without a mask, for one range of depth."""
    sample = Sample((0.0, DEPTHS_UM[depth]), density, *light)
    scene = sample.scene(BLUR_PX, -BEYOND_PX)
    psf = ScalarPSFSpec(patch_px=patch_px, blur_px=BLUR_PX)
    whole = Experiment(name="known masks", psf=psf, camera=IdealCamera(), scenes={"sample": scene})
    return sketched(whole, scene, SIDES[depth])


def design(folder: Path) -> dict[str, Any]:
    """The masks of each family for each range of depth: {name: [[mapping of each depth] of each channel]}."""
    path = folder / "masks.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def keep(name: str, masks: list[tuple[MaskSpec, ...]]) -> None:
        found[name] = [[mask.to_mapping() for mask in channel] for channel in zip(*masks, strict=True)]
        path.write_text(json.dumps(found, indent=1))
        print(name, found[name], flush=True)

    for name, mask in FIXED.items():
        if name not in found:
            keep(name, [(mask,)] * len(DEPTHS_UM))
    for name, (_, family, (low, high)) in FAMILIES.items():
        if name in found:
            continue
        masks = []
        for depth in range(len(DEPTHS_UM)):
            experiment = setup(depth, DESIGN_LIGHT, DENSITIES[depth][0], PATCHES[depth][0])

            def bound(value: float, at: Experiment = experiment, of: Family = family) -> float:
                return best_focus(at, of(value))[1]

            coarse = np.linspace(low, high, 7)
            first = coarse[int(np.argmin([bound(float(value)) for value in coarse]))]
            step = coarse[1] - coarse[0]
            ends = max(low, first - step), min(high, first + step)
            best: Any = minimize_scalar(bound, bounds=ends, method="bounded", options={"maxiter": 5})
            print(name, DEPTHS_UM[depth], round(float(best.x), 3), round(float(best.fun), 1), flush=True)
            masks.append(family(round(float(best.x), 3)))
        keep(name, masks)
    for name in STEPS:
        if name not in found:
            keep(name, [by_fisher(name, depth, found) for depth in range(len(DEPTHS_UM))])
    path.write_text(json.dumps(found, indent=1))
    return found


def by_fisher(name: str, depth: int, found: dict[str, Any]) -> tuple[MaskSpec, ...]:
    """The Zernike mask of least bound of one molecule, begun with the Tetrapod; or of a crowd, begun there."""
    crowd = name == "crowd"
    photons, background = DESIGN_LIGHT
    density = DENSITIES[depth][2]
    experiment = setup(depth, DESIGN_LIGHT, density, PATCHES[depth][0])
    begin = mask_of(found["least bound" if crowd else "tetrapod"][0][depth])
    focus, before = best_focus(experiment, [begin])
    there = through(experiment, [begin], focus)
    indices = list(range(4, (ZERNIKE_ORDER + 1) * (ZERNIKE_ORDER + 2) // 2 + 1))
    start = numbers_of(there, indices)
    generator = torch.Generator().manual_seed(0)
    mask = ZernikePhase(
        there.microscope,
        indices,
        start + 0.05 * torch.randn(len(start), generator=generator).double(),
        learn=True,
    )
    scene = there.scene().emitters
    criterion: FisherCriterion = Alone(photons, background, BLUR_PX, scene.z_um)
    if crowd:
        field = Field(SIDES[depth], SIDES[depth], there.microscope.pixel_um)
        criterion = Crowd(scene.with_(blur_px=None), field, photons, background, BLUR_PX, 1, BORDER_PX)
    begun = time.process_time()
    made = minimise_bound(
        build_psf(there.psf, there.microscope, mask),
        criterion,
        lambda: torch.zeros(()),
        DesignSpec(learning_rate=0.05, fisher_steps=STEPS[name]),
    )
    spent = time.process_time() - begun
    print(name, DEPTHS_UM[depth], f"{before:.1f}", made.values[0], np.mean(made.values[-8:]), f"{spent:.0f} s")
    values = mask.coefficients.detach().tolist()
    return (ZernikeMask(coefficients={j: round(v, 3) for j, v in zip(indices, values, strict=True)}),)


def mask_of(mapping: dict[str, Any]) -> MaskSpec:
    """A mask from its mapping as JSON keeps it."""
    return TypeAdapter(AnyMask).validate_python(with_noll_numbers(mapping))


def numbers_of(experiment: Experiment, indices: list[int]) -> Tensor:
    """The Zernike coefficients of an experiment's mask, rad rms, by least squares over the aperture."""
    microscope = experiment.microscope
    basis = zernike_basis(
        indices, mask_coordinates(microscope.mask_px, microscope.mask_pitch), microscope.aperture_radius
    )
    phase = psf_source(experiment)().detach().double()
    inside = (basis != 0).any(0)
    return torch.linalg.lstsq(basis[:, inside].T, phase[inside][:, None]).solution[:, 0]


def measure(folder: Path, only: list[str] | None) -> None:
    """Simulate and fit each cell that is not in the folder yet."""
    masks = json.loads((folder / "masks.json").read_text())
    for name in only or masks:
        path = folder / f"{name.replace(' ', '_')}.jsonl"
        done = {tuple(json.loads(line)["cell"]) for line in path.open()} if path.exists() else set()
        for depth in range(FIRST_DEPTH.get(name, 0), len(DEPTHS_UM)):
            todo = [(k, light) for k in range(len(DENSITIES[depth])) for light in range(len(LIGHTS))]
            todo = [cell for cell in todo if (depth, *cell) not in done]
            if todo:
                for row in rows_of([mask_of(nodes[depth]) for nodes in masks[name]], depth, todo):
                    with path.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                    print(name, row, flush=True)


def rows_of(masks: list[MaskSpec], depth: int, todo: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """The cells of one mask and depth: numbers of density and light."""
    narrow, wide = PATCHES[depth]
    typical = setup(depth, DESIGN_LIGHT, DENSITIES[depth][1], narrow)
    focus, alone = best_focus(typical, masks)
    fits = Fits(through(typical, masks, focus), wide)
    for number, light in todo:
        density = DENSITIES[depth][number]
        here = through(setup(depth, LIGHTS[light], density, narrow), masks, focus)
        begun = time.process_time()
        figures, bounds = fits.judged(here, density, 1000 * depth + 100 * number)
        yield {
            "cell": [depth, number, light],
            "focus": round(focus, 3),
            "alone": round(alone, 2),
            "gain": round(gain_of(here, density), 2),
            "jaccard": round(figures.jaccard, 4),
            "truth": figures.tp + figures.fn,
            "rmse": [figures.rmse_lateral_nm, figures.rmse_axial_nm],
            "bound": [round(value, 3) for value in bounds],
            "seconds": round(time.process_time() - begun, 1),
        }


class Fits:
    """Simulators and fits of each channel of one experiment, tabulated once."""

    def __init__(self, experiment: Experiment, wide_px: int) -> None:
        self.shares = experiment.known_shares
        self.channels = [experiment.of_channel(number) for number in range(len(experiment.channel_names))]
        sources = [psf_source(alone) for alone in self.channels]
        place = torch.device("cpu")
        self.fits: list[JointFit] = []
        self.wide = []
        for alone, source in zip(self.channels, sources, strict=True):
            fit = build_fit(alone, source, "network", place)
            assert isinstance(fit, JointFit)
            self.fits.append(fit)
            blur = (BLUR_PX, BLUR_PX)
            room = alone.psf.widest_patch_px(alone.microscope, source)
            spec = alone.psf.with_(patch_px=min(wide_px, room))
            self.wide.append(spec.tabulate(alone.microscope, source, alone.z_um, blur, finer=True))

    def judged(
        self,
        experiment: Experiment,
        density: float,
        seed: int,
        *,
        proposed: bool = True,
        by: Callable[[Localizations, list[Likelihood]], Localizations] | None = None,
    ) -> tuple[Score, tuple[float, float]]:
        """Score of the fit in frames of one density, and median joint bound, lateral and axial, nm.

        proposed: begun with candidates, else with none;  by: what finds the list (None: `fitted`).
        """
        field = Field(*experiment.frame_px, experiment.microscope.pixel_um)
        inner = math.prod(side - 2 * BORDER_PX for side in field.size) * field.pixel_um**2
        generator = torch.Generator().manual_seed(seed)
        scene = experiment.scene()
        truth, level = scene.draw(max(2, round(JUDGED / (density * inner))), field, generator)
        lights = []
        for alone, psf, share in zip(self.channels, self.wide, self.shares or (1.0,), strict=True):
            seen = Emitters(truth.xyz, truth.frame, truth.photons * share, truth.id, truth.blur_px)
            simulator = Simulator(psf, alone.camera, field)
            photons = simulator.to_photons(simulator(seen, level * share, generator))
            lights.append(Likelihood(photons, alone.camera.pixel_noise()))
        begin = self.candidates(truth, experiment, density, generator) if proposed else Localizations.empty()
        found = by(begin, lights) if by else self.suited(experiment).fitted(begin, lights)
        pairs = match(
            truth,
            found,
            field_um=frame_extent(field.size, field.pixel_um),
            border_um=BORDER_PX * field.pixel_um,
        )
        frames = int(truth.frame.max()) + 1
        return score(truth, found, pairs), joint_bound(experiment, self.wide, frames, generator)

    def suited(self, experiment: Experiment) -> Fits:
        """The same tables with the limits of one density and light, as `build_fit` sets them."""
        other = copy(self)
        dim = _DIM * experiment.scene().emitters.median_photons
        most = highest_density(experiment)
        other.fits = [replace(fit, dim_photons=dim, most_per_um2=most) for fit in self.fits]
        return other

    def fitted(self, begin: Localizations, lights: list[Likelihood]) -> Localizations:
        """The list of the frames: by the joint fit, or by that of all channels."""
        if len(lights) == 1:
            return self.fits[0].explain(begin, lights[0]).localizations
        further = tuple(FurtherChannel(fit, Transform.identity()) for fit in self.fits[1:])
        return CandidatesFit(ChannelsFit(self.fits[0], further), self.shares)(begin, lights).localizations

    def candidates(
        self, truth: Emitters, experiment: Experiment, density: float, generator: torch.Generator
    ) -> Localizations:
        """What a good network would propose: see above."""
        scene, pixel_um = experiment.scene(), experiment.microscope.pixel_um
        low, high = experiment.z_um
        z = torch.linspace(low, high, round((high - low) / STEP_UM) + 1)
        total, gain = torch.zeros(len(truth), len(z)), torch.zeros(len(truth))
        for psf, share in zip(self.wide, self.shares or (1.0,), strict=True):
            light = scene.emitters.median_photons * share
            floor = (scene.background.mean + density * pixel_um**2 * scene.emitters.median_photons) * share
            planes = light * psf(on_axis(z)).values.flatten(1).clamp(min=0) + floor
            own = psf(on_axis(truth.xyz[:, 2])).values.flatten(1).clamp(min=0) * light
            seen = torch.poisson(own + floor, generator=generator)
            total += seen @ planes.log().T - planes.sum(1)
            gain += (own.square() / (own + floor)).sum(1)
        where = truth.xyz.clone()
        where[:, :2] += OFF_UM * torch.randn(len(truth), 2, generator=generator)
        where[:, 2] = z[total.argmax(1)]
        noticed = gain > gain_threshold(len(z) * experiment.frame_px[0] ** 2 / 20, 1e-3)
        kept = noticed & (torch.rand(len(truth), generator=generator) < PROPOSED)
        return listed(where[kept], truth.frame[kept])


def listed(xyz: Tensor, frame: Tensor) -> Localizations:
    """Places as a list of candidates."""
    ones = torch.ones(len(xyz))
    return Localizations(
        xyz=xyz,
        frame=frame,
        photons=ones,
        background=ones,
        probability=ones,
        sigma_xyz=torch.ones(len(xyz), 3),
        sigma_photons=ones,
        sigma_background=ones,
        fit_quality=ones,
        sigma_source="none",
    )


def monotone(values: np.ndarray) -> np.ndarray:
    """The least-squares table that falls with density (axis 0) and rises with light (axis 1), nearly.

    Alternating pooling along both axes; a few hundred molecules a cell leave an error of some hundredths.
    """
    table = values.copy()
    for _ in range(50):
        for row in table:
            row[:] = pooled(row)
        for column in table.T:
            column[:] = -pooled(-column)
    return np.minimum.accumulate(np.maximum.accumulate(table, 1), 0)


def pooled(values: np.ndarray) -> np.ndarray:
    """The nearest sequence that never falls: pool adjacent violators."""
    blocks: list[list[float]] = []
    for value in values:
        blocks.append([float(value)])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    return np.concatenate([np.full(len(block), np.mean(block)) for block in blocks])


def write(folder: Path) -> None:
    """Put the masks of the folder into the table of the package, each in its place there or at the end."""
    masks = json.loads((folder / "masks.json").read_text())
    entries = {each["name"]: each for each in json.loads(OUT.read_text(encoding="utf-8"))["masks"]}
    for name, channels in masks.items():
        path = folder / f"{name.replace(' ', '_')}.jsonl"
        entry = entry_of([json.loads(line) for line in path.open()] if path.exists() else [])
        if entry:
            entries[name] = {"name": name, "about": about(name), "channels": channels, **entry}
    scope = Microscope()
    area = resolution_area(scope)
    record = {
        "made_by": "benchmarks/known_masks.py",
        "commit": environment()["commit"],
        "conditions": settings(),
        "waves": [round(depth_waves(scope, depth), 4) for depth in DEPTHS_UM],
        "densities": [[round(density * area, 5) for density in row] for row in DENSITIES],
        "masks": list(entries.values()),
    }
    OUT.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{OUT.name}: {OUT.stat().st_size / 1000:.1f} KB, commit {record['commit']}")


def about(name: str) -> str:
    """What a mask is, in a few words."""
    return ABOUT[name] if name in ABOUT else FAMILIES[name][0]


def entry_of(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The tables of a mask, None at ranges of depth that are not complete; empty if none is."""
    shape = (len(DEPTHS_UM), len(DENSITIES[0]), len(LIGHTS))
    tables = {key: np.full(shape, np.nan) for key in ("gain", "jaccard", "lateral", "axial")}
    for row in rows:
        cell = tuple(row["cell"])
        tables["gain"][cell], tables["jaccard"][cell] = row["gain"], row["jaccard"]
        for key, rmse, bound in zip(("lateral", "axial"), row["rmse"], row["bound"], strict=True):
            tables[key][cell] = _MOST_RATIO if rmse is None else min(_MOST_RATIO, rmse / bound)
    whole = [bool(np.isfinite(each).all()) for each in tables["jaccard"]]
    print(f"{len(rows)} cells, ranges of depth that are complete: {whole}")
    if not any(whole):
        return {}
    rounded: dict[str, list[Any]] = {}
    for key, table in tables.items():
        depths = [
            monotone(each) if ok and key == "jaccard" else each for each, ok in zip(table, whole, strict=True)
        ]
        digits = 1 if key == "gain" else 3
        rounded[key] = [
            each.round(digits).tolist() if ok else None for each, ok in zip(depths, whole, strict=True)
        ]
    return rounded


def settings() -> dict[str, Any]:
    """The table's settings, for people."""
    return {
        "depth_um": list(DEPTHS_UM),
        "density_per_um2": [list(row) for row in DENSITIES],
        "photons_background": [list(light) for light in LIGHTS],
        "proposed": PROPOSED,
        "lateral_error_um": OFF_UM,
        "judged": JUDGED,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["design", "measure", "write"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", action="append", metavar="NAME", help="measure these masks; repeatable")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.step == "design":
        design(arguments.folder)
    elif arguments.step == "write":
        write(arguments.folder)
    else:
        torch.set_grad_enabled(False)
        measure(arguments.folder, arguments.only)


if __name__ == "__main__":
    main()
