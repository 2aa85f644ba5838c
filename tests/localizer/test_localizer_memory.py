"""Networks on the processor take no more memory than is reckoned for them."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest
import torch

from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.inference import for_inference
from deepstorm3d.localizer.localizer import NetworkLocalizer
from deepstorm3d.localizer.mixture import MixtureSpec
from deepstorm3d.localizer.network import NetworkSpec, ProposalNetwork, build_network
from deepstorm3d.localizing.memory import FIXED_BYTES

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
Z_UM = (2.0, 6.0)
# Side of the frames, px: so large that what does not grow with the pixels is little.
SPECS: dict[str, tuple[NetworkSpec, int]] = {
    "coarse": (CoarseSpec(), 640),
    "many channels": (CoarseSpec(channels=256), 640),
    "thin planes": (CoarseSpec(channels=32, plane_um=0.025), 384),
    "mixture": (MixtureSpec(), 640),
}


def resident(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text())
    assert found is not None
    return 1024 * int(found[1])


@torch.no_grad()
@pytest.mark.skipif(not RESET.exists(), reason="the highest resident set is reset as Linux does")
@pytest.mark.parametrize("half_precision", [False, True])
@pytest.mark.parametrize("kind", SPECS)
def test_a_frame_takes_no_more_memory_than_reckoned(kind: str, half_precision: bool) -> None:
    spec, px = SPECS[kind]
    network = build_network(spec, 0.11, Z_UM)
    localizer = NetworkLocalizer(network, threshold=0.5).eval()
    localizer = localizer.to(memory_format=network.memory_format)  # pyright: ignore[reportCallIssue]
    localizer = for_inference(localizer, half_precision=half_precision)

    def work(photons: torch.Tensor) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half_precision):
            raw = localizer(photons)
        localizer.network.decode(raw.float(), localizer.threshold)

    photons = torch.poisson(torch.full((1, px, px), 20.0), generator=torch.Generator().manual_seed(1))
    work(photons[:, :64, :64])
    ctypes.CDLL(None).malloc_trim(0)
    RESET.write_text("5")
    before = resident("VmRSS")
    work(photons)
    assert resident("VmHWM") - before < FIXED_BYTES + spec.bytes_on_processor(Z_UM) * px**2


def test_a_kind_that_does_not_tell_takes_the_upper_guess() -> None:
    class Own(NetworkSpec):
        kind: str = "own"

        def build(self, pixel_um: float, z_um: tuple[float, float]) -> ProposalNetwork:
            raise NotImplementedError

    assert Own().bytes_on_processor(Z_UM) == Own().bytes_per_pixel
