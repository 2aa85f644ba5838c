"""Cameras: the statistics of their noise, its gradients, and the way back to photons."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from deepstorm3d.camera import (
    CAMERAS,
    Camera,
    EmccdCamera,
    IdealCamera,
    MinimumSubtractedCamera,
    ScmosCamera,
    poisson,
)
from deepstorm3d.camera.counting import CountingDraw
from deepstorm3d.chip import middle_of
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.localizer.localizer import stabilise

QUIET_EMCCD = EmccdCamera(em_gain=300, gain=0.1, baseline=500, read_noise=0, spurious_charge=0)


STORED = {
    "ideal": {"kind": "ideal", "saturation": 65535.0},
    "scmos": {
        "kind": "scmos",
        "baseline": 100.0,
        "gain": "gain.npy",
        "read_noise": 1.6,
        "saturation": 4095.0,
        "region": [0, 0, 40, 48],
    },
    "emccd": {
        "kind": "emccd",
        "em_gain": 300.0,
        "gain": 0.1,
        "baseline": 200.0,
        "read_noise": 50.0,
        "spurious_charge": 0.002,
        "saturation": 65535.0,
    },
    "minimum_subtracted": {
        "kind": "minimum_subtracted",
        "baseline": [20.0, 40.0],
        "noise": [8.0, 12.0],
        "saturation": 65535.0,
    },
}
"""Cameras as experiment files and models of version 0.1 hold them, keys in this order."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flat(photons: float, frames: int = 8, side: int = 200) -> Tensor:
    return torch.full((frames, side, side), float(photons))


@pytest.mark.parametrize("mean", [0.0, 0.7, 12.0, 800.0])
def test_an_ideal_camera_counts_with_the_mean_and_variance_of_poisson(mean: float) -> None:
    counts = IdealCamera().expose(flat(mean), seeded())
    error = 5 * (mean / counts.numel()) ** 0.5
    assert abs(counts.mean().item() - mean) <= error
    assert counts.var().item() == pytest.approx(mean, rel=0.02, abs=1e-9)
    assert torch.equal(counts, counts.round())


def test_an_scmos_camera_adds_baseline_gain_and_read_noise() -> None:
    counts = ScmosCamera(baseline=100, gain=2.0, read_noise=3.0).expose(flat(50), seeded())
    assert counts.mean().item() == pytest.approx(100 + 2 * 50, rel=1e-3)
    assert counts.var().item() == pytest.approx(4 * (50 + 9) + 1 / 12, rel=0.02)
    assert torch.equal(counts, counts.round())


@pytest.mark.parametrize("mean", [3.0, 40.0])
def test_the_excess_noise_factor_of_an_emccd_is_2(mean: float) -> None:
    photons = QUIET_EMCCD.to_photons(QUIET_EMCCD.expose(flat(mean), seeded()))
    assert photons.var().item() / mean == pytest.approx(2, rel=0.03)


def test_an_emccd_without_multiplication_has_no_excess_noise() -> None:
    camera = QUIET_EMCCD.with_(em_gain=1, gain=10)
    photons = camera.to_photons(camera.expose(flat(40), seeded()))
    assert photons.var().item() / 40 == pytest.approx(1, rel=0.03)


def test_an_emccd_multiplies_spurious_charge_in_the_dark_and_takes_it_off_again() -> None:
    camera = QUIET_EMCCD.with_(spurious_charge=0.05)
    counts = camera.expose(flat(0), seeded())
    assert (counts > camera.baseline).float().mean().item() == pytest.approx(0.05, rel=0.1)
    assert camera.to_photons(counts).mean().item() == pytest.approx(0, abs=0.003)


@pytest.mark.parametrize(
    "camera", [IdealCamera(), ScmosCamera(baseline=90, gain=0.45, read_noise=1.6), EmccdCamera(em_gain=50)]
)
def test_to_photons_inverts_the_mean_of_expose(camera: Camera) -> None:
    expected = torch.linspace(10, 300, 100)[:, None].expand(400, 100, 40)
    photons = camera.to_photons(camera.expose(expected, seeded()))
    torch.testing.assert_close(photons.mean((0, 2)), expected[0, :, 0], rtol=0.02, atol=0.2)


def test_whole_counts_of_a_file_become_photons(tmp_path: Path) -> None:
    counts = torch.tensor([[[101, 103]]], dtype=torch.uint16)
    half = map_file(tmp_path, "g", np.array([[2.0, 0.5]]))
    assert ScmosCamera(baseline=100.5, gain=half).to_photons(counts).flatten().tolist() == [0.25, 5.0]
    assert (
        EmccdCamera(em_gain=10, gain=0.1, baseline=100.5, spurious_charge=0).to_photons(counts)[0, 0, 0] == 0.5
    )
    for camera in (IdealCamera(), MinimumSubtractedCamera()):
        assert camera.to_photons(counts).dtype == torch.float32


