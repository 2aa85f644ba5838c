"""Which mask fits a sample: what physics demands of the answer, and of the table behind it."""

from __future__ import annotations

import ast
import csv
import json
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
from deepstorm3d.experiment.recommendation import Advice, Recommendation
from deepstorm3d.experiment.sample_scale import depth_waves, resolution_area
from deepstorm3d.jobs import recommend as job
from deepstorm3d.optics.masks import TetrapodMask
from deepstorm3d.optics.microscope import Microscope

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


def test_errors_are_never_below_the_bound_by_much_and_the_best_is_first():
    report = ds.recommend(quick(), density=1.0)
    order = [each.efficiency for each in report.advice]
    assert order == sorted(order, reverse=True)
    for each in report.advice:
        assert each.rmse_lateral_nm > 0.7 * each.bound_lateral_nm
        assert "µm²" in each.reason


@pytest.mark.parametrize(
    ("asked", "told", "remedy"),
    [
        ({"depth_um": 12.0}, "12 µm is deeper", "design_mask"),
        ({"depth_um": 0.1}, "0.1 µm is less", "depth_um"),
        ({"density": 40.0}, "40 molecules per µm²", "density"),
        ({"photons": 20.0}, "20 photons", "photons"),
        ({"density": -1.0}, "-1", ""),
        ({"photons": 0.0}, "0 photons", ""),
    ],
)
def test_a_sample_outside_of_the_table_is_refused_with_the_number_and_a_remedy(
    asked: dict[str, Any], told: str, remedy: str
):
    with pytest.raises(InputError, match=told) as error:
        ds.recommend(quick(), **{"density": 0.5, **asked})
    assert remedy in (error.value.remedy or "")


def test_a_measured_psf_has_no_mask_to_recommend():
    measured = quick().to_mapping() | {"psf": {"kind": "measured", "path": "beads.tif"}}
    from deepstorm3d.spec import spec_from_mapping

    with pytest.raises(InputError, match="no phase mask"):
        ds.recommend(spec_from_mapping(Experiment, measured), density=0.5)


def test_the_range_at_the_end_of_the_table_is_told():
    report = ds.recommend(quick(), depth_um=0.9, density=0.5)
    assert any("end of the table" in note for note in report.notes)


def test_an_objective_of_the_samples_own_index_is_told():
    water = quick().with_(microscope=Microscope(na=1.2, n_immersion=1.33, focus=0.5))
    assert any("look alike" in note for note in ds.recommend(water, density=0.5).notes)
    assert not any("look alike" in note for note in ds.recommend(quick(), density=0.5).notes)


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
    best = next(each for each in told["masks"] if each["mask"] == "tetrapod")
    assert written.microscope.focus == pytest.approx(best["focus_um"], abs=1e-3)
    refused = CliRunner().invoke(app, ["recommend", "quickstart", "--csv", str(table)])
    assert refused.exit_code != 0


def test_an_unknown_mask_is_refused_with_the_known_ones(tmp_path: Path):
    report = ds.recommend(quick(), density=0.5)
    with pytest.raises(InputError, match="two planes"):
        job.write_experiment_for(quick(), report, tmp_path / "experiment.yaml", "axicon")


def test_two_planes_become_an_experiment_of_two_channels(tmp_path: Path):
    report = ds.recommend(quick(), density=0.5)
    path = tmp_path / "experiment.yaml"
    job.write_experiment_for(quick(), report, path, "two planes")
    written = ds.read_experiment(path)
    assert written.shares == (0.5, 0.5)
    assert written.known_shares == (0.5, 0.5)
