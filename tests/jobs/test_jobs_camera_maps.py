"""camera-maps finds a simulated camera's pixels, and refuses movies that cannot tell them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import yaml
from numpy.typing import NDArray
from typer.testing import CliRunner

from deepstorm3d.camera import ScmosCamera
from deepstorm3d.cli import app
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.files import read_experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.frames.pixel_faults import faults_of, known_defects
from deepstorm3d.io.movies.preparation import Prepared
from deepstorm3d.jobs import camera_maps
from deepstorm3d.jobs.camera_maps import CameraMaps, Recordings, measure_camera
from deepstorm3d.spec import spec_from_mapping

SIZE = (48, 64)
DARK, LIT, LEVELS = 400, 300, (60.0, 400.0)


@dataclass(frozen=True)
class Chip:
    """A camera's true pixels."""

    baseline: NDArray[np.float64]
    gain: NDArray[np.float64]
    read_noise: NDArray[np.float64]

    def record(self, path: Path, frames: int, light: NDArray[np.float64] | float, top: int = 65535) -> Path:
        """Counts of so many photons, in each frame or in all."""
        draw = np.random.default_rng(len(path.name) + frames)
        expected = np.broadcast_to(np.asarray(light, float), (frames, *SIZE))
        electrons = draw.poisson(expected) + self.read_noise * draw.standard_normal((frames, *SIZE))
        counts = np.round(self.baseline + self.gain * electrons)
        tifffile.imwrite(path, np.clip(counts, 0, top).astype(np.uint16))
        return path


@pytest.fixture(scope="module")
def chip() -> Chip:
    draw = np.random.default_rng(5)
    noise = 1.2 * np.exp(0.3 * draw.standard_normal(SIZE))
    noise[draw.random(SIZE) < 0.005] *= 8
    columns = 2 * draw.standard_normal(SIZE[1])
    return Chip(
        100 + columns + draw.standard_normal(SIZE), 2.1 * (1 + 0.04 * draw.standard_normal(SIZE)), noise
    )


