"""The verbs of lists on files: the figures, refusals and warnings of the commands."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import deepstorm3d as ds
from deepstorm3d.analysis.drift import DriftCurve
from deepstorm3d.analysis.evaluation import Evaluation, MatchRule
from deepstorm3d.analysis.linking import LinkRule
from deepstorm3d.jobs.drift import correct_drift
from deepstorm3d.jobs.evaluate import evaluate_table
from deepstorm3d.jobs.filter import filter_table
from deepstorm3d.jobs.link import link_table
from deepstorm3d.jobs.resolution import measure_resolution

PIXEL_UM = 0.1
# Longer than the list: a file says it, its rows do not.
FRAMES = 60
SIDE_PX = 40


def blinking(rows: int = 1200) -> ds.Localizations:
    """40 molecules, some of them near the edge, that shine for two frames each time."""
    rng = np.random.default_rng(1)
    places = np.column_stack([rng.uniform(-0.05, 3.95, (40, 2)), rng.uniform(0, 1, 40)])
    who = np.repeat(rng.integers(40, size=rows // 2), 2)
    frame = np.repeat(rng.integers(39, size=rows // 2), 2) + np.tile([0, 1], rows // 2)
    xyz = torch.from_numpy(places[who] + 0.01 * rng.normal(size=(rows, 3))).float()
    found = ds.Localizations.proposals(xyz, torch.from_numpy(frame), torch.ones(rows)).sort()
    sigma = torch.full((rows, 3), 0.01)
    return dataclasses.replace(found, photons=torch.full((rows,), 900.0), sigma_xyz=sigma, sigma_source="fit")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A list of a movie, and the list without each fifth row as a CSV that does not say its pixel size."""
    found, told = blinking(), {"pixel_um": PIXEL_UM, "frames": FRAMES, "shape": (SIDE_PX, SIDE_PX)}
    ds.write_table(tmp_path / "all.hdf5", found, **told)
    some = found[torch.arange(len(found)) % 5 > 0]
    ds.write_table(tmp_path / "some.hdf5", some, **told)
    ds.write_table(tmp_path / "some.csv", some, **told)
    lines = (tmp_path / "some.csv").read_text(encoding="utf-8").splitlines()
    column = lines[0].split(",").index('"pixel [nm]"')
    kept = [",".join(part for k, part in enumerate(line.split(",")) if k != column) for line in lines]
    (tmp_path / "nameless.csv").write_text("\n".join(kept), encoding="utf-8")
    return tmp_path / "some.hdf5", tmp_path / "all.hdf5"


def same(one: Evaluation, other: Evaluation) -> bool:
    """Whether both have the same figures under the same conditions."""
    a, b = one.to_mapping(), other.to_mapping()
    named = {**one.conditions, "locs": "", "truth": ""}
    return {**a, "conditions": named} == {**b, "conditions": {**other.conditions, "locs": "", "truth": ""}}


@pytest.mark.parametrize("found", ["some.hdf5", "some.csv", "nameless.csv"])
@pytest.mark.parametrize("challenge", [False, True])
def test_files_are_scored_as_the_command_scores_them(files: tuple[Path, Path], found: str, challenge: bool):
    locs, truth = files[0].with_name(found), files[1]
    scored = ds.evaluate(locs, truth, challenge=challenge)
    assert same(scored, evaluate_table(locs, truth, MatchRule(challenge=challenge)))
    assert (scored.score.ignored_truth > 0) == challenge


def test_one_file_tells_the_frames_and_without_any_no_border_is_said_to_be_left_out(files: tuple[Path, Path]):
    locs, truth = files
    wanted = evaluate_table(locs, truth, MatchRule(challenge=True))
    found, true = ds.read_table(locs), ds.read_truth(truth)
    assert same(ds.evaluate(found, truth, challenge=True), wanted)
    assert same(ds.evaluate(locs, true, challenge=True), wanted)
    edge = SIDE_PX * PIXEL_UM - PIXEL_UM / 2
    given = ds.evaluate(found, true, challenge=(-PIXEL_UM / 2, -PIXEL_UM / 2, edge, edge))
    assert same(given, wanted)
    neither = ds.evaluate(found, true, challenge=True)
    assert "no border left out" in neither.conditions["matching"] and not neither.score.ignored_truth


@pytest.mark.parametrize("name", ["some.hdf5", "some.csv"])
def test_files_are_filtered_linked_and_measured_as_by_the_commands(files: tuple[Path, Path], name: str):
    source = files[0].with_name(name)
    out = source.with_name("made.hdf5")
    filter_table(source, "x_nm > 2000", out)
    np.testing.assert_allclose(ds.filter(source, "x_nm > 2000").xyz, ds.read_table(out).xyz, atol=1e-5)
    link_table(source, out, LinkRule(), overwrite=True)
    np.testing.assert_allclose(ds.link(source).xyz, ds.read_table(out).xyz, atol=1e-5)
    if name.endswith("hdf5"):
        with pytest.raises(ds.InputError, match="linked already"):
            ds.link(out)
        measured = measure_resolution(source, splits=1).to_mapping()
        assert ds.resolution(source, splits=1).to_mapping() == measured


