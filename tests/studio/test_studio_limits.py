"""What the panel "Limits" holds: the numbers of the job `limit`, mask by mask, for the newest question only."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from deepstorm3d.errors import InputError
from deepstorm3d.experiment.files import write_experiment
from deepstorm3d.io.masks import write_mask
from deepstorm3d.jobs.limit import Sweep, limit, masks_to_compare
from deepstorm3d.studio.folder import Folder
from deepstorm3d.studio.limits.bounds import Limits
from deepstorm3d.studio.limits.curves import bounds_chart, mask_colour
from deepstorm3d.studio.limits.pictures import DEPTHS, phase_png, planes_png
from deepstorm3d.studio.limits.same import limit_command, limit_python
from deepstorm3d.studio.limits.table import summary_table
from factories import tiny_experiment

pytest.importorskip("nicegui", reason="the studio needs NiceGUI")

SWEEP = Sweep(depths=5, photons=(2e3, 8e3), background=(1.0, 100.0), emitters=(1, 8), molecules=16)


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """A flat phase: an ordinary PSF."""
    path = tmp_path / "flat.npy"
    write_mask(path, np.zeros((61, 61)))
    return path


@pytest.fixture
def limits() -> Iterator[Limits]:
    look = Limits(SWEEP)
    look.take(tiny_experiment(), "tiny.yaml")
    yield look
    finish(look)


def finish(look: Limits) -> None:
    """Let no thread compute on beyond its test."""
    for latest in (look.bounds, look.pictures):
        latest.stop()
        while latest.busy:
            time.sleep(0.01)


def test_bounds_are_those_of_the_job_and_a_mask_that_is_added_leaves_the_others(limits: Limits, mask: Path):
    limits.bounds.wait()
    first = limits.report
    assert first is not None
    limits.add(str(mask))
    limits.bounds.wait()
    both = limits.report
    assert both is not None
    assert [each.name for each in both.masks] == ["astigmatic (the experiment's)", "flat.npy"]
    assert both.masks[0].median is first.masks[0].median  # not computed again
    wanted = limit(tiny_experiment(), masks_to_compare(tiny_experiment(), [mask]), sweep=SWEEP)
    for mine, job in zip(both.masks, wanted.masks, strict=True):
        for bounds in ("depth", "photons", "background", "median", "rms"):
            np.testing.assert_array_equal(getattr(mine, bounds).sigma_nm, getattr(job, bounds).sigma_nm)
    # One PSF tells depth, the other does not.
    assert both.masks[1].depth.sigma_nm[:, 2].max() > 2 * both.masks[0].depth.sigma_nm[:, 2].max()


def test_one_molecule_comes_first_for_every_mask(limits: Limits):
    limits.add("vortex")
    limits.bounds.wait()
    asked, whole = limits.asked, limits.report
    assert asked is not None
    assert whole is not None
    asked.bounds.clear()
    first = limits.report
    assert first is not None
    assert [len(mask.emitters) for mask in first.masks] == [0, 0]
    for early, late in zip(first.masks, whole.masks, strict=True):
        np.testing.assert_array_equal(early.depth.sigma_nm, late.depth.sigma_nm)
    # A table and curves of what is there, also while one mask is ahead of the other.
    assert "per µm²" not in summary_table(first)
    ahead = replace(first, masks=(whole.masks[0], first.masks[1]))
    assert "per µm²" not in summary_table(ahead)
    assert [len(line["data"]) for line in bounds_chart(ahead, "density", ("z",))["series"]] == [2, 0]
    with pytest.raises(InputError, match="still being computed"):
        limits.save(Path("limit.png"), Path("limit.csv"))


def test_other_conditions_are_computed_anew(limits: Limits):
    limits.bounds.wait()
    before = limits.report
    limits.use(photons=4 * tiny_experiment().scene().emitters.photons.median)
    assert limits.report is None or limits.report is not before
    limits.bounds.wait()
    brighter = limits.report
    assert before is not None
    assert brighter is not None
    ratio = before.masks[0].depth.sigma_nm / brighter.masks[0].depth.sigma_nm
    assert (ratio > 2).all()
    assert (ratio < 4.1).all()


def test_a_mask_of_a_kind_can_be_added_and_taken_out(limits: Limits):
    limits.add("vortex")
    assert limits.asked is not None
    assert [each.name for each in limits.asked.masks] == ["astigmatic (the experiment's)", "vortex"]
    with pytest.raises(InputError, match="already"):
        limits.add("vortex")
    with pytest.raises(InputError, match="there is no mask 'tetrapot'"):
        limits.add("tetrapot")
    assert len(limits.asked.masks) == 2
    limits.remove(limits.asked.masks[1])
    assert [each.given for each in limits.asked.masks] == [""]


def test_a_mask_that_does_not_fit_is_an_error_in_words_and_the_others_stay(limits: Limits, tmp_path: Path):
    limits.bounds.wait()
    small = tmp_path / "small.npy"
    write_mask(small, torch.zeros(5, 5))
    limits.add(str(small))
    limits.bounds.wait()
    assert isinstance(limits.error, InputError)
    assert "small.npy" in str(limits.error) or "mask" in str(limits.error)
    assert limits.report is not None
    assert len(limits.report.masks) == 1
    with pytest.raises(InputError, match="still being computed"):
        limits.save(tmp_path / "limit.png", tmp_path / "limit.csv")


def test_without_an_experiment_the_page_says_what_to_do(tmp_path: Path):
    limits = Limits(SWEEP)
    with pytest.raises(InputError, match="choose a preset"):
        limits.add("vortex")
    with pytest.raises(InputError, match="no preset"):
        limits.open("quickstar")
    assert limits.report is None
    with pytest.raises(InputError, match="choose one first"):
        limit_command(limits.asked, "", Folder(tmp_path))


@pytest.mark.usefixtures("coarse_pictures")
def test_picture_and_table_are_the_files_of_the_job(limits: Limits, tmp_path: Path):
    limits.bounds.wait()
    picture, table = tmp_path / "limit.png", tmp_path / "limit.csv"
    limits.save(picture, table)
    assert picture.read_bytes().startswith(b"\x89PNG")
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 + 2 + 2 + 2 * 2
    with pytest.raises(InputError, match="exists"):
        limits.save(picture, table)


def test_pictures_show_the_phase_and_the_psf_at_each_depth(limits: Limits, mask: Path):
    limits.add(str(mask))
    limits.pictures.wait()
    assert limits.asked is not None
    own, flat = (limits.asked.pictures[each.key] for each in limits.asked.masks)
    assert own.z_um[0] == 0.0
    assert own.z_um[-1] == pytest.approx(1.2)
    assert own.planes.shape == flat.planes.shape == (DEPTHS, 21, 21)
    assert np.abs(own.planes - flat.planes).max() > 0.01
    assert flat.phase is not None
    drawn = imread(BytesIO(planes_png(own.planes)), format="png")
    assert drawn.shape[:2] == (21, DEPTHS * 21)
    # Each depth is as bright as the next: its own scale.
    assert all(part[..., :3].max() > 0.9 for part in np.split(drawn, DEPTHS, axis=1))
    plain = imread(BytesIO(phase_png(flat.phase)), format="png")
    turned = imread(BytesIO(phase_png(flat.phase + 2 * np.pi)), format="png")
    other = imread(BytesIO(phase_png(flat.phase + np.pi)), format="png")
    assert np.abs(plain - turned).max() < 0.03
    assert np.abs(plain - other)[..., :3].max() > 0.3


def test_curves_hold_the_numbers_of_the_report(limits: Limits):
    limits.bounds.wait()
    report = limits.report
    assert report is not None
    lateral = bounds_chart(report, "depth", ("x", "y"))
    assert [line["name"] for line in lateral["series"]] == [
        f"{report.masks[0].name}, σ of {axis}" for axis in "xy"
    ]
    bounds = report.masks[0].depth
    np.testing.assert_allclose(
        np.array(lateral["series"][1]["data"]), np.stack([bounds.at, bounds.sigma_nm[:, 1]], 1), atol=1e-3
    )
    assert lateral["series"][0]["color"] == mask_colour(0)
    dense = bounds_chart(report, "density", ("z",))
    assert dense["xAxis"]["type"] == dense["yAxis"]["type"] == "log"
    assert len(dense["series"][0]["data"]) == 2
    waiting = bounds_chart(None, "photons", ("z",), "computing …")
    assert waiting["series"] == [] and waiting["title"]["text"] == "computing …"
    assert not waiting["xAxis"]["show"] and not waiting["yAxis"]["show"], "no bare axes"


def test_the_table_names_masks_as_text_and_has_their_bounds(limits: Limits, tmp_path: Path):
    odd = tmp_path / "<b>bold.npy"
    write_mask(odd, np.zeros((61, 61)))
    limits.add(str(odd))
    limits.bounds.wait()
    report = limits.report
    assert report is not None
    text = summary_table(report)
    assert "&lt;b&gt;bold.npy" in text
    for mask in report.masks:
        assert " · ".join(f"{value:.1f}" for value in mask.depth.sigma_nm[0]) in text
    assert summary_table(None) == ""


def test_command_and_python_do_the_same(tmp_path: Path, mask: Path):
    write_experiment(tiny_experiment(), tmp_path / "tiny.yaml")
    limits = Limits(SWEEP)
    limits.open(str(tmp_path / "tiny.yaml"))
    limits.add(str(mask))
    limits.add("vortex")
    limits.use(photons=3000.0, background=None)
    folder = Folder(tmp_path)
    assert limit_command(limits.asked, "tiny.yaml", folder) == (
        "deepstorm3d limit tiny.yaml --mask flat.npy --mask vortex --photons 3000 "
        "--out limit.png --csv limit.csv"
    )
    assert "'flat.npy': 'flat.npy'" in limit_python(limits.asked, "tiny.yaml", folder)
    assert limit_command(limits.asked, "", folder).startswith("# save the experiment")
    finish(limits)
