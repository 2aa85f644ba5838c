"""Which mask fits a sample: what physics demands of the answer, and of the table behind it."""

from __future__ import annotations

import ast
import csv
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import deepstorm3d as ds
from deepstorm3d.cli.app import app
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.known_masks import MaskTable, known_masks, place_among
from deepstorm3d.experiment.presets import preset
from deepstorm3d.experiment.recommendation import Advice, Recommendation, Sample
from deepstorm3d.experiment.sample_scale import depth_waves, patch_for_depth, resolution_area
from deepstorm3d.jobs import recommend as job
from deepstorm3d.jobs import recommendation_notes as notes
from deepstorm3d.jobs import recommended_files as files
from deepstorm3d.jobs.known_mask_setup import through
from deepstorm3d.optics.masks import TetrapodMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.simulation.backgrounds import NoBackground, SuperGaussianBackground, UniformBackground
from deepstorm3d.simulation.counts import DensityCount, FixedCount, UniformCount
from deepstorm3d.simulation.photons import FixedPhotons, GammaPhotons, UniformPhotons

SCRIPT = Path(__file__).parents[2] / "benchmarks/known_masks.py"
TABLE = known_masks()


@pytest.fixture(autouse=True)
def _few_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two masks of the table, of one channel and of two: each takes a second or two."""
    chosen = tuple(each for each in TABLE.masks if each.name in ("tetrapod", "two planes"))
    few: MaskTable = replace(TABLE, masks=chosen)
    monkeypatch.setattr(job, "known_masks", lambda: few)


def quick() -> Experiment:
    """The tutorial's set-up over 1 µm, for which every mask of the table was simulated."""
    experiment = preset("quickstart")
    scene = experiment.scene()
    prior = scene.emitters.with_(z_um=(0.0, 1.0))
    return experiment.with_(scenes={"main": scene.with_(emitters=prior)})


def by_name(report: Recommendation) -> dict[str, Advice]:
    return {each.mask: each for each in report.advice}


def test_the_table_says_what_its_script_says():
    constants = dict(_constants(ast.parse(SCRIPT.read_text(encoding="utf-8"))))
    conditions = TABLE.conditions
    scope = Microscope()
    assert conditions["depth_um"] == list(constants["DEPTHS_UM"])
    assert conditions["density_per_um2"] == [list(row) for row in constants["DENSITIES"]]
    assert conditions["photons_background"] == [list(row) for row in constants["LIGHTS"]]
    assert (conditions["proposed"], conditions["judged"]) == (constants["PROPOSED"], constants["JUDGED"])
    assert TABLE.waves == pytest.approx([depth_waves(scope, z) for z in constants["DEPTHS_UM"]], rel=1e-3)
    assert [patch_for_depth(scope, z) for z in constants["DEPTHS_UM"]] == [
        fit for fit, _ in constants["PATCHES"]
    ]
    densities = np.array(constants["DENSITIES"]) * resolution_area(scope)
    assert np.array(TABLE.densities) == pytest.approx(densities, rel=1e-3)


