"""Only the newest question matters, and no question is left without an answer."""

from __future__ import annotations

import threading
import time

import pytest

from deepstorm3d.errors import InputError
from deepstorm3d.studio.latest import Latest
from deepstorm3d.watch import Watcher, advance


def test_a_newer_question_stops_the_work_on_the_old_one():
    began, seen = threading.Event(), []

    def work(question: int, watch: Watcher) -> int:
        seen.append(question)
        began.set()
        while question == 1:
            advance(watch)
            time.sleep(0.001)
        return 10 * question

    latest: Latest[int, int] = Latest(work)
    latest.ask(1)
    assert began.wait(5)
    latest.ask(2)
    latest.ask(3)
    answer = latest.wait(5)
    assert (answer.question, answer.result) == (3, 30)
    assert seen == [1, 3]
    assert not latest.busy


def test_an_error_is_an_answer_and_the_next_question_is_answered_again():
    def work(question: int, watch: Watcher) -> int:
        if question < 0:
            raise InputError("below 0")
        return question

    latest: Latest[int, int] = Latest(work)
    latest.ask(-1)
    assert isinstance(latest.wait(5).error, InputError)
    latest.ask(4)
    assert latest.wait(5).result == 4


def test_stopping_keeps_the_answer_before():
    def work(question: int, watch: Watcher) -> int:
        while question == 2:
            advance(watch)
            time.sleep(0.001)
        return question

    latest: Latest[int, int] = Latest(work)
    latest.ask(1)
    latest.wait(5)
    latest.ask(2)
    latest.stop()
    assert latest.wait(5).result == 1


def test_progress_is_told_and_counts_as_a_change():
    told = threading.Event()

    def work(question: int, watch: Watcher) -> int:
        watch.progress(3, 8, "rounds")
        told.set()
        while not watch.stopped:
            time.sleep(0.001)
        return question

    latest: Latest[int, int] = Latest(work)
    before = latest.changes
    latest.ask(1)
    assert told.wait(5)
    assert (latest.done, latest.total, latest.note) == (3, 8, "rounds")
    assert latest.changes > before
    latest.stop()


def test_all_work_is_ended_at_once():
    def work(question: int, watch: Watcher) -> int:
        while True:
            advance(watch)
            time.sleep(0.001)

    several: list[Latest[int, int]] = [Latest(work) for _ in range(3)]
    for latest in several:
        latest.ask(1)
    Latest.end_all(5)
    assert not any(latest.busy for latest in several)


def test_without_a_question_there_is_no_answer_to_wait_for():
    latest: Latest[int, int] = Latest(lambda question, watch: question)
    with pytest.raises(TimeoutError):
        latest.wait(0.01)
