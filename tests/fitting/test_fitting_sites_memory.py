"""Changes that are not made again and again."""

from __future__ import annotations

from dataclasses import replace

import torch
from test_fitting_sites import movie, true_sites

from deepstorm3d.fitting.sites.memory import Memory
from deepstorm3d.fitting.sites.state import Sites


def two_molecules() -> Sites:
    place = torch.tensor([[1.4, 1.5, 0.4], [1.7, 1.9, 0.6]])
    return true_sites(movie(place, [0, 1, 0, 1], [0, 0, 1, 1], [3000.0] * 4))


def test_looks_are_divided_from_others_once() -> None:
    sites, memory = two_molecules(), Memory()
    assert memory.divides(sites, torch.tensor([2]))
    assert memory.divides(sites, torch.tensor([0]))
    assert not memory.divides(sites, torch.tensor([2]))
    assert memory.divides(sites, torch.tensor([0, 2]))


def test_looks_found_later_in_one_frame_are_told_apart_by_their_molecules() -> None:
    sites, later = two_molecules(), torch.tensor([0, 1, -1, -1])
    for origin in (later, torch.full_like(later, -1)):  # and of molecules that were carried, without any row
        memory, found = Memory(), replace(sites, origin=origin)
        assert memory.divides(found, torch.tensor([2]))
        assert memory.divides(found, torch.tensor([3]))
        moved = replace(found, place=found.place + 0.001)
        assert not memory.divides(moved, torch.tensor([2]))
        assert not memory.divides(moved, torch.tensor([3]))


def test_what_was_removed_twice_is_not_found_again_there() -> None:
    sites, memory = two_molecules(), Memory()
    gone = torch.tensor([False, False, True, False])
    there = sites.place[sites.site[2]]
    places = torch.stack(
        [there, there + torch.tensor([0.05, 0, 0.1]), there, there + torch.tensor([0.2, 0, 0])]
    )
    images = torch.tensor([1, 1, 0, 1])
    assert memory.allows(places, images).all()
    memory.removes(sites, gone)
    assert memory.allows(places, images).all()
    memory.removes(sites, gone)
    # Another frame and another place are free.
    assert memory.allows(places, images).tolist() == [False, False, True, True]
