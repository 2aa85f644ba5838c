"""The fast form of a trained network: the same result as the plain one, where it is used at all."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from deepstorm3d.localizer import inference, winograd
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.inference import for_inference
from deepstorm3d.localizer.localizer import NetworkLocalizer
from deepstorm3d.localizer.mixture import MixtureSpec
from deepstorm3d.localizer.network import NetworkSpec
from deepstorm3d.localizer.trunk import ResidualPair
from deepstorm3d.localizer.voxel import VoxelSpec
from deepstorm3d.localizer.winograd import WinogradConv2d, WinogradPair, can_be_winograd

SPECS = {
    "coarse": CoarseSpec(channels=64, skip=32, dilations=(1, 2, 4), plane_um=0.25),
    "mixture": MixtureSpec(channels=72, skip=16, dilations=(2, 3), head=8),
}

FINE = CoarseSpec(channels=64, skip=32, dilations=(1, 2, 4), plane_um=0.06)
"""With so many planes that the head, too, is done by Winograd's algorithm."""


def photons(frames: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(6)
    bright = 30 + 300 * (torch.rand(frames, height, width, generator=generator) > 0.98)
    return torch.poisson(bright.float(), generator=generator)


@cache
def trained(spec: NetworkSpec, threshold: float = 0.01) -> NetworkLocalizer:
    """A localizer whose batch norms all differ from the identity, and which finds something in `photons`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        localizer = NetworkLocalizer(spec.build(0.1, (0.0, 2.0)), threshold=threshold)
        for layer in localizer.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, std=0.3)
                layer.momentum = 1.0  # one batch sets the statistics
    localizer.measure_normalisation(photons(2, 48, 48))
    with torch.no_grad():
        localizer(photons(2, 48, 48))
    return localizer.to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]


def convolution(channels: int, channels_out: int, dilation: int, *, bias: bool = True) -> nn.Conv2d:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Conv2d(channels, channels_out, 3, padding=dilation, dilation=dilation, bias=bias)


@pytest.fixture
def every_size(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small images too are convolved by tiles."""
    monkeypatch.setattr(winograd, "_MOST_VALUES", float("inf"))
    yield


@torch.no_grad()
@pytest.mark.usefixtures("every_size")
@pytest.mark.parametrize("dilation", [1, 2, 5])
@pytest.mark.parametrize(("height", "width"), [(18, 24), (17, 29), (1, 3), (4, 64), (37, 2)])
def test_convolving_by_tiles_gives_the_convolution(height: int, width: int, dilation: int) -> None:
    direct = convolution(64, 66, dilation)
    images = torch.randn(2, 64, height, width, generator=torch.Generator().manual_seed(2))
    assert direct.bias is not None
    exact = nn.functional.conv2d(
        images.double(), direct.weight.double(), direct.bias.double(), 1, dilation, dilation
    )
    for layout in (torch.contiguous_format, torch.channels_last):
        found = WinogradConv2d(direct)(images.contiguous(memory_format=layout))
        assert not torch.equal(found, direct(images))  # it was indeed computed in another way
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=5e-5 * exact.abs().max().item())


@torch.no_grad()
@pytest.mark.usefixtures("every_size")
@pytest.mark.parametrize(("dilation", "height"), [(1, 20), (3, 17)])
def test_what_follows_a_convolution_is_done_while_its_rows_are_in_the_cache(dilation: int, height: int) -> None:
    direct = convolution(64, 66, dilation)
    generator = torch.Generator().manual_seed(4)
    images = torch.randn(2, 64, height, 25, generator=generator)
    plus = torch.randn(2, 66, height, 25, generator=generator)
    plain = WinogradConv2d(direct)(images)
    assert torch.equal(WinogradConv2d(direct, positive=True)(images), plain.relu())
    torch.testing.assert_close(WinogradConv2d(direct)(images, plus), plain + plus, rtol=0, atol=1e-5)
    both = WinogradConv2d(direct, positive=True)(images, plus)
    torch.testing.assert_close(both, (plain + plus).relu(), rtol=0, atol=1e-5)


def test_residual_pairs_of_many_channels_are_done_in_their_fast_form() -> None:
    fast = for_inference(trained(SPECS["coarse"]), half_precision=False)
    assert sum(isinstance(layer, WinogradPair) for layer in fast.modules()) == 3
    assert not any(isinstance(layer, ResidualPair) for layer in fast.modules())


