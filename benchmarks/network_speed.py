"""Frames per second of the three networks, each with its decoder, in turns in one run.

Frames of 128×128 pixels in the telomere set-up: coarse (the default, 96 channels), mixture, and the
paper's voxel network (81 planes, 4×4 voxels a pixel). The weights are drawn, not trained: the time does
not depend on them. The decoders get the output of a perfect network for frames of 35 emitters, so that
each finds as many molecules as a trained one. Same precision for all (--float32: no bfloat16).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from deepstorm3d.emitters import Emitters
from deepstorm3d.experiment.presets import preset
from deepstorm3d.jobs.train import build_localizer
from deepstorm3d.localizer.coarse import CoarseNetwork, CoarseSpec, gaussian_heat
from deepstorm3d.localizer.localizer import NetworkLocalizer
from deepstorm3d.localizer.mixture import MixtureSpec
from deepstorm3d.localizer.network import NetworkSpec
from deepstorm3d.localizer.precision import mixed_precision
from deepstorm3d.localizer.voxel import VoxelNetwork, VoxelSpec
from harness import arguments_of, interval, report, take_turns

EXPERIMENT = preset("tetrapod")
PIXEL_UM, EMITTERS = EXPERIMENT.microscope.pixel_um, 35
# Network, and frames at a time (a volume of the voxel network is 85 MB).
NETWORKS: dict[str, tuple[NetworkSpec, int]] = {
    "coarse": (CoarseSpec(channels=96), 4),
    "mixture": (MixtureSpec(channels=96), 4),
    "voxel": (VoxelSpec(planes=81, upsampling=4), 1),
}


def some_truth(frames: int, side: int) -> Emitters:
    """Emitters spread over every frame, one to a cell of a grid so that none hides another."""
    generator = torch.Generator().manual_seed(0)
    number = frames * EMITTERS
    cells = int(EMITTERS**0.5) + 1
    place = torch.cat([torch.randperm(cells**2, generator=generator)[:EMITTERS] for _ in range(frames)])
    corner = torch.stack([place % cells, place // cells], 1) * (side / cells)
    low, high = EXPERIMENT.z_um
    z = low + (high - low) * (0.05 + 0.9 * torch.rand(number, 1, generator=generator))
    xyz = torch.cat([(corner + 0.4 * side / cells).floor() * PIXEL_UM, z], 1)
    rows = torch.arange(number)
    return Emitters(xyz=xyz, frame=rows // EMITTERS, photons=torch.full((number,), 3e4), id=rows)


def perfect_output(network: nn.Module, truth: Emitters, raw: Tensor) -> Tensor:
    """What a network that knows the truth would give, in the form of `raw`."""
    if isinstance(network, CoarseNetwork):
        heat = gaussian_heat(network.grid, truth, raw.shape, network.spread)
        return torch.logit(heat.clamp(1e-6, 1 - 1e-6))
    if isinstance(network, VoxelNetwork):
        return network.scale * gaussian_heat(network.grid, truth, raw.shape, 1.0)
    column, row = (truth.xyz[:, :2] / PIXEL_UM).round().long().unbind(1)
    logits = torch.full_like(raw[:, 0], -15.0)
    logits[truth.frame, row, column] = 15.0
    return torch.cat([logits[:, None], torch.zeros_like(raw[:, 1:])], 1)


def giga_operations(localizer: NetworkLocalizer, photons: Tensor) -> float:
    """10⁹ multiply-accumulate operations of the convolutions, per frame."""
    total = 0

    def count(layer: nn.Module, _: object, out: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d)
        height, width = layer.kernel_size
        total += out.numel() * (layer.in_channels // layer.groups) * height * width

    layers = [layer for layer in localizer.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    localizer(photons[:1])
    for hook in hooks:
        hook.remove()
    return total / 1e9


def prepare(
    spec: NetworkSpec, photons: Tensor, *, half: bool
) -> tuple[NetworkLocalizer, Callable[[], int], Callable[[], int], int]:
    """A network, its whole work on some frames, the decoding alone, and how many molecules it finds."""
    localizer = build_localizer(EXPERIMENT.with_(network=spec)).to(photons.device).eval()
    localizer.measure_normalisation(photons)
    truth = some_truth(len(photons), photons.shape[-1]).to(photons.device)
    perfect = perfect_output(localizer.network, truth, localizer(photons))  # pyright: ignore[reportArgumentType]

    def decode() -> int:
        localizer.network.decode(perfect, 0.5)
        return len(photons)

    def localize() -> int:
        with mixed_precision(photons.device, half):
            localizer(photons)
        return decode()

    return localizer, localize, decode, len(localizer.network.decode(perfect, 0.5))


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batch", type=int, help="frames at a time (default 4, voxel 1)")
    parser.add_argument("--float32", action="store_true")
    arguments = arguments_of(parser)
    side, rounds = (48, 2) if arguments.quick else (128, arguments.rounds)
    ways: dict[str, Callable[[], int]] = {}
    about: dict[str, dict[str, float]] = {}
    for name, (spec, batch) in NETWORKS.items():
        generator = torch.Generator().manual_seed(1)
        photons = torch.poisson(torch.full((arguments.batch or batch, side, side), 150.0), generator=generator)
        photons = photons.to(arguments.device)
        localizer, localize, decode, found = prepare(spec, photons, half=not arguments.float32)
        ways[name], ways[f"{name}, decoding"] = localize, decode
        about[name] = {
            "GMAC/frame": giga_operations(localizer, photons),
            "parameters": sum(p.numel() for p in localizer.parameters()),
            "found/frame": found / len(photons),
        }
    rates = take_turns(ways, rounds, arguments.device)
    rows = [
        {
            "network": name,
            "frames/s": interval(rates[name]),
            "times voxel": interval([v / w for v, w in zip(rates[name], rates["voxel"], strict=True)]),
            "decoding ms/frame": interval([1000 / rate for rate in rates[f"{name}, decoding"]]),
            **figures,
        }
        for name, figures in about.items()
    ]
    report(f"Networks with their decoders, frames of {side}×{side}", rows, arguments)


if __name__ == "__main__":
    main()
