"""The same numbers on the processor and on a GPU, part by part, within stated tolerances.

On a pretended device they differ by rounding at most. A real one adds up in another order, and rounds the
convolutions of a network's trunk to TF32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from gpu_scenes import NETWORKS, SIZE, experiment, molecules, photons, pipeline
from torch import Tensor

from deepstorm3d.emitters import Emitters
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.information import joint_bounds
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import LinearImage
from deepstorm3d.fitting.photometry import Photometry, fit_photometry
from deepstorm3d.fitting.refine import refine
from deepstorm3d.fitting.search import MatchedFilter
from deepstorm3d.fitting.state import JointState
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.fisher import crlb, joint_crlb
from deepstorm3d.optics.measured import sample_volume, spline_psf
from deepstorm3d.optics.psf import device_of, extent_px
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.optics.vectorial import VectorialPSFSpec

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda")]
Out = dict[str, Tensor]
REAL = torch.cuda.is_available()


def positions() -> Tensor:
    """Eight positions over the depth range and beyond a pixel's edges."""
    share = torch.rand(8, 3, generator=torch.Generator().manual_seed(7))
    low, high = experiment().z_um
    return torch.stack([2 + share[:, 0], 2 + share[:, 1], low + (high - low) * share[:, 2]], 1)


def exact(model: str, dtype: torch.dtype) -> Callable[[str], Out]:
    def run(device: str) -> Out:
        kind = VectorialPSFSpec if model == "vectorial" else ScalarPSFSpec
        spec = experiment().psf.to_kind(kind, aberrations={7: 0.3})
        # The mask is there first: all else follows it.
        psf = build_psf(spec, experiment().microscope, experiment_mask(experiment()).to(device))
        with torch.no_grad():
            patches, slopes = psf.derivatives(positions().to(device, dtype), in_blur=True)
        return {"values": patches.values, "slopes": slopes}

    return run


def table(device: str) -> Out:
    core = joint(device).core
    xyz = positions().to(device)
    blur = 1.0 + 0.04 * torch.arange(len(xyz), device=device)
    patches, slopes = core.derivatives(xyz, blur, in_blur=True)
    return {"values": patches.values, "slopes": slopes}


def planes(device: str) -> Out:
    setup = experiment()
    psf = build_psf(setup.psf, setup.microscope, setup.mask.build(setup.microscope).to(device))
    volume = sample_volume(psf, setup.z_um, 0.2)
    spline = spline_psf(volume, blur_range=(1.0, 1.2))
    drawn = spline(positions().to(device), torch.full((8,), 1.1, device=device))
    return {"planes": volume.values, "drawn": drawn.values}


def raw(network: str, *, half: bool) -> Callable[[str], Out]:
    def run(device: str) -> Out:
        localizer = pipeline(device, network=network, refine=False).localizer
        with torch.no_grad(), torch.autocast(device, dtype=torch.bfloat16, enabled=half):
            return {"raw": localizer(photons().to(device)).float()}

    return run


def decoded(network: str) -> Callable[[str], Out]:
    def run(device: str) -> Out:
        given = raw(network, half=False)("cpu")["raw"]
        localizer = pipeline(device, network=network, refine=False).localizer
        found = localizer.network.decode(given.to(device), localizer.threshold)
        return {"xyz": found.xyz, "probability": found.probability}

    return run


def joint(device: str) -> JointFit:
    fit = pipeline(device, blurred=True).fit
    assert isinstance(fit, JointFit)
    return fit


@cache
def start(device: str) -> tuple[JointFit, Likelihood, SplineBackground, JointState, Photometry]:
    """The fit a little beside the truth."""
    fit, frames, truth = joint(device), photons().to(device), molecules()
    beside = torch.randn(truth.xyz.shape, generator=torch.Generator().manual_seed(5))
    xyz, frame = (truth.xyz + 0.03 * beside).to(device), truth.frame.to(device)
    light = fit_photometry(fit.core, xyz, frame, frames, spacing_px=20.0)
    blur = torch.full_like(light.photons, 1.1)
    state = JointState(xyz, light.photons.clamp(min=1.0), frame, light.coefficients, blur_px=blur)
    return fit, Likelihood(frames), SplineBackground(SIZE, 20.0, frames), state, light


def photometry(device: str) -> Out:
    light = start(device)[4]
    return {"photons": light.photons, "model": light.model, "chi": light.chi_square}


def refined(device: str) -> Out:
    fit, likelihood, surface, state, _ = start(device)
    done = refine(fit.core, state, likelihood, surface, fit.bounds)
    return {"way": done.state.xyz - state.xyz, "photons": done.state.photons, "deviance": done.deviance}


def bounds(device: str) -> Out:
    fit, likelihood, surface, state, _ = start(device)
    image = LinearImage(fit.core, state, surface, (2, *SIZE))
    sigma, level = joint_bounds(image, likelihood.information(image.image))
    return {"sigma": sigma / sigma.amax(0), "level": level}


