"""What every network must do, whatever its output: losses that prefer the truth, decoders that return it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.localizer.coarse import CoarseNetwork, CoarseSpec, gaussian_heat
from deepstorm3d.localizer.kinds import AnyNetwork
from deepstorm3d.localizer.localizer import NetworkLocalizer, stabilise
from deepstorm3d.localizer.mixture import MixtureNetwork, MixtureSpec, count_nll
from deepstorm3d.localizer.voxel import VoxelNetwork, VoxelSpec, smooth
from factories import emitters

PIXEL, DEPTH = 0.1, (0.0, 2.0)
Network = CoarseNetwork | MixtureNetwork | VoxelNetwork

SPECS = {
    "coarse": CoarseSpec(channels=8, skip=4, dilations=(1, 2), plane_um=0.2),
    "mixture": MixtureSpec(channels=8, skip=4, dilations=(1, 2), head=8, photons_scale=2000.0),
    "voxel": VoxelSpec(planes=20, upsampling=2, channels=8, dilations=(1, 2)),
}
# A threshold that an untrained network's output exceeds here and there.
LOW = {"coarse": 0.01, "mixture": 0.01, "voxel": 1e-4}
# How far from the truth a perfect output's detections may lie, µm (half a voxel for the voxel network).
TOLERANCE = {"coarse": 1e-3, "mixture": 1e-4, "voxel": 0.0501}


@pytest.fixture(params=list(SPECS))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def make(kind: str, seed: int = 0) -> Network:
    """A tiny network whose every layer matters (new residual pairs would start as the identity)."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = SPECS[kind].build(PIXEL, DEPTH)
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
    return network


TRUTH = emitters([(0.52, 0.81, 0.63), (1.37, 0.44, 1.21), (0.98, 1.12, 1.58)], [0, 0, 2], 3000.0)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def perfect(network: Network, truth: Emitters, frames: int, height: int, width: int) -> Tensor:
    """The raw output that a network with full knowledge would give."""
    if isinstance(network, CoarseNetwork):
        shape = torch.Size((frames, network.grid.planes, height, width))
        return torch.logit(gaussian_heat(network.grid, truth, shape, network.spread).clamp(1e-6, 1 - 1e-6))
    if isinstance(network, VoxelNetwork):
        grid = network.grid
        volume = torch.zeros(frames, grid.planes, height * grid.upsampling, width * grid.upsampling)
        column, row, plane = grid.to_voxels(truth.xyz).round().long().unbind(1)
        volume[truth.frame, plane, row, column] = network.scale
        return volume
    raw = torch.zeros(frames, 9, height, width)
    raw[:, 0] = -15.0
    pixel = (truth.xyz[:, :2] / PIXEL).round()
    shift = (truth.xyz[:, :2] / PIXEL - pixel) / 1.5
    depth = (truth.xyz[:, 2] - 1.0) / 1.2
    photons = (truth.photons / 2000.0).expm1().log()
    values = torch.stack(
        [torch.full_like(depth, 15.0), *shift.atanh().unbind(1), depth.atanh(), photons, *[depth * 0 - 3] * 4],
        1,
    )
    raw[truth.frame, :, pixel[:, 1].long(), pixel[:, 0].long()] = values
    return raw


def assert_same_places(found: Localizations, truth: Emitters, tolerance: float) -> None:
    assert sorted(found.frame.tolist()) == sorted(truth.frame.tolist())
    apart = (found.xyz[:, None] - truth.xyz).abs().amax(2)
    apart = apart.masked_fill(found.frame[:, None] != truth.frame, math.inf)
    assert apart.min(0).values.max() <= tolerance
    assert apart.min(1).values.max() <= tolerance


def test_decoding_a_perfect_output_returns_the_emitters(kind: str) -> None:
    network = make(kind)
    found = network.decode(perfect(network, TRUTH, 3, 17, 20), 0.5)
    assert_same_places(found, TRUTH, TOLERANCE[kind])
    assert torch.equal(found.frame, found.frame.sort().values)
    assert (found.probability > 0.5).all() and (found.probability <= 1).all()


