"""Tiles of a window put together: each row of the list at most once, and none lost between two tiles."""

from __future__ import annotations

from dataclasses import replace

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
