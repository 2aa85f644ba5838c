"""The form of a trained network that is fastest on the CPU, with the same result but for rounding."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..watch import Watcher
from .localizer import NetworkLocalizer
from .precision import PreciseConv2d, fast_bfloat16, fastest_bfloat16
from .trunk import ResidualPair, Trunk
from .winograd import WinogradConv2d, WinogradPair, can_be_winograd

__all__ = ["announce", "for_inference"]


def for_inference(localizer: NetworkLocalizer, *, half_precision: bool) -> NetworkLocalizer:
    """A copy of a trained localizer in evaluation mode that is faster on the CPU.

    It itself on other devices, and where the network has no `Trunk`.
    half_precision: whether it may compute in bfloat16.
    Batch norms become part of the convolutions before them; 3×3 convolutions of many channels are done by
    Winograd's algorithm (`WinogradConv2d`) where that is faster: in single precision all of them, else, unless
    bfloat16 is faster still, those of the residual pairs. The copy cannot be trained or stored.
    """
    device = localizer.offset.device
    if device.type != "cpu" or not any(isinstance(layer, Trunk) for layer in localizer.modules()):
        return localizer
    fast = copy.deepcopy(localizer).eval().requires_grad_(False)
    blocks = [block for block in fast.modules() if isinstance(block, nn.Sequential)]
    for block in blocks:
        _absorb_batch_norms(block)
    half = half_precision and fast_bfloat16(device)
    if not half:
        for block in blocks:
            _use_winograd(block)
    elif not fastest_bfloat16(device):
        for pair in [layer for layer in fast.modules() if isinstance(layer, ResidualPair)]:
            _use_winograd(pair.first)
            _use_winograd(pair.second)
    for block in blocks:
        _use_winograd_pairs(block)
    _use_winograd_for_precise(fast)
    return fast


def _use_winograd_for_precise(localizer: nn.Module) -> None:
    """Replace convolutions that are in single precision anyway."""
    for module in list(localizer.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, PreciseConv2d) and can_be_winograd(layer):
                setattr(module, name, WinogradConv2d(layer))


def _use_winograd_pairs(block: nn.Sequential) -> None:
    """Replace residual pairs whose last convolution is by Winograd's algorithm: it adds the features itself."""
    for place, pair in enumerate(block):
        last = pair.second[0] if isinstance(pair, ResidualPair) else None
        if isinstance(pair, ResidualPair) and isinstance(last, WinogradConv2d):
            block[place] = WinogradPair(pair.first, last)


def _use_winograd(block: nn.Sequential) -> None:
    """Replace convolutions that `WinogradConv2d` does faster, together with a ReLU behind them."""
    for place, layer in enumerate(block):
        if not can_be_winograd(layer):
            continue
        assert isinstance(layer, nn.Conv2d)
        behind = [other for other in list(block)[place + 1 :] if not isinstance(other, nn.Identity)]
        positive = bool(behind) and isinstance(behind[0], nn.ReLU)
        block[place] = WinogradConv2d(layer, positive=positive)
        if positive:
            block[list(block).index(behind[0])] = nn.Identity()


def _absorb_batch_norms(block: nn.Sequential) -> None:
    """Replace each convolution and the batch norm behind it by one convolution."""
    for place in range(len(block) - 1):
        convolution, norm = block[place], block[place + 1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            merged = fuse_conv_bn_eval(convolution, norm)
            block[place] = merged.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
            block[place + 1] = nn.Identity()


def announce(localizer: NetworkLocalizer, frames: Tensor, watch: Watcher) -> None:
    """Say that the network's first frames on this computer take longer, if its fast form is yet to be compiled.

    frames: (B, H, W), to which the localizer is about to be applied.
    """
    height, width = frames.shape[-2:]
    layers = [layer for layer in localizer.modules() if isinstance(layer, WinogradConv2d)]
    if not any(layer.suits(height, width) for layer in layers):
        return
    from ..numba_cache import is_compiled_already

    if not is_compiled_already("localizer"):
        watch.message("the network is being compiled for this computer: some ten seconds, once")