def searched(device: str) -> Out:
    fit, likelihood, _, _, _ = start(device)
    flat = torch.full_like(likelihood.frames, 22.0)
    search = MatchedFilter(fit.core, fit.z_um, SIZE, likelihood.frames)
    least = likelihood.frames.new_full((2,), 50.0)
    found = search.search(likelihood.score(flat), likelihood.information(flat), least, apart_px=6, most=8)
    return {"xyz": found.xyz, "gain": found.gain}


def bound_of_one(device: str) -> Out:
    core, xyz = joint(device).core, positions().to(device)
    light, level = torch.full_like(xyz[:, 0], 5000.0), torch.full_like(xyz[:, 0], 50.0)
    frame = torch.zeros(8, dtype=torch.int64, device=device)
    alone, crowd = crlb(core, xyz, light, level), joint_crlb(core, xyz, light, frame, level[:1], SIZE)
    return {"alone": alone / alone.amax(0), "crowd": crowd / crowd.amax(0)}


def learned(network: str) -> Callable[[str], Out]:
    def run(device: str) -> Out:
        torch.manual_seed(0)
        built = NETWORKS[network].build(0.11, experiment().z_um).to(device)
        truth = molecules()
        there = Emitters(*(column.to(device) for column in (truth.xyz, truth.frame, truth.photons, truth.id)))
        loss = built.loss(built((photons().to(device).sqrt() / 2 - 2)[:, None]), there)
        loss.backward()
        norms = torch.stack([each.grad.norm() for each in built.parameters() if each.grad is not None])
        return {"loss": loss.reshape(1), "gradients": norms}

    return run


@dataclass(frozen=True)
class Case:
    """run: on a device;  tolerance: of the largest difference, in parts of the largest value, on a real GPU;
    pretended: the same on a pretended one."""

    run: Callable[[str], Out]
    tolerance: float
    pretended: float = 1e-6


CASES = {
    "exact scalar, float64": Case(exact("scalar", torch.float64), 1e-9),
    "exact scalar": Case(exact("scalar", torch.float32), 5e-5),
    "exact vectorial": Case(exact("vectorial", torch.float32), 5e-5),
    "table, slopes, blur": Case(table, 2e-5),
    "planes and their spline": Case(planes, 2e-5),
    # Multiplied at 10 bits of mantissa on cards that have TF32.
    **{f"{network}, float32": Case(raw(network, half=False), 5e-3) for network in NETWORKS},
    **{f"{network}, bfloat16": Case(raw(network, half=True), 3e-2, pretended=3e-2) for network in NETWORKS},
    **{f"{network}, decoded": Case(decoded(network), 1e-4) for network in NETWORKS},
    # A GPU draws the images of a table as products of matrices, a processor as sums: rounding differs.
    "photometry": Case(photometry, 1e-4, pretended=5e-5),
    "search": Case(searched, 1e-3),
    # The way from the start, some 30 nm: a hundredth of it is a third of a nanometre.
    "refine": Case(refined, 1e-2, pretended=1e-5),
    "joint bounds": Case(bounds, 2e-3, pretended=2e-4),
    "bounds of one and of a crowd": Case(bound_of_one, 2e-3),
    **{f"{network}, loss and gradients": Case(learned(network), 2e-2) for network in NETWORKS},
}


@pytest.mark.parametrize("name", CASES)
def test_a_part_gives_the_same_on_both(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The compiled code is for CPUs only, and is held against PyTorch's on them (tests/fitting).
    monkeypatch.setattr("deepstorm3d.fitting.compiled.can_compile", lambda *_: False)
    case = CASES[name]
    ours, theirs = case.run("cuda"), case.run("cpu")
    for part, value in ours.items():
        assert value.is_cuda, part
        assert value.numel()
        mine, other = value.detach().cpu().double(), theirs[part].detach().double()
        assert bool(torch.isfinite(mine).all()), part
        assert mine.shape == other.shape, part
        off = float((mine - other).abs().max() / other.abs().max().clamp(min=1e-30))
        assert off <= (case.tolerance if REAL else case.pretended), f"{part}: {off:.1e}"


def test_a_psf_says_where_it_computes_and_measures_itself_there() -> None:
    setup = experiment()
    here = extent_px(build_psf(setup.psf, setup.microscope, experiment_mask(setup)), setup.z_um)
    mask = experiment_mask(setup).to("cuda")
    psf = build_psf(setup.psf, setup.microscope, mask)
    made = setup.psf.tabulate(setup.microscope, mask, setup.z_um, (1.0, 1.0))
    for each in (mask, psf, made):
        assert device_of(each).type == "cuda"
    assert extent_px(psf, setup.z_um) == extent_px(made, setup.z_um) == here