def test_a_minimum_subtracted_frame_has_one_baseline_and_noise_between_8_and_12() -> None:
    camera = MinimumSubtractedCamera()
    values = camera.expose(torch.zeros(400, 60, 60), seeded())
    assert values.min() >= 0
    # Away from the clipping at 0: a baseline of 400 shows the noise alone.
    bright = MinimumSubtractedCamera(baseline=(400, 420)).expose(torch.zeros(400, 60, 60), seeded())
    level = bright.mean((1, 2))
    assert 399.5 < level.min() < 402 and 418 < level.max() < 420.5
    noise = bright.std((1, 2))
    assert noise.min() > 8 and noise.max() < 12
    # The bump lies within 10 px of the middle: there the noise is near its peak, in the corners at its floor.
    around = bright - level[:, None, None]
    assert around[:, 28:32, 28:32].std().item() == pytest.approx(11.8, abs=0.4)
    assert around[:, :4, :4].std().item() == pytest.approx(8.1, abs=0.25)


def test_a_minimum_subtracted_camera_has_poisson_noise_on_the_signal_alone() -> None:
    camera = MinimumSubtractedCamera(baseline=(30, 30), noise=(0, 0))
    values = camera.expose(flat(100), seeded())
    assert values.mean().item() == pytest.approx(130, rel=1e-3)
    assert values.var().item() == pytest.approx(100, rel=0.02)


@pytest.mark.parametrize(
    "camera",
    [
        IdealCamera(saturation=1000),
        ScmosCamera(saturation=1000),
        EmccdCamera(saturation=1000),
        MinimumSubtractedCamera(saturation=1000),
    ],
)
def test_no_count_exceeds_saturation(camera: Camera) -> None:
    assert camera.expose(flat(50_000, 1, 10), seeded()).eq(1000).all()


@pytest.mark.parametrize(
    "camera", [IdealCamera(), ScmosCamera(), EmccdCamera(), MinimumSubtractedCamera()], ids=lambda c: c.kind
)
def test_a_seed_gives_the_same_counts_again_and_another_seed_others(camera: Camera) -> None:
    first, again, other = (camera.expose(flat(30, 2, 20), seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("mean", [5.0, 20.0, 300.0])
def test_the_gradient_of_a_quadratic_loss_through_poisson_is_its_finite_difference(mean: float) -> None:
    # d/dμ E f(n) = E[f(n+1) − f(n)] holds exactly for Poisson counts; f = n² + 3n.
    expected = torch.full((1_000_000,), mean, requires_grad=True)
    counts = poisson(expected, seeded())
    (counts**2 + 3 * counts).sum().backward()
    assert expected.grad is not None
    with torch.no_grad():
        difference = ((counts + 1) ** 2 + 3 * (counts + 1) - counts**2 - 3 * counts).mean()
    assert expected.grad.mean().item() == pytest.approx(difference.item(), rel=0.01)


@pytest.mark.parametrize("mean", [6.0, 50.0])
def test_the_gradient_through_an_emccd_is_that_of_its_mean_and_variance(mean: float) -> None:
    # In photons the counts have mean μ and variance 2μ, so E n² = μ² + 2μ with derivative 2μ + 2.
    expected = torch.full((1, 1000, 1000), mean, requires_grad=True)
    photons = QUIET_EMCCD.to_photons(QUIET_EMCCD.expose(expected, seeded()))
    (photons**2).sum().backward()
    assert expected.grad is not None
    assert expected.grad.mean().item() == pytest.approx(2 * mean + 2, rel=0.01)


def test_the_gradient_of_an_scmos_count_is_the_gain_on_average() -> None:
    expected = torch.full((1, 500, 500), 40.0, requires_grad=True)
    ScmosCamera(gain=2.5).expose(expected, seeded()).sum().backward()
    assert expected.grad is not None
    assert expected.grad.mean().item() == pytest.approx(2.5, rel=0.005)


@pytest.mark.parametrize("mean", [5.0, 10.0, 50.0])
def test_the_gradient_of_what_a_network_sees_is_within_a_percent(mean: float) -> None:
    # d/dμ E f(n) = E[f(n+1) − f(n)] exactly for Poisson n; f is the root that stabilises a network's input.
    counts = torch.arange(0, int(mean + 12 * mean**0.5 + 30), dtype=torch.float64)
    share = (counts * math.log(mean) - mean - torch.lgamma(counts + 1)).exp()
    exact = (share * (stabilise(counts + 1) - stabilise(counts))).sum()
    expected = torch.full_like(counts, mean).requires_grad_()
    drawn = CountingDraw.apply(expected, counts)
    (gradient,) = torch.autograd.grad((share * stabilise(drawn)).sum(), expected)
    assert float(gradient.sum()) == pytest.approx(float(exact), rel=0.01)


def test_the_gradient_stays_bounded_where_there_is_no_light() -> None:
    expected = torch.tensor([0.0, 1e-8, 1e-3, -1e-6]).repeat(5000).requires_grad_()
    counts = poisson(expected, seeded())
    counts.sum().backward()
    assert expected.grad is not None
    assert expected.grad.isfinite().all()
    assert expected.grad.max() <= 1 + counts.max() / 10 and expected.grad.min() > 0.99


def map_file(folder: Path, name: str, values: np.ndarray) -> str:
    np.save(folder / f"{name}.npy", values)
    return str(folder / f"{name}.npy")


def test_scmos_maps_apply_pixel_by_pixel(tmp_path: Path) -> None:
    baseline = np.array([[100.0, 200.0], [300.0, 400.0]])
    noise = np.array([[0.0, 5.0], [10.0, 20.0]], dtype=np.float32)
    camera = ScmosCamera(
        baseline=map_file(tmp_path, "b", baseline), gain=2.0, read_noise=map_file(tmp_path, "r", noise)
    )
    counts = camera.expose(torch.full((40_000, 2, 2), 30.0), seeded())
    torch.testing.assert_close(counts.mean(0), torch.from_numpy(baseline).float() + 60, rtol=0.01, atol=0)
    variance = 4 * (30 + torch.from_numpy(noise) ** 2)
    torch.testing.assert_close(counts.var(0), variance, rtol=0.04, atol=0)
    assert camera.to_photons(counts).mean().item() == pytest.approx(30, rel=0.01)
    assert torch.equal(camera.to_photons(counts, camera.load_maps()), camera.to_photons(counts))


def test_a_map_of_another_size_than_the_frames_is_refused(tmp_path: Path) -> None:
    camera = ScmosCamera(baseline=map_file(tmp_path, "b", np.zeros((4, 5))))
    with pytest.raises(InputError, match=r"5 x 4 px \(width x height\), the frames are 6 x 6"):
        camera.to_photons(torch.zeros(1, 6, 6))


def test_maps_are_cut_to_the_middle_of_the_chip(tmp_path: Path) -> None:
    values = np.arange(30.0).reshape(5, 6)
    camera = ScmosCamera(baseline=map_file(tmp_path, "b", values))
    cropped = middle_of(camera.load_maps(), 3, 2)
    assert cropped["baseline"].tolist() == values[1:4, 2:4].tolist()
    with pytest.raises(InputError, match="smaller field"):
        middle_of(camera.load_maps(), 7, 2)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("gain", np.array([[1.0, 0.0]])),
        ("read_noise", np.array([[1.0, -1.0]])),
        ("baseline", np.array([[1.0, np.nan]])),
        ("baseline", np.zeros(4)),
        ("baseline", np.zeros((0, 3))),
        ("baseline", np.array([["a"]])),
    ],
)
def test_a_map_that_makes_no_sense_is_refused(tmp_path: Path, name: str, values: np.ndarray) -> None:
    camera = ScmosCamera.model_validate({name: map_file(tmp_path, name, values)})
    with pytest.raises(InputError, match=name):
        camera.load_maps()