def test_the_loss_is_least_for_the_truth(kind: str) -> None:
    network = make(kind)
    best = network.loss(perfect(network, TRUTH, 3, 17, 20), TRUTH)
    elsewhere = {
        "moved aside": TRUTH.shift((0.1, 0.0, 0.0)),
        "moved in depth": TRUTH.shift((0.0, 0.0, 0.3)),
        "one missing": TRUTH.select(torch.tensor([0, 1])),
        "one too many": Emitters.concat([TRUTH, emitters([(0.3, 0.3, 1.0)], [1], 3000.0)]),
        "wrong frame": TRUTH.shift(frames=-1).select(torch.tensor([2])),
    }
    for what, wrong in elsewhere.items():
        assert network.loss(perfect(network, wrong, 3, 17, 20), TRUTH) > best, what


def test_no_emitters_and_no_detections_are_normal(kind: str) -> None:
    network = make(kind)
    quiet = perfect(network, Emitters.empty(), 2, 9, 12)
    loud = perfect(network, TRUTH.select(TRUTH.frame == 0), 2, 17, 20)
    assert len(network.decode(quiet, 0.1)) == 0
    assert torch.isfinite(network.loss(quiet, Emitters.empty()))
    assert torch.isfinite(network.loss(quiet, TRUTH.select(TRUTH.frame == 0)))
    assert network.loss(quiet, Emitters.empty()) < network.loss(loud, Emitters.empty())


def test_emitters_outside_the_frame_do_not_change_the_loss(kind: str) -> None:
    network = make(kind)
    raw = perfect(network, TRUTH, 3, 17, 20)
    beyond = Emitters.concat([TRUTH, emitters([(-0.9, 0.5, 1.0), (0.5, 2.9, 1.0)], [1, 1], 3000.0)])
    # The coarse loss counts them among those it divides by; nothing else may change.
    assert network.loss(raw, beyond).item() == pytest.approx(
        network.loss(raw, TRUTH).item(), rel=1e-5, abs=1e-6
    )


def test_moving_the_output_by_whole_pixels_moves_the_detections(kind: str) -> None:
    network = make(kind)
    raw = perfect(network, TRUTH, 3, 20, 24)
    split = raw.shape[-1] // 24
    here, there = network.decode(raw, 0.5), network.decode(raw.roll((4 * split, 6 * split), (2, 3)), 0.5)
    assert torch.allclose(there.xyz, here.xyz + torch.tensor([0.6, 0.4, 0.0]), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(15, 18), (16, 13), (9, 11)])
def test_odd_frames_keep_their_size(kind: str, height: int, width: int) -> None:
    network = make(kind)
    raw = network(noise(2, 1, height, width))
    split = 2 if kind == "voxel" else 1
    assert raw.shape[0] == 2
    assert raw.shape[2:] == (height * split, width * split)


def test_the_gradient_reaches_every_parameter(kind: str) -> None:
    network = make(kind)
    network.loss(network(noise(3, 1, 17, 20)), TRUTH).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        assert torch.isfinite(parameter.grad).all(), name


def test_a_frame_alone_gives_what_it_gives_in_a_batch(kind: str) -> None:
    network = make(kind).eval()
    images = noise(3, 1, 16, 18)
    with torch.no_grad():
        together = network(images)
        alone = network(images[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-5)


@torch.no_grad()
def test_moving_the_image_by_two_pixels_moves_the_output(kind: str) -> None:
    network = make(kind).eval()
    image = torch.zeros(1, 1, 64, 64)
    image[..., 27:33, 28:36] = noise(6, 8)
    moved = network(image.roll((2, -4), (2, 3)))
    split = moved.shape[-1] // 64
    expected = network(image).roll((2 * split, -4 * split), (2, 3))
    inner = slice(22 * split, 42 * split)
    assert torch.allclose(moved[..., inner, inner], expected[..., inner, inner], atol=1e-4)
    assert expected[..., inner, inner].std() > 0


def test_some_steps_on_a_fixed_problem_reduce_the_loss(kind: str) -> None:
    network = make(kind)
    images = noise(3, 1, 17, 20)
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = network.loss(network(images), TRUTH)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_the_loss_does_not_suffer_from_half_precision(kind: str) -> None:
    network = make(kind)
    with torch.autocast("cpu", torch.bfloat16):
        raw = network(noise(3, 1, 17, 20))
        loss = network.loss(raw, TRUTH)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(network.loss(raw.float(), TRUTH).item(), rel=1e-5)


def test_a_spec_is_told_by_its_kind(kind: str) -> None:
    adapter = TypeAdapter(AnyNetwork)
    assert adapter.validate_python({"kind": kind}) == type(SPECS[kind])()
    with pytest.raises(ValidationError, match="kind"):
        adapter.validate_python({"kind": "thorough"})


@pytest.mark.parametrize(("planes", "parameters"), [(121, 612_703), (81, 435_743)])
def test_the_voxel_network_has_as_many_parameters_as_the_published_one(planes: int, parameters: int) -> None:
    network = VoxelSpec(planes=planes).build(PIXEL, DEPTH)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_the_voxel_networks_smoothing_is_a_gaussian_of_peak_one() -> None:
    volume = torch.zeros(2, 9, 11, 13)
    volume[1, 4, 5, 6] = 1.0
    blurred = smooth(volume)
    assert blurred[0].abs().max() == 0
    assert blurred[1, 4, 5, 6].item() == pytest.approx(1.0)
    assert blurred[1, 6, 4, 9].item() == pytest.approx(math.exp(-0.5 * (4 + 1 + 9)), rel=1e-4)
    assert blurred[1, 8, 5, 6] == 0


@pytest.mark.parametrize("shape", [(2, 9, 11, 13), (1, 1, 5, 30), (1, 20, 3, 2)])
def test_the_voxel_networks_smoothing_is_a_convolution_and_so_is_its_gradient(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    volume = torch.randn(shape, generator=generator).requires_grad_()
    line = torch.exp(-0.5 * torch.arange(-3.0, 4.0).square())
    kernel = line[:, None, None] * line[:, None] * line
    expected = torch.nn.functional.conv3d(volume[:, None], kernel[None, None], padding=3)[:, 0]
    weights = torch.randn(shape, generator=generator)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), volume)
    blurred = smooth(volume)
    (gradient,) = torch.autograd.grad((blurred * weights).sum(), volume)
    assert torch.allclose(blurred, expected, atol=1e-4)
    assert torch.allclose(gradient, wanted, atol=1e-4)


