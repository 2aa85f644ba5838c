"""The command line: exit statuses, messages without tracebacks, and every command from arguments to files."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from deepstorm3d.cli import app
from deepstorm3d.cli.interrupt import StopRequest
from deepstorm3d.cli.options import frame_range, region
from deepstorm3d.cli.progress import ScreenWatcher, duration
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.files import read_experiment
from deepstorm3d.experiment.presets import PRESETS, preset
from deepstorm3d.io.movies import open_movie
from deepstorm3d.io.parts import part_path
from deepstorm3d.io.tables import read_table, read_truth
from deepstorm3d.jobs import localize as localize_job
from deepstorm3d.jobs import train as train_job
from deepstorm3d.localizer.modelfile import ModelFile, load_model_file, save_model_file
from deepstorm3d.localizing import catalogue as models
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.known_models import known_models
from deepstorm3d.localizing.recipe import Recipe
from deepstorm3d.training.runs import Run

pytestmark = pytest.mark.usefixtures("coarse_pictures")

# A set-up that is quick to tabulate and to train.
SMALL = [
    "microscope.mask_pitch=120.0",
    "mask={kind: zero}",
    "psf.patch_px=13",
    "frame_px=[32, 32]",
    "training={steps: 2, batch: 2, crop_px: 32, validation_crops: 2, validate_every: 1, warmup_steps: 1}",
    "network={kind: coarse, channels: 8, skip: 4, dilations: [1]}",
]


def call(*arguments: object) -> SimpleNamespace:
    """Run the program; gives its exit status and what it wrote."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return SimpleNamespace(status=done.exit_code, out=done.stdout, err=done.stderr)


def refused(*arguments: object) -> str:
    """Run something that cannot work; gives the one message, which must come with status 2 and no traceback."""
    done = call(*arguments)
    assert done.status == 2, done
    assert "Traceback" not in done.err
    assert done.err.startswith("error: ")
    return done.err


def assignments() -> list[str]:
    return [word for one in SMALL for word in ("--set", one)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment file of the small set-up."""
    path = tmp_path_factory.mktemp("small") / "e.yaml"
    assert call("config", "--preset", "quickstart", "--out", path, *assignments()).status == 0
    return path


@pytest.fixture(scope="module")
def movie(small: Path) -> SimpleNamespace:
    """A simulated movie and its truth."""
    out, truth = small.with_name("m.tif"), small.with_name("t.csv")
    done = call("simulate", small, "--frames", 5, "--out", out, "--truth", truth, "--emitters", 3)
    assert done.status == 0, done.err
    return SimpleNamespace(path=out, truth=truth, said=done)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a built-in model."""
    card = {
        "validation": {"jaccard": 0.876, "rmse_axial_nm": None},
        "measured": [{"emitters": 10, "jaccard": 0.9}],
    }
    (tmp_path / "models").mkdir()
    save_model_file(
        ModelFile(preset("quickstart").to_mapping(), {}, 0.4, None, card), tmp_path / "models" / "tiny.pt"
    )
    monkeypatch.setattr(models, "MODELS_FOLDER", tmp_path / "models")
    return "tiny"


def test_help_answers_without_loading_torch():
    code = (
        "import sys, deepstorm3d.cli; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'pydantic')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_module_runs_as_a_program_with_the_packages_version():
    done = subprocess.run([sys.executable, "-m", "deepstorm3d", "--version"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("deepstorm3d 0.")


def test_every_command_stands_in_the_overview_of_its_group_with_a_sentence():
    program = get_command(app)
    assert isinstance(program, TyperGroup)
    groups = {
        "": program,
        **{name: each for name, each in program.commands.items() if isinstance(each, TyperGroup)},
    }
    assert "localize" in groups[""].commands and "show" in groups["models"].commands
    for words, group in groups.items():
        overview = call(*words.split(), "--help").out
        for name, command in group.commands.items():
            assert f" {name} " in overview, name
            assert len(command.get_short_help_str().split()) >= 2, name


def test_help_of_config_names_every_preset():
    text = " ".join(call("config", "--help").out.replace("│", " ").split())
    assert all(name in text for name in PRESETS)


def test_a_missing_option_and_an_unknown_one_end_with_status_2():
    assert call("config", "--preset", "quickstart").status == 2
    assert call("simulate", "quickstart", "--nonsense").status == 2


def test_a_config_read_back_is_the_preset(tmp_path: Path):
    out = tmp_path / "e.yaml"
    done = call("config", "--preset", "storm", "--out", out, "--set", "seed=5")
    assert done.status == 0
    assert read_experiment(out) == preset("storm").with_(seed=5)
    assert "deepstorm3d train" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "quick"], ["no preset 'quick'", "quickstart"]),
        (["--preset", "quickstart", "--set", "training.stepps=5"], ["training.stepps", "did you mean 'steps'"]),
        (
            ["--preset", "quickstart", "--set", "training.steps=0"],
            ["training.steps", "greater than or equal to 1"],
        ),
        (["--preset", "quickstart", "--set", "microscope.na=1.6"], ["na 1.6 must be below n_immersion 1.518"]),
        (["--preset", "quickstart", "--set", "seed"], ["'seed' is not an assignment"]),
        (["--preset", "quickstart", "--mask", "none.npy"], ["none.npy", "no such mask file"]),
    ],
)
def test_a_mistake_in_a_config_is_named_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], words: list[str]
):
    out = tmp_path / "e.yaml"
    message = refused("config", *arguments, "--out", out)
    assert all(word in message for word in words), message
    assert not out.exists()


