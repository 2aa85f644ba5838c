"""What a GPU is asked for: operations and waits of the host a frame, counted on a real or pretended one.

Each operation costs the host some microseconds and each wait more, so their number decides the speed of a fit
on a GPU, not the arithmetic.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from fitting_scenes import DEPTH, scene
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from deepstorm3d.emitters import Localizations
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.refine import Bounds

# Operations that the host waits for: their result decides how many values follow.
WAITS = {"_local_scalar_dense", "nonzero", "_unique2", "bincount", "unique_consecutive", "repeat_interleave"}
FRAMES = 8


class Counted(TorchDispatchMode):
    """Counts operations that launch a kernel, and waits."""

    def __init__(self) -> None:
        super().__init__()
        self.launches = self.waits = 0

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        results = func._schema.returns
        view = bool(results) and all(
            each.alias_info is not None and not each.alias_info.is_write for each in results
        )
        masked = name == "index" and any(isinstance(i, Tensor) and i.dtype == torch.bool for i in args[1])
        self.waits += name in WAITS or masked
        self.launches += not (view or name.startswith(("empty", "new_empty", "detach")))
        return func(*args, **(kwargs or {}))


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda")
def test_the_fit_of_a_frame_keeps_to_its_budget_of_operations_and_waits() -> None:
    made = scene(5 * FRAMES, FRAMES, seed=3, dtype=torch.float32)
    start, likelihood = made.disturbed(0.03, 0.05), Likelihood(made.noisy(1).frames.to("cuda"))
    found = Localizations.proposals(start.xyz, start.frame, torch.ones(len(start)))
    found = replace(found, **{name: column.to("cuda") for name, column in found.columns().items()})
    psf = copy.deepcopy(made.psf).to("cuda")  # pyright: ignore[reportAttributeAccessIssue]
    fit = JointFit(psf, psf, Bounds(DEPTH), DEPTH)
    with Counted() as counted:
        table = fit(found, likelihood)
    assert len(table) == len(start)
    assert table.xyz.is_cuda
    # Measured, of a group of eight frames of five molecules: 896 and 10 a frame, 99 and 2 of them at the edges.
    assert counted.launches < 930 * FRAMES
    assert counted.waits < 12 * FRAMES


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda")
def test_frames_that_are_fitted_in_groups_of_one_price_come_back_in_their_order() -> None:
    made = scene(20, 4, seed=5, dtype=torch.float32)
    start, likelihood = made.disturbed(0.03, 0.05), Likelihood(made.noisy(1).frames.to("cuda"))
    found = Localizations.proposals(start.xyz, start.frame, torch.ones(len(start)))
    found = replace(found, **{name: column.to("cuda") for name, column in found.columns().items()})
    psf = copy.deepcopy(made.psf).to("cuda")  # pyright: ignore[reportAttributeAccessIssue]
    numbers = list[list[int]]()

    def network(frames: Tensor, frame: Tensor) -> Localizations:
        numbers.append(frame.tolist())
        return Localizations.empty("cuda")

    fit = JointFit(psf, psf, Bounds(DEPTH), DEPTH, network=network)
    together = fit.explain(found, likelihood)
    numbers.clear()
    apart = fit.explain(found, likelihood, torch.tensor([1.0, 90.0, 1.9, 64.0], device="cuda"))
    places = [
        [table.xyz[table.frame == frame].sort(0).values.cpu() for frame in range(4)]
        for table in (apart.localizations, together.localizations)
    ]
    assert float((torch.cat(places[0]) - torch.cat(places[1])).abs().max()) < 1e-3
    assert float((apart.misfit - together.misfit).abs().max()) < 1e-3
    assert all({*frame} <= {0, 2} or {*frame} <= {1, 3} for frame in numbers)