def test_two_saturated_voxels_side_by_side_are_one_emitter_between_them() -> None:
    network = make("voxel")
    assert isinstance(network, VoxelNetwork)
    volume = torch.zeros(1, 20, 24, 24)
    volume[0, 10, 12, 12:14] = network.scale
    found = network.decode(volume, 0.5)
    assert len(found) == 1
    assert torch.allclose(network.grid.to_voxels(found.xyz), torch.tensor([[12.5, 12.0, 10.0]]), atol=1e-4)


def test_the_mixture_network_gives_photons_and_uncertainties() -> None:
    network = make("mixture")
    found = network.decode(perfect(network, TRUTH, 3, 17, 20), 0.5)
    assert torch.allclose(found.photons, torch.full((3,), 3000.0), rtol=1e-4)
    assert found.sigma_source == "network"
    sigma = math.log1p(math.exp(-3))
    assert torch.allclose(
        found.sigma_xyz, torch.tensor([0.1 * (sigma + 0.01)] * 2 + [sigma + 0.002]), rtol=1e-3
    )
    assert torch.allclose(found.sigma_photons, torch.tensor(2000 * (sigma + 0.01)), rtol=1e-3)


def test_a_probability_split_between_two_pixels_is_one_emitter() -> None:
    network = make("mixture")
    raw = torch.zeros(1, 9, 8, 8)
    raw[:, 0] = -15.0
    raw[0, 0, 4, 4], raw[0, 0, 4, 5] = torch.logit(torch.tensor([0.45, 0.40]))
    found = network.decode(raw, 0.6)
    assert len(found) == 1
    assert found.probability.item() == pytest.approx(0.85, abs=1e-4)
    assert len(network.decode(raw, 0.9)) == 0


def test_two_likely_pixels_side_by_side_are_two_emitters() -> None:
    network = make("mixture")
    raw = torch.zeros(1, 9, 8, 8)
    raw[:, 0] = -15.0
    raw[0, 0, 4, 4], raw[0, 0, 4, 5] = torch.logit(torch.tensor([0.95, 0.90]))
    found = network.decode(raw, 0.5)
    assert torch.allclose(found.xyz[:, 0], torch.tensor([0.4, 0.5]))
    assert (found.probability == 1).all()


def test_the_count_likelihood_is_that_of_a_normal_with_the_poisson_binomials_moments() -> None:
    probability = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(2))
    count = torch.tensor([14, 10, 17])
    variance = (probability * (1 - probability)).sum((1, 2)) + 1 / 12
    normal = torch.distributions.Normal(probability.sum((1, 2)), variance.sqrt())
    assert torch.allclose(
        count_nll(torch.logit(probability), count), -normal.log_prob(count.float()), rtol=1e-4
    )