def test_an_existing_file_is_replaced_only_when_told(tmp_path: Path):
    out = tmp_path / "e.yaml"
    out.write_text("mine", encoding="utf-8")
    assert "--overwrite" in refused("config", "--preset", "quickstart", "--out", out)
    assert out.read_text(encoding="utf-8") == "mine"
    assert call("config", "--preset", "quickstart", "--out", out, "--overwrite").status == 0


def test_simulate_writes_a_movie_and_a_truth_that_agree(movie: SimpleNamespace):
    with open_movie(movie.path) as frames:
        assert frames.shape == (5, 32, 32)
        assert frames.pixel_um == pytest.approx(0.11)
    assert read_truth(movie.truth).frame.bincount().tolist() == [3] * 5
    assert "5 frames, 15 emitters" in movie.said.out
    assert "% of a molecule's light" in movie.said.err


def test_simulate_refuses_what_it_cannot_do(small: Path, tmp_path: Path, movie: SimpleNamespace):
    out = tmp_path / "x.tif"
    assert "no experiment file" in refused("simulate", "nothing.yaml", "--frames", 1, "--out", out)
    assert "no scene 'dense'" in refused("simulate", small, "--frames", 1, "--out", out, "--scene", "dense")
    assert "exists" in refused("simulate", small, "--frames", 1, "--out", movie.path)
    assert call("simulate", small, "--frames", 0, "--out", out).status == 2
    assert call("simulate", small, "--frames", 1, "--out", out, "--structure", "cube").status == 2
    assert list(tmp_path.iterdir()) == []


def test_evaluate_of_the_truth_itself_is_perfect(movie: SimpleNamespace, tmp_path: Path):
    done = call("evaluate", movie.truth, "--truth", movie.truth, "--json", tmp_path / "f.json")
    assert done.status == 0
    assert "1.000 to 1.000" in done.out
    assert "15 hits, 0 false, 0 missed; 15 true emitters in 5 frames" in done.out
    assert (tmp_path / "f.json").exists()
    assert "--tolerance-nm" in refused(
        "evaluate", movie.truth, "--truth", movie.truth, "--challenge", "--tolerance-nm", 50
    )


def test_convert_there_and_back_and_render(movie: SimpleNamespace, tmp_path: Path):
    native, again = tmp_path / "a.hdf5", tmp_path / "b.csv"
    assert call("convert", movie.truth, native).status == 0
    assert call("convert", native, again).status == 0
    assert torch.allclose(read_table(native).xyz, read_table(again).xyz, atol=1e-5)
    told = refused("convert", native, tmp_path / "c.xls")
    assert "no list is written as '.xls'; name it .hdf5 (Picasso" in told
    smap = tmp_path / "smap.csv"
    assert call("convert", native, smap, "--to", "smap").status == 0
    assert smap.read_text(encoding="utf-8").startswith("ID,frame,xnm,ynm,znm")
    assert "(--pixel-nm)" in refused("convert", smap, tmp_path / "d.hdf5")
    assert "there are picasso, smappy" in refused("convert", native, tmp_path / "e.csv", "--to", "excel")
    assert call("render", native, "--out", tmp_path / "r.png", "--pixel-nm", 20).status == 0
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    assert "no picture format" in refused("render", native, "--out", tmp_path / "r.xyz")


