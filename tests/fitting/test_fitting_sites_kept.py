"""Sites handed from window to window: as rows, and with the information about them where they are fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from deepstorm3d.chip import Region
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import Interrupted
from deepstorm3d.field import Field
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.fitting.sites import tiles
from deepstorm3d.fitting.sites.fit import SitesFound, SitesOfFrames
from deepstorm3d.fitting.sites.kept import KeptSites
from deepstorm3d.fitting.sites.start import Carried
from deepstorm3d.fitting.sites.state import Sites
from deepstorm3d.fitting.sites.windows import FoundBlock, SitesOverMovie
from watchers import Recorder

FIELD = Field(400, 512, 0.1)
BEGIN, BLOCK = 30, 50  # first frame of the window, and sites that were fitted together before
BOUNDS = Bounds((-10.0, 10.0))


def kept(sites: int) -> KeptSites:
    """Sites all over the field that shone in frames 28 and 29, fitted before in tiles of some sites each."""
    draw = torch.Generator().manual_seed(0)
    place = torch.rand(sites, 3, generator=draw).double() * torch.tensor([40.0, 51.2, 1.0])
    factor = torch.randn(sites // BLOCK, 3 * BLOCK, 6 * BLOCK, generator=draw).double()
    number = torch.arange(sites)
    return KeptSites(
        number=number,
        first=number * 0 + 20,
        last=28 + number % 2,
        place=place,
        block=number // BLOCK,
        within=number % BLOCK,
        covariances=tuple(1e-6 * factor @ factor.mT),
        next_number=sites,
        waiting=None,
    )


@dataclass(frozen=True)
class Unchanged:
    """A fit that leaves the sites as they are, and finds none."""

    dark: int = 1
    reach_px: int = 10
    bounds: Bounds = BOUNDS

    def of_rows(self, rows: float) -> Unchanged:
        return self

    def of_field(self, field: Field) -> Unchanged:
        return self

    def tile(
        self, field: Field, region: Region, likelihood: object, others: Localizations
    ) -> tuple[Unchanged, object]:
        return self, likelihood

    def after_others(self, found: Localizations, likelihood: object, carried: Carried | None) -> SitesOfFrames:
        assert carried is not None
        none, few = torch.zeros(0, dtype=torch.int64), torch.zeros(0).double()
        sites = Sites(carried.place, none, none, few, none, (), none > 0)
        rows = SitesFound(found, few, 0, 0, 0, 0, settled=True)
        return SitesOfFrames(rows, sites, torch.linalg.inv(carried.information), none, none)


def test_no_matrix_of_a_window_grows_with_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    inverted: list[int] = []
    inverse = torch.linalg.inv_ex

    def counted(matrix: Tensor) -> object:
        inverted.append(len(matrix))
        return inverse(matrix)

    monkeypatch.setattr(torch.linalg, "inv_ex", counted)
    monkeypatch.setattr(tiles, "_MOST_SITES", 80)
    before = kept(600)
    nothing = replace(Localizations.empty(), sigma_source="fit")
    window = tiles.fit_window(Unchanged(), nothing, (), before, BEGIN, FIELD)
    assert len(inverted) > 8 and max(inverted) <= 3 * 80
    # Every site is there, as it was.
    torch.testing.assert_close(window.place, before.place, rtol=0, atol=1e-12)
    torch.testing.assert_close(window.sigma, before.rows(BEGIN).sigma_xyz, rtol=1e-6, atol=0)


def test_as_rows_sites_have_their_place_last_frame_and_sigma() -> None:
    before, chosen = kept(200), torch.tensor([180, 3, 77, 4])
    rows = before.rows(BEGIN)
    assert rows.frame.tolist() == [-2, -1] * 100
    assert torch.equal(rows.xyz, before.place)
    covariance = torch.block_diag(*before.covariances)
    assert torch.equal(rows.sigma_xyz, covariance.diagonal().sqrt().view(-1, 3))
    carried = before.carried(chosen, BEGIN, torch.tensor([1.0, 2.0, 0.0]))
    assert torch.equal(carried.rows.sigma_xyz, rows.sigma_xyz[chosen])
    assert torch.equal(carried.rows.frame, rows.frame[chosen])
    assert torch.equal(carried.rows.xyz, carried.place)
    torch.testing.assert_close(carried.place, before.place[chosen] - torch.tensor([1.0, 2.0, 0.0]).double())


def test_of_a_window_in_tiles_each_tile_is_told_and_the_work_can_end_between_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiles, "_MOST_SITES", 80)
    nothing = replace(Localizations.empty(), sigma_source="fit")
    block = FoundBlock(BEGIN, nothing, Likelihood(torch.zeros(30, 2, 2)))
    over, watch = SitesOverMovie(Unchanged(), 30, FIELD), Recorder()
    (step,) = over.steps([block], kept(600), watch)
    assert step.end == 60
    # In frames of the movie, of the end of the window.
    assert len(watch.steps) > 8 and {total for _, total, _ in watch.steps} == {60}
    assert watch.done == sorted(watch.done) and watch.done[0] == 30 and 55 < watch.done[-1] < 60
    with pytest.raises(Interrupted):
        list(over.steps([block], kept(600), Recorder(stop_at=3)))
