"""How many emitters are refined in a second: ours, a plain Levenberg-Marquardt, another program's spline fit.

Density-study set-up (Fig. 2: 30,000 photons over 150, blur 1 px), frames of 121×121 pixels with a border of
20 pixels free of emitters. Starts: the truth disturbed by 30 nm (1 σ) in each axis, photons and background by
`fit_photometry`, the same for both ways and not timed. In one run, in turns, float32:

  a  plain: one frame at a time, a dense Jacobian of all pixels × all unknowns, dense normal equations, a dense
     solve. Table, spline background, likelihood, damping, limits of a step and stopping rule are those of b;
  b  ours: `refine`, all frames of a group (of at most 120 emitters, as `JointFit` takes them) together.

The frames are drawn from the table that both fit with, so the deviance of a frame (14,641 pixels) should come
near pixels less unknowns, and errors are those of noise and solver alone. RMSE is over all emitters, none left
out; "apart" is the rms distance in 3D from the answers of the first way.

Then single emitters, within half a pixel of the middle of a square ROI, at any depth, in the same noise:

  c  ours, c1 from given photons and background as e, c2 with the time to find them as d;
  d  smappy (PyPI `smappy-smlm`, compiled, float32), from its own photons and background. It takes one depth to
     start from in each call: hence the emitters come in groups of 100 nm of depth;
  e  picasso (PyPI `picassosr`, numba, float64), tolerance 1e-4 and at most 100 iterations.

All start in the middle of the ROI and of the depth group. d and e run where they can be imported, each with a
cubic spline made by its own code from our exact PSF at every pixel and every 50 nm, Poisson maximum likelihood,
its own stopping rule, and as many threads as --threads says.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.field import Field
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import expected_image
from deepstorm3d.fitting.photometry import fit_photometry
from deepstorm3d.fitting.refine import Bounds, refine
from deepstorm3d.fitting.state import JointState
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.psf import PSF
from deepstorm3d.optics.tabulated import TabulatedPSF
from deepstorm3d.simulation.priors import FixedCount
from harness import arguments_of, interval, report, take_turns

SIDE, PATCH, SPACING_PX, START_UM, AT_ONCE, SEED = 121, 61, 30.0, 0.03, 120, 3_006_000
PHOTONS, BACKGROUND = 30_000.0, 150.0
EXPERIMENT = preset("density-study")
PIXEL_UM, Z_UM, BOUNDS = EXPERIMENT.microscope.pixel_um, EXPERIMENT.z_um, Bounds((1.8, 6.2))
# Emitters a frame, and frames of them.
FRAMES = {10: 50, 35: 14, 75: 6}
PEER_STEP_UM, GROUP_UM = 0.05, 0.1


@dataclass(frozen=True)
class Work:
    """Frames, what is in them, where the fits start, and the background that they assume."""

    truth: JointState
    start: JointState
    likelihood: Likelihood
    surface: SplineBackground


@dataclass(frozen=True)
class Answer:
    """Where a way put the emitters, (N, 3) µm, and the deviance of each frame (None: not told)."""

    xyz: Tensor
    deviance: Tensor | None


def table(patch_px: int, device: str) -> TabulatedPSF:
    """The experiment's PSF, tabulated over the depths that a fit may reach."""
    spec = EXPERIMENT.psf.with_(patch_px=patch_px)
    mask = experiment_mask(EXPERIMENT)
    return spec.tabulate(EXPERIMENT.microscope, mask, BOUNDS.z_um, (1.0, 1.0)).to(device)


def exposed(psf: PSF, truth: JointState, start_xyz: Tensor, surface: SplineBackground) -> Work:
    """Frames with shot noise, and photons and background to start with."""
    shape = (truth.frames, *surface.size)
    generator = torch.Generator(truth.xyz.device).manual_seed(SEED)
    photons = torch.poisson(expected_image(psf, truth, surface, shape), generator=generator)
    return Work(truth, started(psf, photons, start_xyz, truth.frame, surface), Likelihood(photons), surface)