@torch.no_grad()
@pytest.mark.usefixtures("every_size")
def test_a_convolution_may_have_no_bias() -> None:
    direct = convolution(64, 64, 1, bias=False)
    images = torch.randn(1, 64, 20, 20, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(WinogradConv2d(direct)(images), direct(images), rtol=0, atol=1e-4)


def test_small_images_gradients_and_other_types_are_convolved_directly() -> None:
    direct = convolution(64, 64, 8)
    fast, wide = WinogradConv2d(direct), torch.randn(1, 64, 60, 90, requires_grad=True)
    small = torch.randn(1, 64, 20, 21)
    assert torch.equal(fast(small), direct(small))
    assert torch.equal(fast(wide), direct(wide)) and fast(wide).requires_grad
    fast.direct.double()
    assert fast(wide.detach().double()).dtype == torch.float64


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(64, 64, 3, stride=2, padding=1),
        nn.Conv2d(64, 64, 3),
        nn.Conv2d(64, 64, 5, padding=2),
        nn.Conv2d(64, 64, 3, padding=(1, 2), dilation=(1, 2)),
        nn.Conv2d(64, 64, 3, padding=1, groups=2),
        nn.Conv2d(64, 64, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(64, 64, 3, padding="same"),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
    ],
    ids=str,
)
def test_other_layers_are_left_as_they_are(layer: nn.Module) -> None:
    assert not can_be_winograd(layer)
    assert can_be_winograd(convolution(64, 64, 3)) and can_be_winograd(convolution(64, 32, 1))


@torch.no_grad()
@pytest.mark.parametrize("kind", list(SPECS))
@pytest.mark.parametrize(("height", "width"), [(64, 72), (61, 75), (90, 33), (15, 22)])
def test_the_fast_form_finds_the_same_candidates(kind: str, height: int, width: int) -> None:
    plain = trained(SPECS[kind])
    fast, frames = for_inference(plain, half_precision=False), photons(2, height, width)
    assert any(isinstance(layer, WinogradConv2d) for layer in fast.modules())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fast.modules())
    torch.testing.assert_close(fast(frames), plain(frames), rtol=1e-4, atol=1e-4)
    found, expected = fast.localize(frames), plain.localize(frames)
    assert len(expected) > 0 and torch.equal(found.frame, expected.frame)
    torch.testing.assert_close(found.xyz, expected.xyz, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.probability, expected.probability, rtol=0, atol=1e-4)


@torch.no_grad()
def test_the_fast_form_leaves_the_localizer_itself_as_it_was() -> None:
    plain = trained(SPECS["coarse"])
    before = {name: values.clone() for name, values in plain.state_dict().items()}
    for_inference(plain, half_precision=False)
    after = plain.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], values) for name, values in before.items())
    assert all(weight.requires_grad for weight in plain.parameters())


@torch.no_grad()
def test_the_fast_form_gives_a_frame_the_same_alone_as_in_a_batch() -> None:
    fast, frames = for_inference(trained(SPECS["coarse"]), half_precision=False), photons(3, 48, 50)
    torch.testing.assert_close(fast(frames)[1:2], fast(frames[1:2]), rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("fastest", [True, False])
def test_where_bfloat16_is_fast_winograds_algorithm_does_what_is_faster_by_it(
    monkeypatch: pytest.MonkeyPatch, fastest: bool
) -> None:
    plain, frames = trained(FINE), photons(2, 61, 75)
    monkeypatch.setattr(inference, "fast_bfloat16", lambda _: True)
    monkeypatch.setattr(inference, "fastest_bfloat16", lambda _: fastest)
    half = for_inference(plain, half_precision=True)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in half.modules())
    by_tiles = {name for name, layer in half.named_modules() if isinstance(layer, WinogradConv2d)}
    pairs = {f"network.trunk.pairs.{number}.{each}" for number in range(3) for each in ("first.0", "second")}
    assert by_tiles == {"network.head"} | (set() if fastest else pairs)
    torch.testing.assert_close(half(frames), plain(frames), rtol=1e-4, atol=1e-4)
    whole = for_inference(plain, half_precision=False)
    assert sum(isinstance(layer, WinogradConv2d) for layer in whole.modules()) > len(by_tiles)


@torch.no_grad()
@pytest.mark.usefixtures("every_size")
@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(1, 3), (17, 24), (61, 200), (140, 90)])
def test_it_computes_in_single_precision_within_autocast(height: int, width: int, dilation: int) -> None:
    direct = convolution(64, 66, dilation)
    generator = torch.Generator().manual_seed(5)
    images, plus = (torch.randn(2, each, height, width, generator=generator).bfloat16() for each in (64, 66))
    exact = WinogradConv2d(direct)(images.float(), plus.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = WinogradConv2d(direct)(images, plus)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-5 * exact.abs().max().item())


@torch.no_grad()
@pytest.mark.parametrize("height", [8, 200])
def test_what_is_found_is_never_rounded_to_half_precision(height: int) -> None:
    """Neighbouring voxels of equal values would be two maxima."""
    plain, frames = trained(FINE), photons(1, height, 64)
    fast = for_inference(plain, half_precision=False)
    for localizer in (plain, fast):
        with torch.autocast("cpu", torch.bfloat16):
            logits = localizer(frames)
        assert logits.dtype == torch.float32
        assert not torch.equal(logits, logits.bfloat16().float())


def test_networks_of_other_layers_are_left_as_they_are() -> None:
    voxel = NetworkLocalizer(VoxelSpec(planes=20, upsampling=2, channels=8).build(0.1, (0.0, 2.0)))
    assert for_inference(voxel, half_precision=False) is voxel
