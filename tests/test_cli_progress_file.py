"""DEEPSTORM3D_PROGRESS: how far a command is, in a file for other programs."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
from rich.console import Console

from deepstorm3d.cli import progress_file
from deepstorm3d.cli.progress import ScreenWatcher
from deepstorm3d.cli.progress_file import PROGRESS_VARIABLE, ProgressFile, Told, read_progress


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the environment names."""
    path = tmp_path / "progress.json"
    monkeypatch.setenv(PROGRESS_VARIABLE, str(path))
    return path


def watcher(unit: str = "frames", screen: io.StringIO | None = None) -> ScreenWatcher:
    return ScreenWatcher(unit, console=Console(file=screen or io.StringIO(), width=300))


def test_rate_and_time_left_are_those_of_the_screen(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 102.0, 102.5, 102.6, 110.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with watcher() as watch:
        watch.progress(0, 40)
        assert read_progress(told) == Told(0, 40, "frames")
        watch.progress(10, 40, "loss 2")
        assert read_progress(told) == Told(10, 40, "frames", "loss 2", 5.0, 6.0)
        watch.message("warning: look (`pixel_um`)")
        expected = Told(10, 40, "frames", "loss 2", 5.0, 6.0, "warning: look (--pixel-nm)")
        assert read_progress(told) == expected
        # A moment after the last writing it waits ...
        watch.progress(11, 40)
        assert read_progress(told) == expected
    # ... and is not lost.
    last = read_progress(told)
    assert last is not None and last.done == 11 and last.message == expected.message
    assert list(told.parent.glob("progress.json?*")) == []


def test_the_last_step_is_written_at_once(told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 7.0)
    with watcher("steps") as watch:
        for done in (1, 2, 3):
            watch.progress(done, 3)
        assert read_progress(told) == Told(3, 3, "steps")


def test_a_reader_never_sees_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ProgressFile(tmp_path / "progress.json")
    seen = []
    replace = progress_file.os.replace

    def looked_at(source: Path, target: Path) -> None:
        seen.append(read_progress(target))
        replace(source, target)
        seen.append(read_progress(target))

    monkeypatch.setattr(progress_file.os, "replace", looked_at)
    for done in range(3):
        file.tell(Told(done, 10, "frames", "x" * 10_000 * done), float(done))
    assert [None if each is None else each.done for each in seen] == [None, 0, 0, 1, 1, 2]


def test_a_file_that_cannot_be_written_is_told_once_and_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROGRESS_VARIABLE, str(tmp_path / "nowhere" / "progress.json"))
    with watcher(screen=(screen := io.StringIO())) as watch:
        watch.progress(1, 2)
        watch.message("hello")
        watch.progress(2, 2)
    said = screen.getvalue()
    assert said.count("cannot write the progress to") == 1 and PROGRESS_VARIABLE in said
    assert "hello" in said and "2/2 frames" in said


def test_without_the_variable_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROGRESS_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    with watcher() as watch:
        watch.progress(1, 2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "[1]", '{"done": 1', '{"done": 1}'])
def test_what_is_no_progress_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    assert read_progress(tmp_path / "p.json") is None


def test_what_is_written_is_plain_json(tmp_path: Path) -> None:
    ProgressFile(path := tmp_path / "p.json").tell(Told(1, 2, "frames", "µ", None, None, ""), 0.0)
    assert json.loads(path.read_text()) == {
        **{"done": 1, "total": 2, "unit": "frames", "note": "µ"},
        **{"per_second": None, "seconds_left": None, "message": ""},
    }