def started(psf: PSF, photons: Tensor, xyz: Tensor, frame: Tensor, surface: SplineBackground) -> JointState:
    """Photons and background at given positions."""
    spacing = SPACING_PX if surface.shape != (1, 1) else float("inf")
    light = fit_photometry(psf, xyz, frame, photons, spacing_px=spacing)
    return JointState(xyz, light.photons.clamp(min=BOUNDS.photons), frame, light.coefficients)


def crowded(psf: PSF, per_frame: int, frames: int, device: str) -> Work:
    """Frames with `per_frame` emitters each, and starts 30 nm off."""
    generator = torch.Generator(device).manual_seed(SEED + per_frame)
    prior = EXPERIMENT.scene().emitters.with_(count=FixedCount(count=per_frame))
    emitters = prior.draw(frames, Field(SIDE, SIDE, PIXEL_UM), generator)
    surface = SplineBackground((SIDE, SIDE), SPACING_PX, emitters.xyz)
    # The splines sum to 1: equal coefficients are an even background.
    level = emitters.xyz.new_full((frames, *surface.shape), BACKGROUND)
    truth = JointState(emitters.xyz, emitters.photons, emitters.frame, level)
    off = START_UM * torch.randn(truth.xyz.shape, generator=generator, device=device)
    return exposed(psf, truth, truth.xyz + off, surface)