def test_the_mixture_likelihood_is_the_sum_over_pixels_that_it_claims_to_be() -> None:
    network = make("mixture")
    raw = noise(1, 9, 5, 6, seed=3)
    one = emitters([(0.32, 0.18, 0.9)], [0], 3000.0)
    column, row = torch.meshgrid(torch.arange(6.0), torch.arange(5.0), indexing="xy")
    widths = torch.nn.functional.softplus(raw[0, 5:]) + torch.tensor([0.01, 0.01, 0.002, 0.01])[:, None, None]
    means = torch.stack(
        [
            column + 1.5 * raw[0, 1].tanh(),
            row + 1.5 * raw[0, 2].tanh(),
            1.2 * raw[0, 3].tanh(),
            torch.nn.functional.softplus(raw[0, 4]),
        ]
    )
    aim = torch.tensor([3.2, 1.8, -0.1, 1.5])[:, None, None]
    density = torch.distributions.Normal(means, widths).log_prob(aim).sum(0).exp()
    share = raw[0, 0].sigmoid() / raw[0, 0].sigmoid().sum()
    # All pixels of this small frame lie within the reach of the emitter's own, (row 2, column 3).
    position = -(share * density).sum().log()
    target = torch.zeros(5, 6)
    target[2, 3] = 1
    entropy = torch.nn.functional.binary_cross_entropy(raw[0, 0].sigmoid(), target, reduction="sum")
    expected = (count_nll(raw[:, 0], torch.tensor([1])).sum() + position + entropy) / 2
    assert network.loss(raw, one).item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_loss_of_the_mixture_stays_finite_when_the_network_is_sure_and_wrong() -> None:
    network = make("mixture")
    raw = torch.zeros(1, 9, 12, 12)
    raw[:, 0], raw[:, 5:] = -80.0, -80.0
    raw.requires_grad_()
    loss = network.loss(raw, replace(emitters([(0.5, 0.5, 1.9)], [0], 3000.0), photons=torch.tensor([9e4])))
    (slope,) = torch.autograd.grad(loss, raw)
    assert torch.isfinite(loss)
    assert torch.isfinite(slope).all()


def test_the_normalisation_is_measured_on_the_stabilised_frames() -> None:
    localizer = NetworkLocalizer(make("coarse"))
    rate = torch.full((4, 32, 32), 30.0)
    frames = torch.poisson(rate, generator=torch.Generator().manual_seed(4))
    assert stabilise(frames).std().item() == pytest.approx(1.0, abs=0.05)
    localizer.measure_normalisation(frames)
    images = localizer.normalise(frames)
    assert images.shape == (4, 1, 32, 32)
    assert images.mean().item() == pytest.approx(0.0, abs=1e-4)
    assert images.std().item() == pytest.approx(1.0, abs=1e-4)
    assert set(localizer.state_dict()) >= {"offset", "scale"}


def test_a_crop_gives_the_same_detections_far_from_its_border(kind: str) -> None:
    frames = torch.poisson(torch.full((2, 72, 70), 40.0), generator=torch.Generator().manual_seed(5))
    localizer = NetworkLocalizer(make(kind), threshold=LOW[kind])
    localizer.measure_normalisation(frames)
    with torch.no_grad():
        for _ in range(30):  # let the batch norms see these frames
            localizer(frames)
    localizer.eval()
    whole = localizer.localize(frames)
    crop = localizer.localize(frames[:, 8:, 6:]).shift((0.6, 0.8, 0.0))
    low, high = torch.tensor([2.8, 3.0]), torch.tensor([4.8, 5.0])
    whole, crop = (
        table.select(((table.xyz[:, :2] > low) & (table.xyz[:, :2] < high)).all(1)) for table in (whole, crop)
    )
    assert len(whole) > 0
    assert torch.equal(whole.frame, crop.frame)
    assert torch.allclose(whole.xyz, crop.xyz, atol=1e-4)
    assert torch.allclose(whole.probability, crop.probability, atol=1e-4)


def test_the_voxel_network_has_finite_gradients_in_half_precision() -> None:
    """Channels-last layout gave NaN gradients in bfloat16 on the CPU (65 channels, dilated)."""
    network = VoxelNetwork(VoxelSpec(planes=6), 0.11, (0.0, 1.2))
    network = network.to(memory_format=network.memory_format)  # pyright: ignore[reportCallIssue]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 1, 24, 24, generator=generator).contiguous(memory_format=network.memory_format)
    truth = Emitters.empty()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        volume = network(images)
    network.loss(volume, truth).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
