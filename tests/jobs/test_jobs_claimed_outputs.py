"""Pictures and masks that cannot be written, and two outputs of one name, are told before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deepstorm3d.analysis.dyes import DyeRule
from deepstorm3d.calibration.beads.settings import BeadSettings
from deepstorm3d.cli import app
from deepstorm3d.errors import InputError
from deepstorm3d.jobs.axial_scan import FocalPlanes, scan_stack
from deepstorm3d.jobs.design_psf import design_mask
from deepstorm3d.jobs.dyes import dyes_of_table
from deepstorm3d.jobs.estimate import estimate_movie
from deepstorm3d.jobs.evaluate import evaluate_table
from deepstorm3d.jobs.figure_files import FigureFiles
from deepstorm3d.jobs.fisher_design import design_by_fisher
from deepstorm3d.jobs.measure_psf import measure_psf
from deepstorm3d.jobs.register import register_files
from deepstorm3d.jobs.render import render_section_table, render_table
from deepstorm3d.jobs.render_beside import render_beside
from deepstorm3d.jobs.resolution import measure_resolution
from deepstorm3d.jobs.retrieve_mask import RetrievalFiles, retrieve_mask
from deepstorm3d.jobs.track import track_table
from deepstorm3d.localizing.excerpt import Excerpt
from factories import tiny_experiment

# None of these files is there: what is told of the output is told before they are asked for.
SOURCE, MOVIE, TINY = Path("nowhere.hdf5"), Excerpt(Path("nowhere.tif")), tiny_experiment()
FOCI = FocalPlanes(first_um=0.0, step_um=0.1)


def retrieve(out: RetrievalFiles) -> object:
    return retrieve_mask(TINY, [SOURCE], BeadSettings(), out)


PICTURES: dict[str, Callable[[Path], object]] = {
    "axial-scan": lambda out: scan_stack(MOVIE, TINY, out.with_suffix(".csv"), FOCI, picture=out),
    "dyes": lambda out: dyes_of_table(
        SOURCE, out.with_suffix(".csv"), DyeRule({"a": 0.2, "b": 0.8}), picture=out
    ),
    "estimate": lambda out: estimate_movie(MOVIE, TINY, out.with_suffix(".yaml"), picture=out),
    "evaluate": lambda out: evaluate_table(SOURCE, SOURCE, files=FigureFiles(picture=out)),
    "measure-psf": lambda out: measure_psf(TINY, [SOURCE], BeadSettings(), out.with_suffix(".h5"), picture=out),
    "register": lambda out: register_files((SOURCE, SOURCE), out.with_suffix(".yaml"), picture=out),
    "render": lambda out: render_table(SOURCE, out),
    "render, a section": lambda out: render_section_table(SOURCE, out, "z", (0.0, 1.0)),
    "render, beside": lambda out: render_beside(SOURCE, out),
    "resolution": lambda out: measure_resolution(SOURCE, files=FigureFiles(picture=out)),
    "retrieve-mask": lambda out: retrieve(RetrievalFiles(out.with_suffix(".npy"), picture=out)),
    "retrieve-mask, field": lambda out: retrieve(RetrievalFiles(out.with_suffix(".npy"), field=out)),
    "track": lambda out: track_table(SOURCE, out.with_suffix(".csv"), picture=out),
}
MASKS: dict[str, Callable[[Path], object]] = {
    "design": lambda out: design_mask(TINY, out),
    "design by Fisher information": lambda out: design_by_fisher(TINY, out),
    "retrieve-mask": lambda out: retrieve(RetrievalFiles(out)),
}


@pytest.mark.parametrize("job", PICTURES)
def test_an_ending_of_no_picture_is_told_before_any_work(job: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"seen\.txt: no picture format ends in '\.txt'"):
        PICTURES[job](tmp_path / "seen.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("job", MASKS)
def test_an_ending_of_no_mask_is_told_before_any_work(job: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"/mask\.txt: a mask is written as \.npy, \.mat or \.tif"):
        MASKS[job](tmp_path / "mask.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        "limit quickstart --out a.png --csv a.png",
        "recommend --csv a.csv --json a.csv",
        "recommend --json ./a.png --plot a.png",
        "evaluate nowhere.hdf5 --truth nowhere.csv --json a.png --plot a.png",
        "estimate nowhere.tif quickstart --out a.png",
        "measure-psf nowhere.tif quickstart --out psf.h5 --picture a.png --experiment-out a.png",
        "retrieve-mask nowhere.tif quickstart --out a.npy --json a.npy",
        "simulate quickstart --frames 1 --out a.tif --truth a.tif",
    ],
)
def test_two_outputs_of_one_name_are_told_before_any_work(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 2
    assert "two outputs have the same name" in " ".join(done.output.split())
    assert list(tmp_path.iterdir()) == []
