"""What is told when network and fit run for the first time on a computer, and their code is compiled."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d import numba_cache
from deepstorm3d.jobs.train import build_localizer
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.inference import announce, for_inference
from deepstorm3d.localizer.network import NetworkSpec
from deepstorm3d.localizer.voxel import VoxelSpec
from deepstorm3d.localizing.model import Model
from factories import tiny_experiment, untrained_model
from watchers import Recorder

NETWORK = "the network is being compiled for this computer: some ten seconds, once"
FIT = "the fit is being compiled for this computer: one or two minutes, once"
WIDE = CoarseSpec(channels=64, skip=32, dilations=(1,))


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The packages whose compiled code is on the disk: none, as on a computer where nothing ran yet."""
    packages: set[str] = set()
    monkeypatch.setattr(numba_cache, "is_compiled_already", packages.__contains__)
    return packages


def told(network: NetworkSpec, *, refine: bool) -> list[str]:
    """The messages while two frames are localized."""
    watch = Recorder()
    counts = torch.poisson(torch.full((2, 40, 44), 120.0), generator=torch.Generator().manual_seed(0))
    model = Model(untrained_model(tiny_experiment(network=network), 0.9), device="cpu")
    model.localize(counts.numpy(), camera={"baseline": 100.0, "gain": 1.0}, refine=refine, watch=watch)
    return [text for text in watch.messages if "compiled" in text]


@pytest.fixture(autouse=True)
def single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the processor is fast in bfloat16, and nothing would be compiled for the network."""
    monkeypatch.setattr("deepstorm3d.localizer.inference.fast_bfloat16", lambda _: False)
    monkeypatch.setattr("deepstorm3d.localizer.precision.fast_bfloat16", lambda _: False)


@pytest.mark.filterwarnings("ignore::deepstorm3d.errors.DoubtfulResult")
def test_the_first_compilation_is_announced_and_no_later_one(kept: set[str]) -> None:
    assert told(WIDE, refine=False) == [NETWORK]
    assert told(WIDE, refine=True) == [NETWORK, FIT]
    kept.add("localizer")
    assert told(WIDE, refine=False) == []
    assert told(WIDE, refine=True) == [FIT]
    kept.add("fitting")
    assert told(WIDE, refine=True) == []


@pytest.mark.usefixtures("kept")
@pytest.mark.filterwarnings("ignore::deepstorm3d.errors.DoubtfulResult")
def test_a_network_that_needs_no_compiled_code_announces_nothing() -> None:
    for network in (
        CoarseSpec(channels=8, skip=4, dilations=(1,)),
        VoxelSpec(planes=20, upsampling=2, channels=8),
    ):
        assert told(network, refine=False) == []
    watch, small = Recorder(), torch.zeros(1, 4, 4)  # convolved directly: most of a tile would lie outside
    localizer = for_inference(build_localizer(tiny_experiment(network=WIDE)), half_precision=False)
    announce(localizer, small, watch)
    assert watch.messages == []
    announce(localizer, torch.zeros(1, 40, 44), watch)
    assert watch.messages == [NETWORK]