def _constants(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    """Module constants that are literals."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                continue
            for target in node.targets:
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                values = value if isinstance(target, ast.Tuple) else [value]
                yield from zip((ast.unparse(name) for name in names), values, strict=True)


@pytest.mark.parametrize("mask", TABLE.masks, ids=lambda mask: mask.name)
def test_denser_is_never_better_and_more_light_never_worse(mask: Any):
    simulated = np.isfinite(mask.jaccard).all((1, 2))
    assert simulated.any()
    jaccard, gain = mask.jaccard[simulated], mask.gain[simulated]
    assert (np.diff(jaccard, axis=1) <= 0).all()
    assert (np.diff(jaccard, axis=2) >= 0).all()
    assert (np.diff(gain, axis=2) > 0).all()
    assert ((jaccard >= 0) & (jaccard <= 1)).all()


def test_at_a_node_the_table_itself_is_the_answer_and_between_two_a_value_between_them():
    mask = next(each for each in TABLE.masks if each.name == "tetrapod")
    at = place_among(TABLE.waves, TABLE.waves[1])
    places = [place_among(row, row[1]) for row in TABLE.densities]
    exact = mask.expected(at, places, float(mask.gain[1, 1, 0]))
    assert exact.jaccard == pytest.approx(float(mask.jaccard[1, 1, 0]))
    assert exact.lateral == pytest.approx(float(mask.lateral[1, 1, 0]))
    between = place_among(TABLE.waves, (TABLE.waves[0] * TABLE.waves[1]) ** 0.5)
    assert (between.index, between.share) == (0, pytest.approx(0.5))


def test_a_mask_between_two_depths_has_numbers_between():
    mask = next(each for each in TABLE.masks if each.name == "tetrapod")
    strengths = []
    for wave in (TABLE.waves[0], (TABLE.waves[0] * TABLE.waves[1]) ** 0.5, TABLE.waves[1]):
        (made,) = mask.masks(place_among(TABLE.waves, wave))
        assert isinstance(made, TetrapodMask)
        strengths.append(made.strength)
    assert strengths[0] < strengths[1] < strengths[2]
    assert strengths[1] == pytest.approx((strengths[0] + strengths[2]) / 2)


def test_denser_is_less_precise_and_finds_no_more_and_brighter_is_more_precise():
    plain, dense, bright = (
        by_name(ds.recommend(quick(), density=density, photons=photons))
        for density, photons in ((0.6, 5000.0), (1.8, 5000.0), (0.6, 20_000.0))
    )
    for name, each in plain.items():
        assert dense[name].jaccard <= each.jaccard + 1e-9
        assert dense[name].bound_axial_nm > each.bound_axial_nm
        assert bright[name].jaccard >= each.jaccard - 1e-9
        assert bright[name].bound_lateral_nm < each.bound_lateral_nm


def test_a_sample_scaled_with_its_microscope_gets_the_same_answer_in_its_own_lengths():
    """Wavelength, pixels and depths twice as large, and a fourth of the density: the images are the same."""
    small = quick().with_(microscope=Microscope(focus=0.85, wavelength=0.6, camera_pitch=10.0))
    large = quick().with_(microscope=Microscope(focus=1.7, wavelength=1.2, camera_pitch=20.0))
    scene = quick().scene()
    prior = scene.emitters.with_(z_um=(0.0, 2.0))
    large = large.with_(scenes={"main": scene.with_(emitters=prior)})
    one, two = by_name(ds.recommend(small, density=1.0)), by_name(ds.recommend(large, density=0.25))
    for name, each in one.items():
        assert two[name].jaccard == pytest.approx(each.jaccard, abs=2e-3)
        assert two[name].bound_axial_nm == pytest.approx(2 * each.bound_axial_nm, rel=0.02)
        assert two[name].focus == pytest.approx(2 * each.focus, rel=0.02)


def test_the_best_is_first_and_each_has_a_reason():
    report = ds.recommend(quick(), density=1.0)
    order = [each.efficiency for each in report.advice]
    assert order == sorted(order, reverse=True)
    assert all("µm²" in each.reason for each in report.advice)


@pytest.mark.parametrize("known", TABLE.masks, ids=lambda known: known.name)
def test_errors_are_not_below_the_bound_or_are_told_to_be_no_precision_and_do_not_count_as_such(known: Any):
    """The whole table: a few hundredths of the floor are chance, of some 80 molecules a point."""
    points = [each.ravel() for each in (known.jaccard, known.lateral, known.axial)]
    for jaccard, lateral, axial in zip(*points, strict=True):
        if math.isnan(jaccard):
            continue
        each = Advice(known.name, "", (), 0.0, jaccard, 20 * lateral, 40 * axial, 20.0, 40.0, 1.0)
        at_bound = replace(each, rmse_lateral_nm=20.0, rmse_axial_nm=40.0)
        told = [note for note in notes.of_answer([each]) if "matched" in note]
        assert bool(told) == (min(lateral, axial) < 0.9)
        assert min(lateral, axial) > 0.85 or jaccard < 0.8
        assert each.efficiency <= at_bound.efficiency


def test_a_small_patch_of_the_experiment_does_not_cut_the_deep_images_off(tmp_path: Path):
    """The bound is that of a larger patch, and the experiment that is written has one."""
    small, large = (quick().with_(psf=quick().psf.with_(patch_px=side)) for side in (31, 75))
    cut, whole = (ds.recommend(each, depth_um=3.5, density=0.3) for each in (small, large))
    for name, each in by_name(cut).items():
        assert each.bound_lateral_nm == pytest.approx(by_name(whole)[name].bound_lateral_nm, rel=0.01)
    written = files.experiment_for(small, cut.sample, cut.advice[0])
    assert written.psf.patch_px == patch_for_depth(written.microscope, 3.5) > 31
    assert files.experiment_for(small, replace(cut.sample, z_um=(0.0, 1.0)), cut.advice[0]).psf == small.psf


def test_sparse_molecules_have_the_bound_of_a_molecule_nearly_alone():
    """At 1e-4 per µm² none lies in 60 frames; the bound is that of the sparsest drawn."""
    sparse, few = (by_name(ds.recommend(quick(), density=density)) for density in (1e-4, 0.02))
    for name, each in sparse.items():
        assert 0 < each.bound_axial_nm == pytest.approx(few[name].bound_axial_nm)


def test_a_scene_without_molecules_is_refused_with_what_to_give():
    scene = quick().scene()
    empty = scene.with_(emitters=scene.emitters.with_(count=DensityCount(low=0.0, high=0.0)))
    with pytest.raises(InputError, match="above 0 molecules per µm², got 0") as error:
        ds.recommend(quick().with_(scenes={"main": empty}))
    assert "density" in error.value.remedy


@pytest.mark.parametrize(
    ("asked", "told", "remedy"),
    [
        ({"depth_um": 12.0}, "12 µm is deeper", "design_mask"),
        ({"depth_um": 0.1}, "0.1 µm is less", "depth_um"),
        ({"depth_um": -3.0}, "above 0 µm, got -3", "depth_um"),
        ({"density": 40.0}, "40 molecules per µm²", "density"),
        ({"photons": 20.0}, "20 photons", "photons"),
        ({"density": -1.0}, "above 0 molecules per µm², got -1", "density"),
        ({"background": -1.0}, "-1 photons per pixel", "0 or more"),
    ],
)
def test_a_sample_outside_of_the_table_is_refused_with_the_number_and_a_remedy(
    asked: dict[str, Any], told: str, remedy: str
):
    with pytest.raises(InputError, match=told) as error:
        ds.recommend(quick(), **{"density": 0.5, **asked})
    assert remedy
    assert remedy in error.value.remedy


def test_a_measured_psf_has_no_mask_to_recommend():
    measured = quick().to_mapping() | {"psf": {"kind": "measured", "path": "beads.tif"}}
    from deepstorm3d.spec import spec_from_mapping

    with pytest.raises(InputError, match="no phase mask"):
        ds.recommend(spec_from_mapping(Experiment, measured), density=0.5)


@pytest.mark.parametrize(
    ("low", "depth", "density", "told"),
    [
        (0.0, 0.9, 0.5, "range of 0.9 µm lies beyond"),
        (0.0, 5.5, 0.3, "range of 5.5 µm lies beyond"),
        (0.0, 2.2, 0.3, ""),
        (0.0, 2.2, 0.01, "0.01 molecules per µm² lie beyond"),
        (0.0, 2.2, 2.0, "2 molecules per µm² lie beyond"),
        (1.5, 2.2, 0.3, "yours begins 1.5 µm above it"),
    ],
)
def test_what_lies_beyond_the_table_is_told_with_its_number_and_nothing_at_its_middle(
    low: float, depth: float, density: float, told: str
):
    scope, sample = Microscope(), Sample((low, low + depth), density, 5000.0, 20.0)
    found = [*notes.beyond_the_table(scope, sample, TABLE), *notes.of_microscope(scope, sample)]
    assert len(found) == bool(told)
    assert all(told in note for note in found)


def test_light_beyond_the_table_is_told():
    assert list(notes.of_light([1.2, 1.0], [0.2, 1.0])) == []
    (dim,) = notes.of_light([0.7, 1.1], [0.1, 0.2])
    (bright,) = notes.of_light([9.0, 8.0], [1.1, 1.4])
    assert "dimmer" in dim and "0.7" in dim
    assert "brighter" in bright and "1.4" in bright


@pytest.mark.parametrize(
    ("immersion", "sample", "told"),
    [(1.33, 1.33, "look alike"), (1.33, 1.40, "look alike"), (1.33, 1.47, "turns the sign"), (1.518, 1.33, "")],
)
def test_an_objective_of_another_mismatch_than_the_tables_is_told(immersion: float, sample: float, told: str):
    scope = Microscope(na=1.2, n_immersion=immersion, n_sample=sample)
    found = list(notes.of_microscope(scope, Sample((0.0, 1.0), 0.5, 5000.0, 20.0)))
    assert len(found) == bool(told)
    assert all(told in note for note in found)


def test_differences_that_may_be_chance_are_no_reason():
    best = Advice("a", "", (), 0.0, 0.95, 20.0, 40.0, 20.0, 40.0, 1.0)
    sample = Sample((0.0, 1.0), 0.5, 5000.0, 20.0)
    _, near, far = notes.with_reasons([best, replace(best, jaccard=0.88), replace(best, jaccard=0.8)], sample)
    assert "Jaccard" not in near.reason
    assert "Jaccard index 0.15 below that of a" in far.reason


def test_the_command_line_writes_table_record_picture_and_experiment(tmp_path: Path):
    names = ("table.csv", "record.json", "picture.png", "experiment.yaml")
    table, record, picture, experiment = (tmp_path / name for name in names)
    done = CliRunner().invoke(
        app,
        [
            *(
                "recommend",
                "quickstart",
                "--depth",
                "1",
                "--density",
                "0.8",
                "--csv",
                str(table),
                "--json",
                str(record),
            ),
            *("--plot", str(picture), "--experiment-out", str(experiment), "--mask", "tetrapod"),
        ],
    )
    assert done.exit_code == 0, done.output
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    told = json.loads(record.read_text(encoding="utf-8"))
    assert [row["mask"] for row in rows] == [each["mask"] for each in told["masks"]]
    assert told["sample"]["density"] == 0.8
    assert picture.read_bytes().startswith(b"\x89PNG")
    written = ds.read_experiment(experiment)
    assert isinstance(written.mask, TetrapodMask)
    assert written.z_um == tuple(told["sample"]["z_um"])
    assert written.scene().emitters.count.highest_density(1.0) == 0.8
    assert f"design-psf {experiment}" in done.output.replace("\n", "")
    best = next(each for each in told["masks"] if each["mask"] == "tetrapod")
    assert written.microscope.focus == pytest.approx(best["focus_um"], abs=1e-3)
    refused = CliRunner().invoke(app, ["recommend", "quickstart", "--csv", str(table)])
    assert refused.exit_code != 0


def test_a_mask_is_refused_before_the_work_with_those_there_are(monkeypatch: pytest.MonkeyPatch):
    few = job.known_masks()
    shallow = [
        replace(each, gain=np.where([[[True]], [[False]], [[False]]], each.gain, np.nan)) for each in few.masks
    ]
    tables = replace(few, masks=(few.masks[0], *shallow[1:]))
    monkeypatch.setattr(job, "known_masks", lambda: tables)
    sample = Sample((0.0, 2.2), 0.5, 5000.0, 20.0)
    job.refuse_mask(quick(), sample, "tetrapod")
    with pytest.raises(InputError, match="no known mask 'axicon'; there are: tetrapod"):
        job.refuse_mask(quick(), sample, "axicon")
    with pytest.raises(
        InputError, match=r"'two planes' was not simulated for 2\.2 µm of depth; there are: tetrapod"
    ):
        job.refuse_mask(quick(), sample, "two planes")


@pytest.mark.parametrize("arguments", [["--mask", "tetrapod"], ["--mask", "axicon", "--experiment-out"]])
def test_the_command_line_refuses_a_mask_that_leads_nowhere_and_writes_nothing(
    tmp_path: Path, arguments: list[str]
):
    table = tmp_path / "table.csv"
    where = [str(tmp_path / "out.yaml")] if arguments[-1].startswith("--") else []
    done = CliRunner().invoke(app, ["recommend", "quickstart", "--csv", str(table), *arguments, *where])
    assert isinstance(done.exception, InputError) or done.exit_code == 2
    assert list(tmp_path.iterdir()) == []


SCENES = {
    "as it is": (
        DensityCount(low=0.1, high=0.5),
        FixedPhotons(photons=5000.0),
        UniformBackground(low=20.0, high=20.0),
    ),
    "ranges": (
        UniformCount(low=1, high=20),
        UniformPhotons(low=500.0, high=2500.0),
        SuperGaussianBackground(floor=(5.0, 10.0), peak=(20.0, 40.0)),
    ),
    "gamma, dark": (FixedCount(count=3), GammaPhotons(shape=3.0, scale=900.0), NoBackground()),
}


@pytest.mark.parametrize("name", SCENES)
def test_an_experiment_that_is_written_has_the_sample_in_its_scene(tmp_path: Path, name: str):
    """Asked again with nothing changed, it is the same sample; kinds and relative ranges are kept."""
    count, photons, background = SCENES[name]
    scene = quick().scene()
    prior = scene.emitters.with_(count=count, photons=photons, min_photons=100.0)
    given = quick().with_(scenes={"other": scene, "main": scene.with_(emitters=prior, background=background)})
    sample = Sample((0.0, 1.2), 0.5, 5000.0, 20.0)
    advice = Advice("tetrapod", "", (TetrapodMask(),), 0.7, 0.9, 20.0, 40.0, 20.0, 40.0, 1.0)
    files.write_experiment_for(given, Recommendation(sample, (advice,), ()), tmp_path / "e.yaml", scene="main")
    written = ds.read_experiment(tmp_path / "e.yaml")
    again = job.sample_of(written, "main")
    assert again.z_um == sample.z_um
    assert (again.density, again.photons, again.background) == pytest.approx((0.5, 5000.0, 20.0))
    assert written.scene("other") == scene
    made = written.scene("main").emitters
    assert type(made.photons) is type(photons)
    assert made.min_photons == pytest.approx(100 * 5000 / prior.median_photons)
    if isinstance(count, UniformCount | DensityCount):
        assert isinstance(made.count, DensityCount)
        assert made.count.low / made.count.high == pytest.approx(count.low / count.high)


def test_further_channels_of_the_experiment_are_told_to_be_left_out():
    both = through(quick(), (TetrapodMask(), TetrapodMask()), 0.5)
    (note,) = notes.of_channels(both)
    assert "channel2" in note
    assert list(notes.of_channels(quick())) == []


def test_two_planes_become_an_experiment_of_two_channels(tmp_path: Path):
    report = ds.recommend(quick(), density=0.5)
    path = tmp_path / "experiment.yaml"
    with pytest.raises(InputError, match="two planes"):
        files.write_experiment_for(quick(), report, path, "axicon")
    files.write_experiment_for(quick(), report, path, "two planes")
    written = ds.read_experiment(path)
    assert written.shares == (0.5, 0.5)
    assert written.known_shares == (0.5, 0.5)
