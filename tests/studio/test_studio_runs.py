"""Runs of the studio: real commands that outlive the server, are stopped, resumed, and fail with a reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deepstorm3d.errors import InputError
from deepstorm3d.file_lock import held, take
from deepstorm3d.studio.runs.commands import as_typed, clashing, output_of
from deepstorm3d.studio.runs.places import RunPlaces
from deepstorm3d.studio.runs.record import Run, read_run
from deepstorm3d.studio.runs.shelf import Shelf
from full_disk import files_at_most
from short_runs import training, wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and locks of other systems")


@pytest.fixture
def shelf(tmp_path: Path):
    """An empty shelf; whatever was left at work on it is ended."""
    shelf = Shelf(tmp_path)
    yield shelf
    for run in shelf.runs():
        shelf.stop(run.id, at_once=True)
        wait_for(lambda id=run.id: not shelf.run(id).alive, "the end of a run")


def ended(shelf: Shelf, id: str) -> Run:
    return wait_for(lambda: None if (run := shelf.run(id)).alive else run, f"the end of {id}")


def steps_done(shelf: Shelf, id: str) -> int:
    run = shelf.run(id)
    assert run.alive, (run.reason, shelf.log(id))
    return run.told.done if run.told is not None else 0


def test_a_command_runs_to_its_end_and_its_words_are_in_the_log(shelf: Shelf) -> None:
    run = shelf.start(["--version"], "version")
    run = ended(shelf, run.id)
    assert (run.state, run.title, run.command) == ("finished", "version", "deepstorm3d --version")
    assert shelf.log(run.id).splitlines()[0] == "$ deepstorm3d --version"
    assert shelf.log(run.id).splitlines()[1].startswith("deepstorm3d ")
    assert run.ended is not None and run.ended >= run.started
    assert shelf.runs() == [run]


@pytest.mark.parametrize(
    ("written", "state"),
    [
        ("{}", "lost"),
        ('{"status": "?", "time": 1}', "lost"),
        ('{"status": -40, "time": 1, "free_bytes": 1e12}', "failed"),
    ],
)
def test_a_damaged_record_of_an_end_spoils_no_list_of_runs(shelf: Shelf, written: str, state: str) -> None:
    ended(shelf, shelf.start(["--version"], "version").id)
    (kept,) = shelf.folder.rglob("ended.json")
    kept.write_text(written)
    (found,) = Shelf(shelf.folder).runs()
    assert found.state == state
    assert state == "lost" or "signal 40" in found.reason


def test_a_mistake_is_told_in_the_words_of_the_program(shelf: Shelf) -> None:
    run = shelf.start(["train", "nowhere.yaml", "--out", "model.pt"], "training")
    run = ended(shelf, run.id)
    assert run.state == "failed"
    assert run.reason.startswith("error:") and "nowhere.yaml" in run.reason


def test_a_usage_error_is_told_without_the_frame_around_it(shelf: Shelf) -> None:
    run = ended(shelf, shelf.start(["localize", "-5um.tif", "--out", "found.hdf5"], "localizing").id)
    assert run.state == "failed"
    assert "No such option: -5" in run.reason and not set("╭│╰─") & set(run.reason)


def test_who_looks_while_a_run_is_resumed_does_not_keep_its_earlier_end(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended(shelf, shelf.start(["train", "nowhere.yaml", "--out", "model.pt"], "training").id)
    reserve, unlink = RunPlaces.reserve_ended, Path.unlink

    def looked(act, *arguments, **options):
        # A page looks before and after each step of the start.
        shelf.runs()
        act(*arguments, **options)
        shelf.runs()

    monkeypatch.setattr(RunPlaces, "reserve_ended", lambda places: looked(reserve, places))
    monkeypatch.setattr(Path, "unlink", lambda path, **options: looked(unlink, path, **options))
    again = shelf.resume(run.id)
    assert again.state == "running" and again.ended is None
    assert shelf.runs() == [again] or not shelf.run(run.id).alive
    assert ended(shelf, run.id).ended > run.ended


def test_stopped_and_resumed_it_ends_as_if_nothing_had_been(shelf: Shelf) -> None:
    run = shelf.start(training("model.pt", 400), "training")
    wait_for(lambda: steps_done(shelf, run.id) >= 3, "some steps")
    shelf.stop(run.id)
    run = ended(shelf, run.id)
    assert run.state == "stopped" and run.resumable and run.told is not None
    done = run.told.done
    assert 3 <= done < 400
    assert (shelf.folder / "model.checkpoint").exists() and not (shelf.folder / "model.pt").exists()

    again = shelf.resume(run.id)
    assert again.id == run.id and again.alive
    first = wait_for(lambda: steps_done(shelf, run.id), "the first step after it")
    assert first > done
    run = ended(shelf, run.id)
    assert run.state == "finished", shelf.log(run.id)
    assert run.told is not None and run.told.done == run.told.total == 400
    assert (shelf.folder / "model.pt").exists()
    assert run.command == as_typed(training("model.pt", 400))
    assert "--resume" in shelf.log(run.id)
    with pytest.raises(InputError, match="nothing to resume"):
        shelf.resume(run.id)


SERVER = """
import sys, time
from pathlib import Path
from deepstorm3d.studio.runs.shelf import Shelf
print(Shelf(Path(sys.argv[1])).start(sys.argv[2:], "training").id, flush=True)
time.sleep(3600)
"""


def test_a_run_outlives_a_server_that_is_killed_and_the_next_one_has_it(shelf: Shelf) -> None:
    command = [sys.executable, "-c", SERVER, str(shelf.folder), *training("model.pt", 100_000)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert server.stdout is not None
    with server, server.stdout:
        id = server.stdout.readline().strip()
        wait_for(lambda: steps_done(shelf, id) >= 1, "a step")
        # The server and all that belongs to its session, as when a terminal is closed or a user logged out.
        os.killpg(server.pid, signal.SIGKILL)
    before = steps_done(shelf, id)
    told = wait_for(
        lambda: told if (told := shelf.run(id).told) is not None and told.done > before else None, "more steps"
    )
    assert shelf.run(id).state == "running"
    assert told.total == 100_000 and told.unit == "steps" and told.note.startswith("loss ")
    assert told.seconds_left is not None and told.seconds_left > 0
    other = Shelf(shelf.folder)
    other.stop(id)
    assert shelf.run(id).state in ("stopping", "stopped")
    assert ended(other, id).state == "stopped"


def test_ended_at_once_with_its_attendant_gone(shelf: Shelf) -> None:
    run = shelf.start(training("model.pt", 100_000), "training")
    wait_for(lambda: steps_done(shelf, run.id) >= 1, "a step")
    places = RunPlaces(shelf.folder / ".deepstorm3d-studio" / "runs" / run.id)
    number = json.loads(places.process.read_text())["command"]
    os.kill(parent_of(number), signal.SIGKILL)
    # The command goes on and holds the lock alone.
    before = steps_done(shelf, run.id)
    wait_for(lambda: steps_done(shelf, run.id) > before, "more steps")
    shelf.stop(run.id, at_once=True)
    run = ended(shelf, run.id)
    assert run.state == "stopped" and run.ended is None and run.resumable


def parent_of(number: int) -> int:
    done = subprocess.run(["ps", "-o", "ppid=", "-p", str(number)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_killed_from_outside_it_says_so(shelf: Shelf) -> None:
    run = shelf.start(training("model.pt", 100_000), "training")
    places = RunPlaces(shelf.folder / ".deepstorm3d-studio" / "runs" / run.id)
    number = json.loads(places.process.read_text())["command"]
    attendant = parent_of(number)
    os.kill(number, signal.SIGKILL)
    run = ended(shelf, run.id)
    assert run.state == "failed" and "SIGKILL" in run.reason and run.resumable
    # And where the machine goes down with all of it, nobody can write how it ended.
    run = shelf.resume(run.id)
    number = json.loads(places.process.read_text())["command"]
    attendant = parent_of(number)
    for each in (attendant, number):
        os.kill(each, signal.SIGKILL)
    run = ended(shelf, run.id)
    assert run.state == "lost" and run.resumable and "killed" in run.reason


def test_a_second_run_that_would_write_the_same_file_is_refused_before_it_begins(shelf: Shelf) -> None:
    first = shelf.start(training("model.pt", 100_000), "my training")
    with pytest.raises(InputError, match=r"'my training' is at work and writes model\.pt"):
        shelf.start(training(str(shelf.folder / "model.npy"), 5), "another")
    assert [run.id for run in shelf.runs()] == [first.id]
    with pytest.raises(InputError, match="stop it first"):
        shelf.forget(first.id)
    second = shelf.start(["--version"], "something else")
    assert [run.id for run in shelf.runs()] == [second.id, first.id]


def test_what_is_forgotten_is_off_the_shelf_and_its_results_stay(shelf: Shelf) -> None:
    run = ended(shelf, shelf.start(["config", "--preset", "quickstart", "--out", "mine.yaml"], "config").id)
    assert run.state == "finished", shelf.log(run.id)
    shelf.forget(run.id)
    assert shelf.runs() == [] and (shelf.folder / "mine.yaml").exists()
    with pytest.raises(InputError, match="no run"):
        shelf.run(run.id)


def test_a_name_from_outside_the_shelf_is_no_run(shelf: Shelf) -> None:
    for name in ("../../x", "", "run.json", "20260101-000000-000/..", "20260101-000000-000"):
        with pytest.raises(InputError, match="no run"):
            shelf.run(name)


def test_two_that_start_at_the_same_moment_get_two_names(shelf: Shelf) -> None:
    ids = {shelf.start(["--version"], str(count)).id for count in range(3)}
    assert len(ids) == 3
    for id in ids:
        ended(shelf, id)


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_started(tmp_path: Path) -> None:
    # A file in its place; the rights of a folder are nothing to the administrator.
    (tmp_path / ".deepstorm3d-studio").write_text("in the way")
    with pytest.raises(InputError, match="cannot write into"):
        Shelf(tmp_path).start(["--version"], "version")
    assert Shelf(tmp_path).runs() == []


def test_no_room_to_begin_is_an_error_and_leaves_nothing(shelf: Shelf) -> None:
    with files_at_most(100), pytest.raises(InputError, match="cannot write"):
        shelf.start(["--version"], "version")
    assert shelf.runs() == []


def test_no_room_on_the_way_is_written_down_in_the_room_taken_before(shelf: Shelf) -> None:
    # The log of the run cannot grow any more, nor any other file; how it ended is known all the same.
    with files_at_most(1200):
        run = shelf.start(["models", "show", "tetrapod"], "model")
    run = ended(shelf, run.id)
    assert run.state == "failed" and run.ended is not None and run.reason


def test_a_full_disk_is_named_as_the_reason(tmp_path: Path) -> None:
    places = RunPlaces(tmp_path)
    places.record.write_text(json.dumps({"title": "t", "arguments": ["train"], "started": 1.0}))
    places.reserve_ended()
    places.write_ended({"status": 2, "time": 2.0, "free_bytes": 4096})
    run = read_run(places)
    assert run is not None and run.state == "failed" and "disk is full" in run.reason


def test_a_training_that_finds_nothing_is_finished_with_a_warning(shelf: Shelf) -> None:
    run = ended(shelf, shelf.start(training("model.pt", 2), "training").id)
    assert run.state == "finished", shelf.log(run.id)
    (sentence,) = run.warnings
    assert sentence.startswith("the network found none of ") and "train longer" in sentence


def test_only_what_the_last_attempt_warned_of_is_told(tmp_path: Path) -> None:
    places = RunPlaces(tmp_path)
    places.record.write_text(json.dumps({"title": "t", "arguments": ["train"], "started": 1.0}))
    before = ["$ deepstorm3d train", "warning: too bright", "$ deepstorm3d train --resume"]
    places.log.write_text("\n".join([*before, "warning: µ too dim", "step 1", "warning: µ too dim"]))
    places.reserve_ended()
    places.write_ended({"status": 2, "time": 2.0})
    run = read_run(places)
    assert run is not None and run.state == "failed" and run.warnings == ()
    places.write_ended({"status": 0, "time": 2.0})
    run = read_run(places)
    assert run is not None and run.warnings == ("µ too dim",)


def test_a_damaged_record_hides_no_other_run(shelf: Shelf) -> None:
    good, bad = (ended(shelf, shelf.start(["--version"], name).id) for name in "gb")
    (shelf.folder / ".deepstorm3d-studio" / "runs" / bad.id / "run.json").write_text('{"title": ')
    assert [run.id for run in shelf.runs()] == [good.id]


def test_a_file_of_the_user_named_like_a_library_is_not_imported(shelf: Shelf) -> None:
    (shelf.folder / "typer.py").write_text("raise SystemExit('not this one')")
    assert ended(shelf, shelf.start(["--version"], "version").id).state == "finished"


def test_a_lock_is_seen_by_others_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not held(path)
    descriptor = take(path)
    assert held(path)
    with pytest.raises(TimeoutError):
        take(path, patience_s=0.05)
    os.close(descriptor)
    assert not held(path)


def test_the_output_is_found_in_either_spelling() -> None:
    assert output_of(["train", "x", "--out", "a.pt"]) == output_of(["train", "x", "--out=a.pt"]) == Path("a.pt")
    assert output_of(["models"]) is None
    here = Path.cwd()
    assert clashing(["train", "--out", "a/b.pt"], ["design-psf", "--out", "./a/c/../b.npy"], here)
    assert not clashing(["train", "--out", "a/b.pt"], ["train", "--out", "b.pt"], here)
    assert not clashing(["models"], ["models"], here)