def single(psf: PSF, number: int, roi: int, device: str) -> Work:
    """One emitter in each ROI, in order of depth, and starts in the middle of ROI and depth group."""
    generator = torch.Generator(device).manual_seed(SEED)
    place = torch.rand(number, 3, generator=generator, device=device)
    z = (Z_UM[0] + (Z_UM[1] - Z_UM[0]) * place[:, 2]).sort().values
    xyz = torch.cat([(roi // 2 + place[:, :2] - 0.5) * PIXEL_UM, z[:, None]], 1)
    surface = SplineBackground((roi, roi), float("inf"), xyz)
    rows = torch.arange(number, device=device)
    level = xyz.new_full((number, 1, 1), BACKGROUND)
    truth = JointState(xyz, xyz.new_full((number,), PHOTONS), rows, level)
    middle = torch.full_like(xyz[:, :2], roi // 2 * PIXEL_UM)
    group = ((z - Z_UM[0]) / GROUP_UM).floor() * GROUP_UM + Z_UM[0] + GROUP_UM / 2
    return exposed(psf, truth, torch.cat([middle, group[:, None]], 1), surface)


def ours(psf: PSF, work: Work, *, photometry: bool = False) -> Answer:
    """Ways b and c: groups of frames together.  photometry: find the photons to start with, too."""
    counts = work.start.counts
    group = (counts.cumsum(0) - 1) // AT_ONCE
    parts = []
    for frames in (group == k for k in group.unique()):
        rows = frames.nonzero()[:, 0]
        start, light = work.start.select(rows), work.likelihood.select(rows)
        if photometry:
            start = started(psf, light.frames, start.xyz, start.frame, work.surface)
        parts.append(refine(psf, start, light, work.surface, BOUNDS))
    return Answer(torch.cat([p.state.xyz for p in parts]), torch.cat([p.deviance for p in parts]))


def plain(psf: PSF, work: Work) -> Answer:
    """Way a."""
    number = work.surface.shape[0] * work.surface.shape[1]
    unit = torch.eye(number, device=work.start.xyz.device).view(number, *work.surface.shape)
    basis = work.surface.surface(unit)
    fits = []
    for k in torch.arange(len(work.likelihood), device=basis.device):
        fits.append(plain_frame(psf, work.start.select(k[None]), work.likelihood.select(k[None]), basis))
    return Answer(torch.cat([xyz for xyz, _ in fits]), torch.cat([deviance for _, deviance in fits]))


def plain_frame(psf: PSF, start: JointState, light: Likelihood, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Levenberg-Marquardt on one frame; returns positions (n, 3) and the deviance (1,)."""
    rows = torch.cat([start.xyz, start.photons[:, None]], 1)
    unknowns = torch.cat([rows.flatten(), start.coefficients.flatten()])
    molecules, damping, stepped = len(start), 1e-3, True
    image, _ = dense_image(psf, unknowns, molecules, basis, slopes=False)
    deviance = light.deviance(image[None])
    scale = gradient = equations = unknowns
    for _ in range(30):
        if stepped:
            image, jacobian = dense_image(psf, unknowns, molecules, basis)
            fisher = (jacobian * light.information(image[None]).flatten()) @ jacobian.mT
            gradient = jacobian @ light.score(image[None]).flatten()
            scale = fisher.diagonal().clamp(min=1e-12).rsqrt()
            equations = fisher * scale[:, None] * scale
        damped = equations.clone()
        damped.diagonal().add_(damping)
        step = scale * torch.linalg.solve(damped, scale * gradient)
        trial = moved(unknowns, step, molecules)
        tried = light.deviance(dense_image(psf, trial, molecules, basis, slopes=False)[0][None])
        gain = float(deviance - tried)
        stepped = gain > 0
        if stepped:
            unknowns, deviance = trial, tried
        damping = min(max(damping / 6 if stepped else damping * 10, 1e-5), 1e6)
        if gain < 0.05 if stepped else (float(step @ gradient) < 0.05 or damping > 1e3):
            break
    return unknowns[: 4 * molecules].view(-1, 4)[:, :3], deviance


def dense_image(
    psf: PSF, unknowns: Tensor, molecules: int, basis: Tensor, *, slopes: bool = True
) -> tuple[Tensor, Tensor]:
    """Expected image (H, W), and its derivative in every unknown (unknowns, H·W), or zeros without slopes."""
    table_rows = unknowns[: 4 * molecules].view(-1, 4)
    xyz, photons = table_rows[:, :3].contiguous(), table_rows[:, 3]
    image = torch.tensordot(unknowns[4 * molecules :], basis, 1)
    if slopes:
        patches, changes = psf.derivatives(xyz)
        changes = torch.cat([changes * photons[:, None, None, None], patches.values[:, None]], 1)
        jacobian = torch.zeros(len(unknowns), *image.shape, device=image.device)
        jacobian[4 * molecules :] = basis
    else:
        patches, changes, jacobian = psf(xyz), None, image.new_zeros(0)
    (height, width), side = image.shape, patches.values.shape[1]
    for n, (x, y) in enumerate(patches.corner.tolist()):
        top, left, bottom, right = max(y, 0), max(x, 0), min(y + side, height), min(x + side, width)
        cut = (slice(top - y, bottom - y), slice(left - x, right - x))
        image[top:bottom, left:right] += photons[n] * patches.values[n][cut]
        if changes is not None:
            jacobian[4 * n : 4 * n + 4, top:bottom, left:right] = changes[n][:, cut[0], cut[1]]
    return image, jacobian.flatten(1) if slopes else jacobian


def moved(unknowns: Tensor, step: Tensor, molecules: int) -> Tensor:
    """The unknowns after a step with the limits of `refine`."""
    before, change = unknowns[: 4 * molecules].view(-1, 4), step[: 4 * molecules].view(-1, 4)
    longest = unknowns.new_tensor([0.12, 0.12, 0.2])
    xyz = before[:, :3] + change[:, :3].clamp(-longest, longest)
    z = xyz[:, 2:].clamp(*BOUNDS.z_um)
    photons = torch.maximum(before[:, 3] + change[:, 3], before[:, 3] / 3).clamp(min=BOUNDS.photons)
    rows = torch.cat([xyz[:, :2], z, photons[:, None]], 1)
    return torch.cat([rows.flatten(), unknowns[4 * molecules :] + step[4 * molecules :]])


def version_of(package: str, module: str) -> str | None:
    """Version of another program, None where it is not installed."""
    if importlib.util.find_spec(module) is None:
        return None
    return importlib.metadata.version(package)


def planes(roi: int) -> Tensor:
    """Our exact PSF at every pixel and every 50 nm of depth, (Z, roi + 4, roi + 4) float64."""
    z = torch.arange(BOUNDS.z_um[0], BOUNDS.z_um[1] + PEER_STEP_UM / 2, PEER_STEP_UM)
    spec, mask = EXPERIMENT.psf.with_(patch_px=roi + 4), experiment_mask(EXPERIMENT)
    psf = build_psf(spec, EXPERIMENT.microscope, mask)
    return psf(torch.nn.functional.pad(z[:, None], (2, 0))).values.double()


def in_um(place: Tensor) -> Answer:
    """From pixels and planes of `planes`."""
    low = place.new_tensor([0.0, 0.0, BOUNDS.z_um[0]])
    return Answer((place * place.new_tensor([PIXEL_UM, PIXEL_UM, PEER_STEP_UM]) + low).float(), None)


def smappy_fit(work: Work, roi: int, threads: int) -> Callable[[], Answer]:
    """Way d, ready to run: the splines made and the ROIs sorted into groups of depth."""
    model_of = importlib.import_module("smappy.psf").SplinePSF
    calibration_of = importlib.import_module("smappy.io.calibration").SplineCalibration
    coefficients = importlib.import_module("smappy.calibrate.core").spline_coefficients
    # Its depth runs against the index of the plane, and is 0 at plane z0.
    calibration = calibration_of(coefficients(planes(roi).numpy()), dz=1000 * PEER_STEP_UM, z0=0.0)
    frames, depths = work.likelihood.frames, work.start.xyz[:, 2]
    groups = [(float(depth), frames[depths == depth].numpy()) for depth in depths.unique()]
    models = [model_of(calibration, z_start_nm=1000 * (BOUNDS.z_um[0] - depth)) for depth, _ in groups]

    def fit() -> Answer:
        found = [m.fit(rois, n_threads=threads).theta for m, (_, rois) in zip(models, groups, strict=True)]
        return in_um(torch.from_numpy(np.concatenate(found)[:, [0, 1, 4]]).double())

    return fit


def picasso_fit(work: Work, roi: int, threads: int) -> Callable[[], Answer]:
    """Way e, ready to run: as many threads as ours, each with its share of the ROIs."""
    splinefit = importlib.import_module("picasso.fitting.splinefit")
    coefficients = importlib.import_module("picasso.spline").spline_coefficients(
        planes(roi).permute(2, 1, 0).numpy()
    )
    nx, ny, nz = coefficients.shape[1:]
    spline = np.ascontiguousarray(coefficients, dtype=np.float64).reshape(1, nz, ny, nx, 4, 4, 4)
    middle, start = (roi + 4) // 2, work.start
    # It evaluates the spline at pixel − shift, and at plane −shift.
    shift = start.xyz.double() / PIXEL_UM - middle
    shift[:, 2] = -(start.xyz[:, 2].double() - BOUNDS.z_um[0]) / PEER_STEP_UM
    begin = torch.cat([start.photons[:, None], shift, start.coefficients.flatten(1)], 1).double().numpy()
    spots = work.likelihood.frames[:, None].double().numpy()
    share = np.array_split(np.arange(len(spots)), threads)
    unit, zero = np.tile([1.0, 0.0, 0.0, 1.0], (len(spots), 1, 1)), np.zeros((len(spots), 1, 2))

    def part(k: NDArray[np.int64]) -> NDArray[np.float64]:
        maps = spline, unit[k], zero[k], begin[k], np.zeros(1), False
        return splinefit.fit_spots(
            splinefit.KIND_3D, spots[k], *maps, mle=True, tolerance=1e-4, max_iterations=100
        )[0]

    def fit() -> Answer:
        with ThreadPoolExecutor(threads) as pool:
            found = torch.from_numpy(np.concatenate(list(pool.map(part, share))))
        return in_um(torch.stack([found[:, 1] + middle, found[:, 2] + middle, -found[:, 3]], 1))

    return fit


def compared(
    label: dict[str, Any], work: Work, fits: dict[str, Callable[[], Answer]], arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """Rows of the table: speed in turns, ratio to the first way, errors, distance from its answer."""
    number, rounds = len(work.truth), 1 if arguments.quick else arguments.rounds
    ways = {name: counted(fit, number) for name, fit in fits.items()}
    rates = take_turns(ways, rounds, arguments.device)
    answers = {name: fit() for name, fit in fits.items()}
    first = next(iter(rates))
    rows = []
    for name, values in rates.items():
        answer = answers[name]
        off = 1000 * (answer.xyz.cpu() - work.truth.xyz.cpu())
        apart = 1000 * (answer.xyz - answers[first].xyz).cpu()
        x, y, z = off.square().mean(0).sqrt().tolist()
        rows.append(
            {
                **label,
                "way": name,
                "emitters/s": interval(values),
                "times the first": interval([v / f for v, f in zip(values, rates[first], strict=True)]),
                "RMSE x nm": x,
                "y": y,
                "z": z,
                "apart nm": float(apart.square().sum(1).mean().sqrt()),
                "deviance a frame": None if answer.deviance is None else f"{float(answer.deviance.mean()):.2f}",
            }
        )
    return rows


def counted(do: Callable[[], object], number: int) -> Callable[[], int]:
    """A way's work for `take_turns`."""

    def run() -> int:
        do()
        return number

    return run


def against_plain(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Ways a and b at each density."""
    psf, rows = table(PATCH, arguments.device), []
    for per_frame, frames in FRAMES.items():
        work = crowded(psf, per_frame, 1 if arguments.quick else frames, arguments.device)
        number = len(work.truth)
        fits: dict[str, Callable[[], Answer]] = {
            "a plain, frame by frame": partial(plain, psf, work),
            "b ours": partial(ours, psf, work),
        }
        rows += compared({"emitters a frame": per_frame, "emitters": number}, work, fits, arguments)
    return rows


def against_peers(arguments: argparse.Namespace, versions: dict[str, str | None]) -> list[dict[str, Any]]:
    """Way c, and d and e where they are installed."""
    roi, number = arguments.roi, 100 if arguments.quick else arguments.singles
    # An emitter half a pixel off, and moved by the fit, still lights the whole ROI.
    psf = table(roi + 2, arguments.device)
    work = single(table(PATCH, arguments.device), number, roi, arguments.device)
    fits: dict[str, Callable[[], Answer]] = {
        "c1 ours": partial(ours, psf, work),
        "c2 ours, its own photons": partial(ours, psf, work, photometry=True),
    }
    for letter, (package, version) in zip("de", versions.items(), strict=True):
        if version is not None and arguments.device == "cpu":
            fits[f"{letter} {package} {version}"] = PEERS[package][1](work, roi, arguments.threads)
    return compared({"ROI px": roi, "emitters": number}, work, fits, arguments)


# Package on PyPI: its module, and the way to run it.
PEERS = {"smappy-smlm": ("smappy", smappy_fit), "picassosr": ("picasso", picasso_fit)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--roi", type=int, default=31, help="side of the ROI of single emitters, odd, px")
    parser.add_argument("--singles", type=int, default=4000, help="single emitters")
    arguments = arguments_of(parser)
    versions = {package: version_of(package, module) for package, (module, _) in PEERS.items()}
    with torch.no_grad():
        crowds = against_plain(arguments)
        singles = against_peers(arguments, versions)
    for package in (name for name, version in versions.items() if version is None):
        print(f"{package} is not installed (pip install {package}): left out")
    report("Refinement: emitters per second in 121×121 frames", crowds, arguments)
    report("Refinement of single emitters", singles, arguments, peers=versions)


if __name__ == "__main__":
    main()
