"""Tiles of a window put together: each row of the list at most once, and none lost between two tiles."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from deepstorm3d.emitters import Localizations
from deepstorm3d.fitting.sites.joined import Part, joined

# The list: one molecule in frames 0 to 2, at 0.99, 1.01 and 1.01 µm, on both sides of the edge x = 1 µm, and
# another far from it, at 3 µm.
FRAME = [0, 1, 2, 0]


def part(
    x: list[float], looks: list[tuple[int, int, int]], near: list[bool], own: list[bool], carried: int = 0
) -> Part:
    """A tile with sites at x (µm), the first ones of them carried;  looks: site, frame and row of the list."""
    site, frame, origin = (torch.tensor(column) for column in zip(*looks, strict=True))
    place = torch.tensor([[value, 0.5, 0.5] for value in x]).double()
    rows = Localizations.proposals(place[site].float(), frame, torch.ones(len(site)))
    rows = replace(rows, sigma_xyz=torch.full((len(site), 3), 0.01), sigma_source="fit")
    number = torch.full((len(x),), -1)
    number[:carried] = torch.arange(carried)
    covariance = torch.diag(torch.arange(1, 3 * len(x) + 1).double())
    return Part(rows, site, origin, torch.tensor(near), place, number, torch.tensor(own), covariance)


def rows_of(parts: list[Part], carried: int = 0) -> list[tuple[int, int, float]]:
    """Frame, site and x of each row, in order of frame."""
    window = joined(parts, carried)
    assert torch.equal(window.place[window.site, :3].float(), window.rows.xyz)
    told: list[Tensor] = [sites for sites, _ in window.blocks]
    assert torch.cat(told).sort().values.tolist() == list(range(len(window)))
    x = [round(value, 3) for value in window.rows.xyz[:, 0].tolist()]
    return list(zip(window.rows.frame.tolist(), window.site.tolist(), x, strict=True))


def test_tiles_that_agree_give_each_molecule_from_its_own_tile() -> None:
    left = part([1.0], [(0, 0, 0), (0, 1, 1), (0, 2, 2)], [True, False, False], [True])
    looks = [(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 0, 3)]
    right = part([1.001, 3.0], looks, [False, True, True, True], [False, True])
    assert rows_of([left, right]) == [(0, 0, 1.0), (0, 1, 3.0), (1, 0, 1.0), (2, 0, 1.0)]


def test_a_molecule_that_two_tiles_tie_differently_comes_once() -> None:
    # The right tile does not tie the first row to the others, so that both tiles own a site with them.
    left = part([1.0], [(0, 0, 0), (0, 1, 1), (0, 2, 2)], [True, False, False], [True])
    right = part([0.99, 1.01], [(0, 0, 0), (1, 1, 1), (1, 2, 2)], [False, True, True], [False, True])
    assert rows_of([left, right]) == [(0, 0, 1.0), (1, 0, 1.0), (2, 0, 1.0)]


def test_rows_that_no_tile_owns_are_not_lost() -> None:
    # The left tile does not tie the rows, the right one does: its site begins in the left core.
    left = part([0.99, 1.01], [(0, 0, 0), (1, 1, 1), (1, 2, 2)], [True, False, False], [True, False])
    right = part([1.0], [(0, 0, 0), (0, 1, 1), (0, 2, 2)], [False, True, True], [False])
    assert rows_of([left, right]) == [(0, 0, 0.99), (1, 1, 1.0), (2, 1, 1.0)]
    # A row that its own tile has removed stays removed.
    right = part([0.99], [(0, 0, 0)], [False], [False])
    assert rows_of([left, right]) == [(0, 0, 0.99)]


def test_looks_that_both_tiles_found_later_come_once_and_carried_molecules_stay() -> None:
    left = part([1.0], [(0, 0, 0), (0, 1, -1)], [True, False], [True])
    right = part([0.5, 1.02], [(1, 1, 1), (1, 2, -1)], [True, False], [True, True], carried=1)
    # The right tile has the row that the left one found as a look of the first.
    assert rows_of([left, right], 1) == [(0, 1, 1.0), (1, 1, 1.0), (2, 2, 1.02)]
    window = joined([left, right], 1)
    assert window.place[0, 0] == 0.5 and window.sigma[0, 0] == 1.0


def test_rows_tied_to_a_carried_molecule_of_another_tile_are_not_lost() -> None:
    # The left tile ties the first row to the carried molecule, the right one's; the right tile does not.
    left = part([1.013, 3.0], [(0, 0, 0), (1, 0, 3)], [True, True], [False, True], carried=1)
    right = part([1.01, 0.99], [(0, 1, 1), (1, 0, 0)], [True, False], [True, False], carried=1)
    for tiles in ([left, right], [right, left]):
        assert sorted(rows_of(tiles, 1)) == [(0, 0, 1.01), (0, 1, 3.0), (1, 0, 1.01)]
        window = joined(tiles, 1)
        tied = (window.rows.frame == 0) & (window.site == 0)
        torch.testing.assert_close(window.rows.sigma_xyz[tied], torch.tensor([[1.0, 2.0, 3.0]]).sqrt())


def test_a_row_in_a_frame_in_which_the_carried_molecule_has_another_is_one_of_its_own() -> None:
    left = part([0.8], [(0, 0, 0), (0, 2, 2)], [True, True], [False], carried=1)
    right = part([1.3], [(0, 0, 1)], [True], [True], carried=1)
    assert rows_of([left, right], 1) == [(0, 1, 0.8), (0, 0, 1.3), (2, 0, 1.3)]


def test_the_looks_of_two_tiles_are_compared_near_the_edge_and_not_each_with_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw, cdist, many = torch.Generator().manual_seed(0), torch.cdist, 400

    def refused(one: Tensor, other: Tensor, **_: object) -> Tensor:
        raise AssertionError(f"a table of {len(one)} by {len(other)} distances")

    monkeypatch.setattr(torch, "cdist", refused)
    looks = [[(k, int(f), -1) for k, f in enumerate(torch.randint(3, (many,), generator=draw))] for _ in "ab"]
    # Found later by both, side by side along x: 0 to 4 µm in one tile and 3 to 7 µm in the other.
    x = [(3.0 * tile + 4.0 * torch.rand(many, generator=draw)).double() for tile in range(2)]
    left, right = (
        part(one.tolist(), two, [True] * many, [True] * many) for one, two in zip(x, looks, strict=True)
    )
    window = joined([left, right], 0)
    frame = [each.rows.frame for each in (left, right)]
    same = (cdist(x[1][:, None], x[0][:, None]) <= 0.1) & (frame[1][:, None] == frame[0])
    assert 0 < int(same.any(1).sum()) < many
    assert len(window.rows) == 2 * many - int(same.any(1).sum())