@pytest.mark.filterwarnings("ignore::deepstorm3d.errors.DoubtfulResult")
@pytest.mark.parametrize("name", ["some.hdf5", "some.csv"])
def test_the_drift_of_a_file_is_that_of_the_command_over_the_whole_movie(files: tuple[Path, Path], name: str):
    source = files[0].with_name(name)
    made = correct_drift(source, source.with_name("still.hdf5"), segments=2)
    curve = ds.drift(source, segments=2).curve
    written = DriftCurve.from_csv(made.curve_csv.read_text(encoding="utf-8"), "curve")
    np.testing.assert_allclose(curve.shift_um, written.shift_um, atol=1e-6)
    assert len(curve.frames) == (FRAMES if name.endswith("hdf5") else 40)


Verb = Callable[[Path], object]
VERBS: dict[str, Verb] = {
    "read_table": lambda path: ds.read_table(path, pixel_um=PIXEL_UM),
    "read_table, as it stands": lambda path: ds.read_table(path, pixel_um=0.0),
    "read_truth": lambda path: ds.read_truth(path, pixel_um=PIXEL_UM),
    "filter": lambda path: ds.filter(path, "photons > 0", pixel_um=PIXEL_UM),
    "link": lambda path: ds.link(path, radius_nm=50, pixel_um=PIXEL_UM),
    "drift": lambda path: ds.drift(path, pixel_um=PIXEL_UM),
    "resolution": lambda path: ds.resolution(path, splits=1, pixel_um=PIXEL_UM),
    "evaluate": lambda path: ds.evaluate(path, ds.Emitters.empty(), pixel_um=PIXEL_UM),
    "evaluate, truth": lambda path: ds.evaluate(ds.Localizations.empty(), path, pixel_um=PIXEL_UM),
    "split_channels": lambda path: ds.split_channels(path, "left-right", shape=(64, 64), pixel_um=PIXEL_UM),
}


@pytest.mark.parametrize("verb", VERBS)
def test_rows_that_are_left_out_are_told_where_the_verb_is_called(tmp_path: Path, verb: str):
    rows = [f"{i},{100 * i},{50 * i},{'' if i % 3 == 0 else 10 * i},900" for i in range(1, 61)]
    names = '"frame","x [nm]","y [nm]","z [nm]","intensity [photon]"'
    (tmp_path / "gap.csv").write_text("\n".join([names, *rows]), encoding="utf-8")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            VERBS[verb](tmp_path / "gap.csv")
        except ds.InputError as error:
            assert "drift" in str(error) or "σ" in str(error)  # too few rows for that verb
    (about,) = [each for each in told if "20 of 60 rows" in str(each.message)]
    assert about.category is ds.DoubtfulResult and about.filename == __file__


def test_a_condition_on_what_is_not_known_is_told():
    rows = dataclasses.replace(blinking(), sigma_xyz=torch.zeros(1200, 3), sigma_source="none")
    with pytest.warns(ds.DoubtfulResult, match="not known in any row of the list"):
        assert not len(ds.filter(rows, "sigma_z_nm < 40"))


@pytest.mark.parametrize("pixel_um", [110.0, 1e-4, -0.1, float("nan")])
@pytest.mark.parametrize("verb", [ds.read_table, ds.read_truth, ds.link, ds.drift, ds.resolution, ds.track])
def test_a_pixel_in_another_unit_is_refused(
    files: tuple[Path, Path], verb: Callable[..., object], pixel_um: float
):
    with pytest.raises(ds.InputError, match="pixel"):
        verb(files[0].with_name("nameless.csv"), pixel_um=pixel_um)


def test_a_pixel_that_is_not_the_files_is_refused(files: tuple[Path, Path]):
    with pytest.raises(ds.InputError, match="its pixels are 100 nm"):
        ds.filter(files[0], "photons > 0", pixel_um=0.2)
    assert len(ds.read_table(files[0], pixel_um=0.1)) == len(ds.read_table(files[0]))


@pytest.mark.parametrize("given", [[50, 80], (50.0, 80.0), np.array([50, 80])])
def test_two_distances_may_stand_in_any_sequence(given: object):
    assert len(ds.link(blinking(), radius_nm=given)) < 1200  # pyright: ignore[reportArgumentType]
    for wrong in ("50", [1, 2, 3], [[None]]):
        with pytest.raises(ds.InputError, match="no distance"):
            ds.link(blinking(), radius_nm=wrong)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("asked", [{"splits": 0}, {"block_frames": -3}])
def test_a_resolution_of_no_halves_is_refused(asked: dict[str, int]):
    with pytest.raises(ds.InputError, match="below 1"):
        ds.resolution(blinking(), **asked)  # pyright: ignore[reportArgumentType]


def test_halves_are_those_of_the_whole_frame_that_a_file_may_not_say(files: tuple[Path, Path]):
    with pytest.raises(ds.InputError, match="how large its frames are"):
        ds.split_channels(files[0].with_name("some.csv"), "left-right")
    given = ds.split_channels(files[0].with_name("some.csv"), "left-right", shape=(SIDE_PX, SIDE_PX))
    for one, other in zip(given, ds.split_channels(files[0], "left-right"), strict=True):
        np.testing.assert_allclose(one.xyz, other.xyz, atol=1e-5)


def test_drift_and_resolution_are_printed_in_a_line_or_two_of_figures():
    table = blinking()
    told = [str(ds.drift(table, segments=2)), str(ds.resolution(table, splits=1))]
    assert told[0].startswith("drift of ") and "nm in x, y, z over" in told[0]
    assert told[1].startswith(f"resolution of {len(table)} localizations: ") and "3D" in told[1]
    assert not any("array" in text or len(text) > 400 for text in told)