def test_render_takes_sections_stacks_and_planes(movie: SimpleNamespace, tmp_path: Path):
    native = tmp_path / "a.hdf5"
    assert call("convert", movie.truth, native).status == 0
    small = ("--pixel-nm", 20)
    done = call(
        "render", native, "--out", tmp_path / "s.png", "--section", "z=2", "--thickness-nm", 9000, *small
    )
    assert "15 localizations" in done.out
    assert "voxels of 20 × 20 × 500 nm" in (
        call("render", native, "--out", tmp_path / "s.tif", "--stack", "--thickness-nm", 500, *small).out
    )
    blurred = ("--blur", 30, "--colour", "none", "--z", ":99")
    assert call("render", native, "--out", tmp_path / "b.png", *blurred, *small).status == 0
    no = tmp_path / "no.png"
    assert "--method histogram" in refused("render", native, "--out", no, "--method", "gaussian")
    assert "leave out" in refused("render", native, "--out", no, "--method", "histogram", "--blur", 30)
    assert "--section w=1" in refused("render", native, "--out", no, "--section", "w=1")
    assert "--x 1" in refused("render", native, "--out", no, "--x", "1")
    assert "give one of them" in refused("render", native, "--out", no, "--section", "z=1", "--stack")
    microscope = ("--na", 1.4, "--wavelength-nm", 600)
    done = call("render", native, "--out", tmp_path / "w.png", "--beside", "standard", *microscope, *small)
    assert "simulated, not measured" in done.out
    assert not no.exists()


def test_known_models_are_listed_also_where_none_is_built_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(models, "MODELS_FOLDER", tmp_path)
    listed = call("models")
    assert "no built-in model" in listed.err
    assert all(each.name in listed.out and each.sha256 in listed.out for each in known_models())


def test_models_are_listed_and_shown(tiny: str, tmp_path: Path):
    listed = call("models").out
    assert "tiny" in listed
    assert "0.876" in listed
    digest = hashlib.sha256((tmp_path / "models" / "tiny.pt").read_bytes()).hexdigest()
    assert f"tiny: SHA-256 {digest}" in listed
    assert all(each.name in listed and each.sha256 in listed for each in known_models())
    shown = call("models", "show", tiny, "--export", tmp_path / "out")
    for words in (
        digest,
        "astigmatic mask",
        "110 nm",
        "0 to 1.2 µm",
        "0.05 to 1 per µm²",
        "5000",
        "0.876",
        "measured",
    ):
        assert words in shown.out, words
    assert (tmp_path / "out" / "mask.npy").exists()
    assert "did you mean 'tiny'?" in refused("models", "show", "tinny")


def test_a_training_begins_with_the_weights_of_a_model_and_its_card_says_so(small: Path, tmp_path: Path):
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    call("train", small, "--out", first, "--device", "cpu")
    done = call("train", small, "--out", second, "--device", "cpu", "--from", first)
    assert "starts from first.pt: 100 % of its weights are taken over" in done.err
    digest = hashlib.sha256(first.read_bytes()).hexdigest()
    assert f"first.pt (SHA-256 {digest[:12]}…)" in call("models", "show", second).out
    words = ("--set", "network.channels=128", "--set", "network.skip=16")
    message = refused("train", small, "--out", tmp_path / "m.pt", "--device", "cpu", "--from", first, *words)
    assert "(--set network.channels=8, --set network.skip=4)" in message


def test_a_model_file_that_is_not_one_is_refused(movie: SimpleNamespace, tmp_path: Path):
    fake = tmp_path / "fake.pt"
    fake.write_bytes(b"not a model")
    message = refused("localize", movie.path, "--model", fake, "--out", tmp_path / "o.hdf5")
    assert "is not a model file" in message


def test_train_writes_a_model_and_a_line_for_every_validation(small: Path, tmp_path: Path):
    out = tmp_path / "model.pt"
    done = call("train", small, "--out", out, "--device", "cpu")
    assert done.status == 0, done.err
    assert load_model_file(out).card["name"] == "quickstart"
    lines = [line.split() for line in done.err.splitlines()]
    assert [line[0] for line in lines if line and line[0] in ("step", "1", "2")] == ["step", "1", "2"]
    assert "Jaccard" in done.out
    assert "exists" in refused("train", small, "--out", out)


@pytest.mark.usefixtures("without_pictures")
def test_a_stopped_training_ends_with_130_and_resumes(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "model.pt"
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "__call__", lambda self: setattr(self, "requested", True) or True)
        done = call("train", small, "--out", out, "--device", "cpu")
    assert done.status == 130
    assert "--resume" in done.err
    assert not out.exists()
    assert "unfinished run" in refused("train", small, "--out", out, "--device", "cpu")
    done = call("train", small, "--out", out, "--device", "cpu", "--resume")
    assert done.status == 0
    assert out.exists()
    assert not Run(out).checkpoint.exists()


