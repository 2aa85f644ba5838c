"""Whether molecules last, decided on lists whose molecules rest, move, or shine in one frame only."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from deepstorm3d.emitters import Localizations
from deepstorm3d.localizing import lasting
from deepstorm3d.localizing.lasting import measure_lasting

SIGMA = torch.tensor([0.012, 0.012, 0.025])


def listed(
    molecules: int, life: int, *, step_um: float = 0.0, diffusing: bool = False, wrong: float = 1.0
) -> Localizations:
    """A list of molecules that shine for `life` frames from a random one of 100 on, in 13 × 13 × 1 µm.

    step_um: on x in a frame, as a walk where `diffusing`;  wrong: true errors over the σ in the list.
    """
    draw = torch.Generator().manual_seed(1)
    begin = torch.randint(0, 100, (molecules,), generator=draw)
    place = torch.rand(molecules, 3, generator=draw) * torch.tensor([13.0, 13.0, 1.0])
    frame = (begin[:, None] + torch.arange(life)).flatten()
    xyz = place.repeat_interleave(life, 0)
    walk = (
        torch.randn(molecules, life, generator=draw).cumsum(1)
        if diffusing
        else torch.arange(life).expand(molecules, life)
    )
    xyz[:, 0] += step_um * walk.flatten()
    # A molecule's last frame is dimmer, and its place there less sure.
    dim = torch.where(torch.arange(life) == life - 1, 2.0, 1.0).repeat(molecules)[:, None]
    sigma = SIGMA * dim
    xyz = xyz + wrong * sigma * torch.randn(len(xyz), 3, generator=draw)
    made = Localizations.proposals(xyz, frame, torch.ones(len(frame)))
    return replace(made, sigma_xyz=sigma, sigma_source="fit").sort()


def test_molecules_that_shine_in_several_frames_last() -> None:
    found = measure_lasting(listed(400, 3))
    assert found.lasts and not found.moving
    # Two of three rows have a partner in the next frame.
    assert found.partners == pytest.approx(2 / 3, abs=0.03)
    assert found.chance < 0.02
    assert found.rest == pytest.approx(1.0, abs=0.15)
    assert "66." in found.in_words() or "65." in found.in_words()


@pytest.mark.parametrize("wrong", [0.7, 1.5])
def test_wrong_sigma_do_not_look_like_movement(wrong: float) -> None:
    found = measure_lasting(listed(400, 3, wrong=wrong))
    assert found.lasts
    assert found.rest == pytest.approx(1.0, abs=0.2)


def test_molecules_of_one_frame_do_not_last() -> None:
    found = measure_lasting(listed(1200, 1))
    assert not found.lasts
    assert found.partners == pytest.approx(found.chance, abs=0.02)


def test_few_that_last_are_not_worth_a_fit_over_frames() -> None:
    once, twice = listed(900, 1), listed(250, 2)
    found = measure_lasting(Localizations.concat([once, twice]).sort())
    assert found.partners == pytest.approx(250 / 1400, abs=0.03)
    assert found.lasts_briefly and not found.lasts
    assert not measure_lasting(once).lasts_briefly
    assert not measure_lasting(listed(400, 3)).lasts_briefly
    assert not measure_lasting(listed(400, 2, step_um=0.2)).lasts_briefly


@pytest.mark.parametrize(("step_um", "diffusing"), [(0.03, False), (0.2, False), (0.06, True)])
def test_molecules_that_move_are_left_to_their_frames(step_um: float, diffusing: bool) -> None:
    found = measure_lasting(listed(400, 6, step_um=step_um, diffusing=diffusing))
    assert not found.lasts
    if step_um < 0.1:
        assert found.moving and found.in_words().endswith("but the molecules move")


@pytest.mark.parametrize("step_um", [0.04, 0.06, 0.08, 0.1, 0.15, 0.25])
@pytest.mark.parametrize(("molecules", "life"), [(60, 3), (400, 6)])
def test_steps_beyond_sigma_are_no_rest_however_few_rows_tell(
    step_um: float, molecules: int, life: int
) -> None:
    found = measure_lasting(listed(molecules, life, step_um=step_um))
    assert not found.lasts
    if step_um > 0.1:
        # Hardly any partner is where σ looks for it.
        assert found.partners < 0.1 and found.strides > 0.4
        assert found.moving and "farther away than σ says" in found.in_words()


def test_neighbours_in_a_crowd_are_no_strides() -> None:
    crowd = listed(400, 3)
    crowd = replace(crowd, xyz=crowd.xyz * torch.tensor([0.15, 0.15, 1.0]))
    found = measure_lasting(crowd)
    assert found.strides < 0.15 * found.partners


def test_a_few_rows_decide_nothing() -> None:
    assert not measure_lasting(listed(3, 3)).lasts
    assert not measure_lasting(Localizations.empty()).lasts


def test_long_lists_are_judged_by_stretches_of_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    table = listed(1000, 4)
    monkeypatch.setattr(lasting, "_MOST_ROWS", 1000)
    found = measure_lasting(table)
    assert found.rows < 0.4 * len(table)
    assert found.lasts
