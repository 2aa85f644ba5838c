"""Memory that fits side by side have in common: which wait, which begin, and what they change."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, scene, table

from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import Interrupted
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.parallel import Stoppable
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.fitting.room import Room
from deepstorm3d.watch import SILENT, Watcher

PATIENCE_S = 20


def most_at_once(room: Room, needed: list[float], expected: int) -> int:
    """The largest number of works that were inside at a time, of these needs; it waits until so many are."""
    inside = most = 0
    change, all_there = threading.Lock(), threading.Event()

    def work(bytes_: float) -> None:
        nonlocal inside, most
        with room.of(bytes_, SILENT):
            with change:
                inside += 1
                most = max(most, inside)
                if inside == expected:
                    all_there.set()
            all_there.wait(PATIENCE_S)
            time.sleep(0.1)  # for one too many to come in
            with change:
                inside -= 1

    with ThreadPoolExecutor(len(needed)) as pool:
        list(pool.map(work, needed))
    return most


@pytest.mark.parametrize(("needed", "expected"), [(30.0, 3), (40.0, 2), (60.0, 1)])
def test_as_many_begin_as_there_is_room_for(needed: float, expected: int) -> None:
    assert most_at_once(Room(100), [needed] * 3, expected) == expected


def test_one_that_needs_more_than_there_is_begins_alone() -> None:
    assert most_at_once(Room(0), [1e12, 1e12], 1) == 1


def test_room_is_given_back_after_an_error() -> None:
    room = Room(100)
    with pytest.raises(ValueError, match="no fit"), room.of(80, SILENT):
        raise ValueError("no fit")
    assert most_at_once(room, [50.0, 50.0], 2) == 2


def test_a_wait_is_ended_by_the_watcher() -> None:
    room, watch = Room(100), Stoppable()

    def wait() -> None:
        with room.of(80, watch):
            raise AssertionError("it began without room")

    with ThreadPoolExecutor(1) as pool, room.of(80, SILENT):
        waiting = pool.submit(wait)
        watch.stop()
        with pytest.raises(Interrupted):
            waiting.result(PATIENCE_S)


def test_the_memory_of_a_fit_grows_with_molecules_unknowns_and_the_square_of_their_number() -> None:
    psf = table()
    fit = JointFit(psf, psf, Bounds(DEPTH), DEPTH)
    none, some, many = (fit.bytes_of((300, 300), number) for number in (0, 100, 10_000))
    # 23 splines along each axis; the derivatives of a molecule are an array of single precision at the least.
    assert none >= 8 * 23**4
    assert some - none > 100 * 4 * 4 * psf.patch_px**2
    assert many > 2 * 8 * (4 * 10_000) ** 2
    assert replace(fit, fit_blur=True).bytes_of((300, 300), 100) > some
    assert fit.bytes_of((100, 100), 0) < none


def test_a_fit_asks_for_the_memory_of_its_fullest_frame_and_finds_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = scene(6, 2, seed=3, dtype=torch.float32)
    start, likelihood = made.disturbed(0.03, 0.05), made.noisy(1)
    found = Localizations.proposals(start.xyz, start.frame, torch.ones(len(start)))
    fit, asked, before = JointFit(made.psf, made.psf, Bounds(DEPTH), DEPTH), list[float](), Room.of

    def listening(room: Room, needed: float, watch: Watcher) -> AbstractContextManager[None]:
        asked.append(needed)
        return before(room, needed, watch)

    monkeypatch.setattr(Room, "of", listening)
    shared = replace(fit, room=Room(0))(found, likelihood)
    assert torch.equal(shared.xyz, fit(found, likelihood).xyz)
    most = int(torch.bincount(found.frame).max())
    assert asked == [fit.bytes_of((likelihood.frames.shape[1], likelihood.frames.shape[2]), most)]
