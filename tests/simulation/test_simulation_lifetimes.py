"""Molecules that shine through several frames of a scene: their lives, numbers and light."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from deepstorm3d.emitters import Emitters
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import changed
from deepstorm3d.experiment.presets import preset
from deepstorm3d.simulation import (
    EmitterPrior,
    ExponentialBlinking,
    Field,
    FixedCount,
    FixedPhotons,
    Scene,
    UniformCount,
)
from deepstorm3d.simulation.backgrounds import UniformBackground
from deepstorm3d.simulation.specimen import Specimen
from deepstorm3d.spec import to_yaml

FIELD = Field(height=121, width=121, pixel_um=0.11)
LIFE = 3.0


def prior(**given: Any) -> EmitterPrior:
    told = {
        "count": FixedCount(count=20),
        "photons": FixedPhotons(photons=30_000.0),
        "blinking": ExponentialBlinking(mean_frames=LIFE),
    }
    return EmitterPrior(**(told | given))


def movie(frames: int = 3000, seed: int = 0, **given: Any) -> Emitters:
    return prior(**given).draw_movie(frames, FIELD, torch.Generator().manual_seed(seed))


def whole_lives(table: Emitters, frames: int) -> Emitters:
    """Rows of the molecules that have no light in the first and last 40 frames: none of it is lost."""
    count = int(table.id.max()) + 1
    first = torch.full((count,), frames).scatter_reduce(0, table.id, table.frame, "amin")
    last = torch.zeros(count, dtype=torch.int64).scatter_reduce(0, table.id, table.frame, "amax")
    inner = (first >= 40) & (last < frames - 40)
    return table.select(inner[table.id])


def test_the_mean_number_in_a_frame_is_the_count_from_the_first_frame_to_the_last():
    counts = torch.stack([torch.bincount(movie(60, seed).frame, minlength=60) for seed in range(200)]).double()
    assert counts.mean().item() == pytest.approx(20, rel=0.02)
    for end in (counts[:, 0], counts[:, -1]):
        assert end.mean().item() == pytest.approx(20, rel=0.06)
        # Poisson, as of molecules that know nothing of each other.
        assert end.var().item() == pytest.approx(20, rel=0.3)


def test_a_uniform_count_gives_its_mean_number():
    table = movie(3000, count=UniformCount(low=10, high=20))
    assert len(table) / 3000 == pytest.approx(15, rel=0.05)


def test_the_photons_of_a_molecule_sum_to_what_it_has_in_all():
    table = whole_lives(movie(), 3000)
    total = torch.zeros(int(table.id.max()) + 1, dtype=torch.float64).index_add(
        0, table.id, table.photons.double()
    )
    seen = total[table.id.unique()]
    assert len(seen) > 5000
    torch.testing.assert_close(seen, torch.full_like(seen, 30_000.0), rtol=1e-5, atol=0)


def test_lives_are_exponential_and_have_light_in_one_frame_more_than_their_mean():
    table = whole_lives(movie(6000), 6000)
    rows = torch.bincount(table.id)[table.id.unique()].double()
    assert rows.mean().item() == pytest.approx(LIFE + 1, rel=0.03)
    # A life of t frames touches more than k frames only if it crosses k borders; the first lies anywhere.
    # P(rows = 1) = E[max(0, 1 − t)] = 1 − τ (1 − exp(−1/τ)).
    alone = 1 - LIFE * (1 - float(torch.exp(torch.tensor(-1 / LIFE))))
    assert (rows == 1).double().mean().item() == pytest.approx(alone, abs=0.01)
    full = table.select(rows_inside(table))
    # A frame in the middle of a life of t frames has 1/t of the light: t = photons in all / photons there.
    lives = {int(who): 30_000 / float(light) for who, light in zip(full.id, full.photons, strict=True)}
    long = torch.tensor([life for life in lives.values() if life > 2])
    # Beyond any age the rest of an exponential life has the same mean.
    assert (long - 2).mean().item() == pytest.approx(LIFE, rel=0.05)


def rows_inside(table: Emitters) -> torch.Tensor:
    """Rows that are neither the first nor the last of their molecule."""
    count = int(table.id.max()) + 1
    first = torch.full((count,), 10**9).scatter_reduce(0, table.id, table.frame, "amin")
    last = torch.zeros(count, dtype=torch.int64).scatter_reduce(0, table.id, table.frame, "amax")
    return (table.frame > first[table.id]) & (table.frame < last[table.id])


def test_first_and_last_frames_are_dim_and_those_between_alike():
    table = whole_lives(movie(500), 500)
    for who in table.id.unique()[:100]:
        rows = table.select(table.id == who)
        assert rows.frame.diff().eq(1).all() and rows.xyz.unique(dim=0).shape == (1, 3)
        if len(rows) > 2:
            middle = rows.photons[1:-1]
            torch.testing.assert_close(middle, middle[:1].expand_as(middle), rtol=1e-4, atol=0.0)
            assert rows.photons[[0, -1]].max() <= middle[0] * (1 + 1e-4)


def test_a_block_of_frames_is_the_same_however_the_movie_is_cut():
    scene = Scene(emitters=prior())
    drawn = []
    for cuts in ([0, 50], [0, 7, 8, 31, 50]):
        generator = torch.Generator().manual_seed(4)
        draw = Specimen().draw_of(scene, FIELD, None, 50, generator)
        parts = [draw(start, stop - start)[0] for start, stop in itertools.pairwise(cuts)]
        for part, (start, stop) in zip(parts, itertools.pairwise(cuts), strict=True):
            assert part.frame.min() >= start and part.frame.max() < stop
        drawn.append(Emitters.concat(parts))
    for name, column in drawn[0].columns().items():
        assert torch.equal(column, drawn[1].columns()[name])


def test_frames_for_training_show_other_molecules_each():
    table = prior().draw(400, FIELD, torch.Generator().manual_seed(0))
    assert len(table.id.unique()) == len(table) and table.frame.diff().ge(0).all()
    assert len(table) / 400 == pytest.approx(20, rel=0.05)
    # A mean share of 1 / (mean life + 1) of the light, and the same for draws of the light alone.
    assert table.photons.mean().item() == pytest.approx(prior().mean_photons, rel=0.03)
    alone = prior().photons_in_frame(20_000, torch.Generator().manual_seed(1))
    assert alone.mean().item() == pytest.approx(prior().mean_photons, rel=0.03)
    assert alone.median().item() == pytest.approx(prior().median_photons, rel=0.05)
    assert prior().mean_photons == pytest.approx(30_000 / (LIFE + 1))


def test_molecules_that_last_lie_on_structures_too():
    scene = Scene(emitters=prior(z_um=(2.0, 4.0)))
    generator = torch.Generator().manual_seed(0)
    draw = Specimen(structure="filaments").draw_of(scene, FIELD, None, 400, generator)
    table = draw(0, 400)[0]
    assert len(table) / 400 == pytest.approx(20, rel=0.1)
    shared = table.select(table.id == table.id.mode().values)
    assert len(shared) > 5 and shared.xyz.unique(dim=0).shape == (1, 3)


def test_without_blinking_the_draws_are_those_of_earlier_versions():
    table = EmitterPrior().draw(3, FIELD, torch.Generator().manual_seed(5))
    assert torch.equal(table.id, torch.arange(len(table)))
    again = EmitterPrior().draw_movie(3, FIELD, torch.Generator().manual_seed(5))
    assert torch.equal(table.xyz, again.xyz) and torch.equal(table.photons, again.photons)


def test_an_experiment_file_says_how_molecules_blink():
    plain = preset("density-study")
    name = next(iter(plain.scenes))
    path = f"scenes.{name}.emitters.blinking"
    mapping = plain.to_mapping()
    there = changed(mapping, [f"{path}.kind=exponential", f"{path}.mean_frames=5"], source="test")
    assert there.scene().emitters.blinking == ExponentialBlinking(mean_frames=5)
    assert "kind: exponential" in to_yaml(there, "")
    with pytest.raises(InputError, match="mean_frames"):
        changed(mapping, [f"{path}.kind=exponential", f"{path}.mean_frames=0"], source="test")
    del mapping["scenes"][name]["emitters"]["blinking"]
    assert Experiment.model_validate(mapping) == plain


@pytest.mark.parametrize("steady", [True, False])
def test_a_movie_of_molecules_that_last_has_one_background_unless_the_scene_says(steady: bool) -> None:
    emitting = EmitterPrior(count=FixedCount(count=2), blinking=ExponentialBlinking(), margin_px=(0.0, 0.0))
    scene = Scene(
        emitters=emitting, background=UniformBackground(low=10.0, high=200.0), steady_background=steady
    )
    generator = torch.Generator().manual_seed(0)
    draw = Specimen().draw_of(scene, Field(16, 16, 0.1), None, 12, generator)
    levels = torch.cat([draw(start, 4)[1] for start in (0, 4, 8)]).mean((1, 2))
    assert len(levels) == 12 and (float(levels.std()) == 0) is steady