def uneven(level: float, flicker: float = 0.0, frames: int = LIT) -> NDArray[np.float64]:
    """Light that falls off towards the corners, of a lamp that flickers and fades."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    shape = 1 - 0.3 * ((rows / SIZE[0] - 0.5) ** 2 + (columns / SIZE[1] - 0.5) ** 2)
    lamp = (
        1
        + flicker * np.random.default_rng(9).standard_normal(frames)
        - 2 * flicker * np.arange(frames) / frames
    )
    return level * shape * lamp[:, None, None]


@pytest.fixture(scope="module")
def movies(chip: Chip, tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    folder = tmp_path_factory.mktemp("camera")
    bright = tuple(
        chip.record(folder / f"bright{k}.tif", LIT + k, uneven(level, 0.03, LIT + k))
        for k, level in enumerate(LEVELS)
    )
    return Recordings(
        chip.record(folder / "dark.tif", DARK, 0.0), bright, chip.record(folder / "fresh.tif", 200, 0.0)
    )


@pytest.fixture(scope="module")
def found(movies: Recordings, tmp_path_factory: pytest.TempPathFactory) -> CameraMaps:
    out = tmp_path_factory.mktemp("maps")
    own = preset("quickstart").with_(frame_px=SIZE)
    return measure_camera(movies, out / "maps", experiment=own, experiment_out=out / "own.yaml")


def test_baseline_and_read_noise_are_found_within_chance(chip: Chip, found: CameraMaps):
    noise = chip.gain * chip.read_noise
    off = (found.transfer.baseline - chip.baseline) / (noise / DARK**0.5)
    assert off.std() == pytest.approx(1, abs=0.05)
    assert off.mean() == pytest.approx(0, abs=0.06)
    # Of the noise in ADU, which the gain's error does not touch: σ/√(2(N − 1)).
    share = found.transfer.read_noise * found.transfer.gain / noise - 1
    assert share.std() * (2 * (DARK - 1)) ** 0.5 == pytest.approx(1, abs=0.1)
    assert share.mean() == pytest.approx(0, abs=0.005)


def test_the_gain_is_found_and_its_map_is_better_than_one_number_and_than_the_raw_slopes(
    chip: Chip, found: CameraMaps
):
    transfer, true = found.transfer, chip.gain
    assert transfer.mean_gain == pytest.approx(true.mean(), rel=0.004)
    assert transfer.spread == pytest.approx(true.std() / true.mean(), rel=0.1)
    frames = sum(LIT + k - 1 for k in range(len(LEVELS)))
    assert transfer.chance == pytest.approx((2 / frames) ** 0.5, rel=0.15)
    error = np.std(transfer.gain / true - 1)
    assert error < 0.9 * transfer.chance and error < 0.9 * true.std() / true.mean()
    assert not transfer.defects.any()


def test_the_lamps_flicker_is_taken_out_and_told(found: CameraMaps):
    """Left in, 3 % of 400 electrons would raise the variance by 144 electrons², and the gain by 36 %."""
    assert found.transfer.by_level == pytest.approx([found.transfer.mean_gain] * 2, rel=0.01)
    assert sum("was corrected" in sentence for sentence in found.warnings) == 2
    assert len(found.warnings) == 2


def test_the_check_on_fresh_frames_is_stated(found: CameraMaps):
    assert abs(found.check.bias) < 0.02
    assert found.check.scatter == pytest.approx(1, abs=0.05)
    assert found.check.variance_ratio == pytest.approx(1, abs=0.01)
    assert "fresh.tif" in found.lines()[-1] and "variance 1.0" in found.lines()[-1]


def test_the_files_are_a_camera_that_every_command_takes(found: CameraMaps, chip: Chip):
    maps = found.camera.load_maps()
    assert {name: tuple(values.shape) for name, values in maps.items()} == dict.fromkeys(
        ("baseline", "gain", "read_noise"), SIZE
    )
    folder = found.files[0].parent
    own = read_experiment(folder.parent / "own.yaml").camera
    assert all(torch.equal(own.load_maps()[name], values) for name, values in maps.items())
    snippet = yaml.safe_load((folder / "camera.yaml").read_text(encoding="utf-8"))["camera"]
    assert spec_from_mapping(ScmosCamera, snippet).gain == "gain.npy"
    assert (folder / "maps.png").read_bytes().startswith(b"\x89PNG")
    # In photons the chip's own light is back, pixel by pixel.
    counts = torch.from_numpy((chip.baseline + 50 * chip.gain)[None]).float()
    photons = found.camera.to_photons(counts, maps)
    assert float(photons.mean()) == pytest.approx(50, rel=0.005)


@pytest.mark.parametrize(
    ("light", "top", "words"),
    [
        (0.0, 65535, r"is darker than it should be: .*exchanged"),
        (900.0, 1023, r"is saturated: \d+% of the pixels reach the greatest count, 1023 ADU"),
        (np.linspace(50, 150, 40)[:, None, None], 65535, "give each level as a movie of its own"),
    ],
)
def test_bright_movies_that_cannot_tell_are_refused(
    chip: Chip, movies: Recordings, tmp_path: Path, light: NDArray[np.float64] | float, top: int, words: str
):
    bright = chip.record(tmp_path / "b.tif", 40, light, top)
    with pytest.raises(InputError, match=words):
        measure_camera(Recordings(movies.dark, (bright,)), tmp_path / "maps")


def test_dark_and_bright_exchanged_is_told(movies: Recordings, tmp_path: Path):
    with pytest.raises(InputError, match="darker than it should be"):
        measure_camera(Recordings(movies.bright[0], (movies.dark,)), tmp_path / "maps")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("stored", [np.int16, np.int32, np.float32])
def test_the_same_counts_give_the_same_maps_in_every_type(
    chip: Chip, movies: Recordings, tmp_path: Path, stored: type
):
    light = uneven(200.0, frames=60)
    light[:, 5, 5:9] *= 20
    bright = chip.record(tmp_path / "hot.tif", 60, light, 4095)
    also = [tmp_path / path.name.replace(".", "_as.") for path in (movies.dark, bright)]
    for path, again in zip((movies.dark, bright), also, strict=True):
        tifffile.imwrite(again, tifffile.imread(path).astype(stored))
    one = measure_camera(Recordings(movies.dark, (bright,)), tmp_path / "a")
    other = measure_camera(Recordings(also[0], (also[1],)), tmp_path / "b")
    assert other.camera.saturation == 4095
    for name in ("baseline", "gain", "read_noise"):
        assert np.array_equal(getattr(one.transfer, name), getattr(other.transfer, name))


def test_too_few_frames_and_other_sizes_are_refused(chip: Chip, movies: Recordings, tmp_path: Path):
    short = chip.record(tmp_path / "s.tif", 12, 0.0)
    with pytest.raises(InputError, match=r"has 12 frames: at least 20"):
        measure_camera(Recordings(short, movies.bright), tmp_path / "maps")
    tifffile.imwrite(tmp_path / "n.tif", np.zeros((30, 10, 12), np.uint16))
    with pytest.raises(InputError, match=r"12 x 10 px, .*dark.tif of 64 x 48 px"):
        measure_camera(Recordings(movies.dark, (tmp_path / "n.tif",)), tmp_path / "maps")
    with pytest.raises(InputError, match="`bright`"):
        measure_camera(Recordings(movies.dark), tmp_path / "maps")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_maps, "save_figure", lambda figure, path: path.touch())


@pytest.mark.usefixtures("quick")
def test_what_makes_maps_doubtful_is_told(chip: Chip, movies: Recordings, tmp_path: Path):
    rows = np.mgrid[: SIZE[0], : SIZE[1]][0] / SIZE[0]
    moving = np.array([200 * (0.7 + 0.6 * (rows if k > 100 else 1 - rows)) for k in range(200)])
    shifted = Chip(chip.baseline + 3, chip.gain, 1.3 * chip.read_noise)
    told = measure_camera(
        Recordings(
            movies.dark,
            (movies.bright[0], chip.record(tmp_path / "moving.tif", 200, moving)),
            shifted.record(tmp_path / "later.tif", 60, 0.0),
        ),
        tmp_path / "maps",
    ).warnings
    text = " | ".join(told)
    assert "moving.tif: light that moves over the field adds" in text
    assert "the levels give different gains (bright0.tif 2.1" in text
    assert "differ by +3.0" in text and "baseline is not stable" in text
    assert "1.6" in text and "read-out mode differ" in text


@pytest.mark.usefixtures("quick")
def test_where_counts_end_is_told_by_light_alone(chip: Chip, movies: Recordings, tmp_path: Path):
    tifffile.imwrite(tmp_path / "still.tif", np.full((40, *SIZE), 100, np.uint16))
    assert (
        measure_camera(Recordings(tmp_path / "still.tif", gain=2.0), tmp_path / "a").camera.saturation == 65535
    )
    light = uneven(200.0, frames=60)
    light[:, 5, 5:9] *= 20
    bright = chip.record(tmp_path / "hot.tif", 60, light, 4095)
    found = measure_camera(Recordings(movies.dark, (bright,)), tmp_path / "b")
    assert found.camera.saturation == 4095
    assert any("4 saturated pixels were left out" in sentence for sentence in found.warnings)


@pytest.mark.usefixtures("quick")
def test_pixels_without_a_gain_get_the_mean_and_are_counted(chip: Chip, movies: Recordings, tmp_path: Path):
    light = np.broadcast_to(uneven(200.0, frames=100), (100, *SIZE)).copy()
    light[:, 10, 10:20] = 0
    found = measure_camera(
        Recordings(movies.dark, (chip.record(tmp_path / "dead.tif", 100, light),)), tmp_path / "maps"
    ).transfer
    assert found.defects[10, 10:20].all() and found.defects.sum() == 10
    assert np.array_equal(np.load(tmp_path / "maps" / "defects.npy"), found.defects)
    assert found.gain[10, 10:20] == pytest.approx(found.mean_gain)
    assert found.mean_gain == pytest.approx(chip.gain.mean(), rel=0.01)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("with_light", [False, True])
@pytest.mark.parametrize("stored", [np.uint16, np.float32])
@pytest.mark.parametrize("value", [107.25, 0.0, 60000.0])
def test_pixels_of_one_count_in_the_dark_are_defects_with_the_noise_of_the_others(
    chip: Chip, movies: Recordings, tmp_path: Path, value: float, stored: type, with_light: bool
):
    def stuck(path: Path) -> Path:
        frames = tifffile.imread(path).astype(stored)
        frames[:, 7, 9:12] = value
        tifffile.imwrite(tmp_path / path.name, frames)
        return tmp_path / path.name

    dark = stuck(movies.dark)
    told = Recordings(dark, (stuck(movies.bright[1]),)) if with_light else Recordings(dark, gain=2.1)
    found = measure_camera(told, tmp_path / "maps")
    assert np.argwhere(np.load(tmp_path / "maps" / "defects.npy")).tolist() == [[7, 9], [7, 10], [7, 11]]
    others = found.transfer.read_noise[~found.transfer.defects]
    assert found.transfer.read_noise[7, 9:12] == pytest.approx(np.median(others))
    assert found.transfer.gain[7, 9:12] == pytest.approx(found.transfer.mean_gain)
    assert "defective pixels (defects.npy): 3" in found.lines()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("count", [0, 60000])
def test_a_pixel_stuck_at_its_baseline_is_found_in_the_movie_or_named_by_the_defects(
    chip: Chip, movies: Recordings, tmp_path: Path, count: int
):
    """It reads 0 photons: over 2 photons of background no light can draw that."""

    def stuck(path: Path) -> Path:
        frames = tifffile.imread(path)
        frames[:, 7, 9] = count
        tifffile.imwrite(tmp_path / path.name, frames)
        return tmp_path / path.name

    found = measure_camera(Recordings(stuck(movies.dark), gain=2.1), tmp_path / "maps")
    lit = tifffile.imread(stuck(chip.record(tmp_path / "lit.tif", 16, 2.0)))
    maps = found.camera.load_maps()
    assert not found.camera.to_photons(torch.from_numpy(lit.astype(np.float32)), maps)[:, 7, 9].any()
    faults = faults_of(lit, found.camera, maps, preset("quickstart").microscope)
    assert (7, 9) in faults.defective
    named = known_defects(tmp_path / "maps" / "defects.npy", Prepared(), (16, *SIZE))
    assert named is not None and named.nonzero().tolist() == [[7, 9]]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("noise", [0.02, 0.1, 0.2, 0.35, 0.7])
def test_where_rounding_hides_the_noise_no_pixel_is_called_dead(tmp_path: Path, noise: float):
    """In few frames a good pixel of little noise gives one count by chance; where half do, it is said."""
    draw = np.random.default_rng(3)
    counts = np.round(100 + draw.uniform(-0.5, 0.5, SIZE) + noise * draw.standard_normal((25, *SIZE)))
    tifffile.imwrite(tmp_path / "quiet.tif", counts.astype(np.uint16))
    found = measure_camera(Recordings(tmp_path / "quiet.tif", gain=1.0), tmp_path / "maps")
    assert not found.transfer.defects.any()
    still = (counts == counts[0]).all(axis=0).mean()
    assert any("give one count in all 25 dark frames" in told for told in found.warnings) == (still >= 0.5)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("stored", [np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("value", [100.3, 60000.7])
def test_a_dark_movie_of_one_value_is_told(tmp_path: Path, stored: type, value: float):
    """Its two halves are alike: nothing is said of exposure or temperature. Sums of float64 are not exact."""
    tifffile.imwrite(tmp_path / "blank.tif", np.full((40, *SIZE), value).astype(stored))
    found = measure_camera(Recordings(tmp_path / "blank.tif", gain=2.0), tmp_path / "maps")
    (told,) = found.warnings
    assert told.startswith("100% of the pixels give one count in all 40 dark frames")
    assert found.check.variance_ratio == pytest.approx(1, abs=0.05)
    assert not found.transfer.defects.any() and found.transfer.read_noise.max() < 1e-6


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("stored", [np.uint16, np.float64])
@pytest.mark.parametrize("still", [0.375, 0.5, 0.625])
def test_no_pixel_is_called_dead_where_the_movie_is_told_to_be_blank(
    tmp_path: Path, stored: type, still: float
):
    rows = int(still * SIZE[0])
    counts = 100.3 + 3 * np.random.default_rng(5).standard_normal((40, *SIZE))
    counts[:, :rows] = 100.3
    tifffile.imwrite(tmp_path / "half.tif", counts.astype(stored))
    found = measure_camera(Recordings(tmp_path / "half.tif", gain=2.0), tmp_path / "maps")
    told = any("get a read noise of 0" in sentence for sentence in found.warnings)
    assert told == (still >= 0.5) == (not found.transfer.defects.any())
    assert (found.transfer.read_noise[:rows].max() < 1e-6) == told


@pytest.mark.usefixtures("quick")
def test_from_the_command_line_with_the_gain_of_a_data_sheet(chip: Chip, movies: Recordings, tmp_path: Path):
    words = ["camera-maps", movies.dark, "--gain", 2.1, "--out", tmp_path / "maps"]
    words += ["--config", "quickstart", "--experiment-out", tmp_path / "own.yaml"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.stderr
    assert "64 x 48 pixels: baseline 99.9" in done.stdout
    assert "second half of the dark movie against the first" in done.stdout
    assert "--camera baseline=" in done.stderr
    camera = read_experiment(tmp_path / "own.yaml").camera
    assert camera.load_maps()["gain"].unique().tolist() == pytest.approx([2.1])
    again = CliRunner().invoke(app, [str(word) for word in words])
    assert again.exit_code != 0
    lone = CliRunner().invoke(
        app, ["camera-maps", str(movies.dark), "--out", str(tmp_path / "m"), "--config", "storm"]
    )
    assert "go together" in lone.stderr


def test_a_recording_that_is_refused_leaves_no_folder(tmp_path: Path):
    tifffile.imwrite(tmp_path / "one.tif", np.full((1, 16, 16), 100, np.uint16))
    with pytest.raises(InputError):
        measure_camera(Recordings(tmp_path / "one.tif", gain=2.0), tmp_path / "maps" / "deeper")
    assert [path.name for path in tmp_path.iterdir()] == ["one.tif"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("out", ["maps", "new/maps"])
@pytest.mark.parametrize("own", ["maps/own.yaml", "own.yaml"])
def test_the_experiment_may_stand_in_a_folder_that_is_made(
    movies: Recordings, tmp_path: Path, out: str, own: str
):
    path = (tmp_path / out).parent / own
    experiment = preset("quickstart").with_(frame_px=SIZE)
    dark = Recordings(movies.dark, gain=2.0)
    measure_camera(dark, tmp_path / out, experiment=experiment, experiment_out=path)
    assert read_experiment(path).camera.load_maps()["gain"].shape == SIZE


@pytest.mark.parametrize(
    ("out", "own", "words"),
    [
        ("a file/new/maps", None, "cannot write .*a file.*Not a directory"),
        ("maps", "elsewhere/own.yaml", "elsewhere does not exist"),
        ("maps", "maps/camera.yaml", "same name"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_movies_are_read(
    tmp_path: Path, out: str, own: str | None, words: str
):
    (tmp_path / "a file").touch()
    experiment_out = None if own is None else tmp_path / own
    with pytest.raises(InputError, match=words):
        measure_camera(Recordings(tmp_path / "no.tif", gain=2.0), tmp_path / out, experiment_out=experiment_out)
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]
