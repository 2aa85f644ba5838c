"""Where bfloat16 is used; convolutions in float32: what autocast would have done, undone, gradients too."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from deepstorm3d.localizer import precision
from deepstorm3d.localizer.precision import (
    conv2d_in_float32,
    fast_bfloat16,
    fastest_bfloat16,
    mixed_precision,
)


@pytest.mark.parametrize(
    ("instructions", "half"),
    [("amx_bf16", True), ("bf16", True), ("", False)],
)
@pytest.mark.parametrize("name", ["AMD EPYC", "Intel(R) Xeon(R) Processor", ""])
def test_the_processor_computes_in_bfloat16_where_it_multiplies_whole_matrices_of_it(
    monkeypatch: pytest.MonkeyPatch, name: str, instructions: str, half: bool
) -> None:
    monkeypatch.setattr(precision, "_cpu_capabilities", lambda: {"cpu_name": name, instructions: True})
    with mixed_precision(torch.device("cpu"), half_precision=True):
        assert torch.is_autocast_enabled("cpu") is half


@pytest.mark.parametrize(
    ("name", "half"),
    [("AMD EPYC", True), ("AMD Ryzen 9 7950X", True), ("Intel(R) Xeon(R)", False), (None, False)],
)
def test_bfloat16_of_vectors_is_used_where_it_gains(
    monkeypatch: pytest.MonkeyPatch, name: str | None, half: bool
) -> None:
    told = {"avx512_bf16": True} | ({} if name is None else {"cpu_name": name})
    monkeypatch.setattr(precision, "_cpu_capabilities", lambda: told)
    with mixed_precision(torch.device("cpu"), half_precision=True):
        assert torch.is_autocast_enabled("cpu") is half
    with mixed_precision(torch.device("cpu"), half_precision=False):
        assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    ("instructions", "fastest"), [("amx_bf16", True), ("bf16", True), ("avx512_bf16", False)]
)
def test_bfloat16_is_fastest_where_whole_matrices_are_multiplied(
    monkeypatch: pytest.MonkeyPatch, instructions: str, fastest: bool
) -> None:
    told = {"cpu_name": "AMD EPYC", instructions: True}
    monkeypatch.setattr(precision, "_cpu_capabilities", lambda: told)
    assert fast_bfloat16(torch.device("cpu")) and fastest_bfloat16(torch.device("cpu")) is fastest


def test_it_is_the_convolution_that_torch_has_with_its_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(*shape, generator=generator) for shape in ((2, 3, 9, 8), (4, 3, 3, 1), (4,))]
    ours, theirs = ([value.clone().requires_grad_() for value in given] for _ in range(2))
    out, expected = conv2d_in_float32(*ours, (1, 0)), functional.conv2d(*theirs, padding=(1, 0))
    assert torch.equal(out, expected)
    for image in (out, expected):
        image.square().sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.grad is not None and other.grad is not None
        torch.testing.assert_close(mine.grad, other.grad)


def test_autocast_does_not_reach_it() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, 3, 9, 9, generator=generator)
    weight = torch.randn(2, 3, 3, 3, generator=generator, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = conv2d_in_float32(images.bfloat16(), weight, None, (1, 1))
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, functional.conv2d(images.bfloat16().float(), weight, padding=1))
    out.sum().backward()
    assert weight.grad is not None and weight.grad.dtype == torch.float32