def test_an_unknown_device_is_refused(small: Path, tmp_path: Path):
    assert "use cpu, cuda or mps" in refused("train", small, "--out", tmp_path / "m.pt", "--device", "tpu")


def test_localize_hands_its_options_to_the_job(
    tiny: str, tmp_path: Path, movie: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
):
    given: dict[str, object] = {}

    def localize_movie(*arguments: object, **options: object) -> localize_job.LocalizeSummary:
        given.update(options, arguments=arguments)
        return localize_job.LocalizeSummary(frames=4, localizations=8, complete=False, warnings=["dark"])

    def load(self: Recipe) -> SimpleNamespace:
        given.update(recipe=self)
        return SimpleNamespace(notes=("the camera was taken for ideal",))

    monkeypatch.setattr(localize_job, "localize_movie", localize_movie)
    monkeypatch.setattr(Recipe, "load", load)
    options = ["--frames", "1:", "--roi", "0,0,30,31", "--camera", "baseline=100", "--camera", "gain=2"]
    options += ["--pixel-nm", "110", "--separate"]
    out = tmp_path / "o.hdf5"
    done = call("localize", movie.path, "--model", tiny, "--out", out, *options, "--threshold", 0.3)
    assert given["arguments"][0] == Excerpt(movie.path, (1, None), (0, 0, 30, 31), pixel_um=0.11)  # type: ignore[index]
    assert given["over_frames"] is False
    recipe = given["recipe"]
    assert isinstance(recipe, Recipe)
    assert recipe.camera == {"baseline": 100, "gain": 2}
    assert recipe.threshold == 0.3
    assert done.status == 130
    assert "--resume" in done.err
    assert "warning: dark" in done.err
    assert "taken for ideal" in done.err
    told = "there is no unfinished list o.part.hdf5 to go on with"
    assert told not in done.err
    again = ("localize", movie.path, "--model", tiny, "--out", out, *options, "--resume")
    assert told in call(*again).err
    part_path(out).touch()
    assert told not in call(*again).err


def test_ranges_are_read_as_people_write_them():
    assert frame_range("10:20") == (10, 20)
    assert frame_range(":20") == (None, 20)
    assert frame_range(None) == (None, None)
    assert region("1,2,3,4") == (1, 2, 3, 4)
    for wrong in ("10", "a:b"):
        with pytest.raises(InputError, match="A:B"):
            frame_range(wrong)
    with pytest.raises(InputError, match="X0,Y0,X1,Y1"):
        region("1,2,3")


def test_a_full_disk_and_ctrl_c_end_without_a_traceback(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "disk/model.pt")

    monkeypatch.setattr(train_job, "train_model", full)
    assert "disk/model.pt" in refused("train", small, "--out", tmp_path / "m.pt", "--device", "cpu")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_job, "train_model", interrupted)
    done = call("train", small, "--out", tmp_path / "m.pt", "--device", "cpu")
    assert done.status == 130
    assert "--resume" in done.err


def test_a_fault_of_the_program_keeps_its_traceback(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def faulty(*_: object, **__: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(train_job, "train_model", faulty)
    with pytest.raises(ZeroDivisionError):
        call("train", small, "--out", tmp_path / "m.pt", "--device", "cpu")


def test_the_first_interrupt_asks_and_the_second_quits():
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stop_request_outside_the_main_thread_leaves_signals_alone():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with StopRequest() as stop:
            seen.append((stop(), signal.getsignal(signal.SIGINT) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, True)]


def test_progress_without_a_terminal_is_a_plain_line_at_the_end(monkeypatch: pytest.MonkeyPatch):
    clock = iter([0.0, 2.0, 4.0, 4.0, 5.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    console = Console(file=(written := io.StringIO()), width=60)
    with ScreenWatcher("frames", console=console) as line:
        for done in (10, 20, 30):
            line.progress(done, 30)
        line.progress(1, 2)  # the next step of the job: rates count anew
        line.progress(2, 2)
    assert written.getvalue().splitlines() == ["30/30 frames, 5 per second", "2/2 frames, 1 per second"]


def test_lengths_of_time_are_for_people():
    assert [duration(s) for s in (42, 200, 7500)] == ["42 s", "3 min 20 s", "2 h 05 min"]