def test_a_missing_broken_or_mismatched_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent"):
        ScmosCamera(gain=str(tmp_path / "absent.npy")).load_maps()
    (tmp_path / "broken.npy").write_bytes(b"no array at all")
    with pytest.raises(InputError, match="broken"):
        ScmosCamera(gain=str(tmp_path / "broken.npy")).load_maps()
    small, large = map_file(tmp_path, "s", np.ones((2, 2))), map_file(tmp_path, "l", np.ones((3, 3)))
    with pytest.raises(InputError, match="differ in size"):
        ScmosCamera(gain=small, baseline=large).load_maps()


def test_the_kind_chooses_the_camera_and_wrong_values_are_refused() -> None:
    cameras: TypeAdapter[Camera] = TypeAdapter(Camera)
    assert isinstance(cameras.validate_python({"kind": "emccd", "em_gain": 100}), EmccdCamera)
    for wrong in (
        {"kind": "film"},
        {"kind": "scmos", "gain": 0},
        {"kind": "scmos", "read_noise": -1},
        {"kind": "emccd", "em_gain": 0.5},
        {"kind": "ideal", "gain": 2},
        {"kind": "minimum_subtracted", "noise": [12, 8]},
    ):
        with pytest.raises(ValidationError):
            cameras.validate_python(wrong)


@pytest.mark.parametrize("kind", STORED)
def test_a_camera_of_an_earlier_file_is_read_and_written_as_it_stands(kind: str) -> None:
    stored = STORED[kind]
    camera = Experiment.model_validate({"camera": stored}).camera
    assert list(camera.to_mapping().items()) == list(stored.items())


def test_every_kind_of_camera_has_a_stored_file() -> None:
    own = [kind for kind in CAMERAS if kind.__module__.startswith("deepstorm3d.")]
    assert {kind.model_fields["kind"].default for kind in own} == set(STORED)
