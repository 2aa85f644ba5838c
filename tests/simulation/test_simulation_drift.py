"""A creeping stage: where it begins, how far it goes, how smooth it is."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.simulation.stage_drift import smooth_drift


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(5))
def test_it_begins_at_0_and_spans_what_was_asked_for(seed: int):
    curve = smooth_drift(500, (0.3, 0.2, 0.1), generator(seed))
    assert curve.shape == (500, 3)
    assert torch.equal(curve[0], torch.zeros(3))
    assert torch.allclose(curve.amax(0) - curve.amin(0), torch.tensor([0.3, 0.2, 0.1]), atol=1e-5)
    # No jumps: at most some ten times the mean step.
    steps = curve.diff(dim=0).abs()
    assert bool((steps.amax(0) < 10 * torch.tensor([0.3, 0.2, 0.1]) / 500).all())


def test_the_same_seed_gives_the_same_path_and_another_another():
    assert torch.equal(
        smooth_drift(50, (0.3, 0.3, 0.2), generator()), smooth_drift(50, (0.3, 0.3, 0.2), generator())
    )
    assert not torch.equal(
        smooth_drift(50, (0.3, 0.3, 0.2), generator()), smooth_drift(50, (0.3, 0.3, 0.2), generator(1))
    )


def test_one_frame_does_not_drift_and_no_reach_is_no_drift():
    assert torch.equal(smooth_drift(1, (0.3, 0.3, 0.2), generator()), torch.zeros(1, 3))
    assert torch.equal(smooth_drift(9, (0.0, 0.0, 0.0), generator()), torch.zeros(9, 3))


def test_a_negative_reach_is_refused():
    with pytest.raises(ValueError, match="negative"):
        smooth_drift(9, (-0.1, 0.0, 0.0), generator())
