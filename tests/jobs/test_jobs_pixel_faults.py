"""Faulty pixels in movies: found before the run, given no weight wherever light is read, and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepstorm3d.camera import IdealCamera
from deepstorm3d.emitters import Emitters
from deepstorm3d.errors import InputError
from deepstorm3d.field import Field
from deepstorm3d.io.movies.preparation import Prepared
from deepstorm3d.io.tables import read_header, read_table
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.regenerate import regenerate_frame
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.simulation.simulator import Simulator
from factories import tiny_experiment, untrained_model, write_movie

pytestmark = pytest.mark.usefixtures("coarse_pictures")

XYZ = torch.tensor([[1.6, 1.7, 0.3], [3.4, 3.6, 0.8], [1.5, 3.8, 0.6]])
SIZE = 48


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    """Matching pursuit: it needs no trained network."""
    return load_pipeline(untrained_model(tiny_experiment(camera=IdealCamera()), 0.5), method="pursuit")


@pytest.fixture(scope="module")
def frames(pipeline: Pipeline) -> np.ndarray:
    """Four frames of the same three molecules, (4, 48, 48) counts."""
    assert pipeline.fit is not None
    frame = torch.arange(4).repeat_interleave(3)
    emitters = Emitters(XYZ.repeat(4, 1), frame, torch.full((12,), 6000.0), torch.arange(12))
    simulator = Simulator(pipeline.psf, pipeline.camera, Field(SIZE, SIZE, pipeline.psf.pixel_um))
    mean = simulator.expected(emitters, torch.full((4, SIZE, SIZE), 30.0))
    return torch.poisson(mean, generator=torch.Generator().manual_seed(5)).numpy().astype(np.uint16)


def stored(path: Path, counts: np.ndarray) -> Path:
    write_movie(path, counts.astype(np.uint16), None)
    return path


def errors_nm(path: Path) -> tuple[int, float]:
    """Rows of a list, and the rms distance in the plane of the true molecules to their nearest rows."""
    table = read_table(path, pixel_um=0.11)
    off = [torch.cdist(XYZ[:, :2], table.xyz[table.frame == k, :2]).amin(1) for k in range(4)]
    return len(table), 1000 * float(torch.cat(off).square().mean().sqrt())


def faulty(counts: np.ndarray) -> np.ndarray:
    """A hot pixel beside a molecule, a dead column through another, and a cosmic ray."""
    counts = counts.copy()
    counts[:, 17, 12] = 10000
    counts[:, :, 31] = 0
    counts[2, 8, 40] += 2000
    return counts


def test_faulty_pixels_make_no_molecules_and_move_none(
    pipeline: Pipeline, frames: np.ndarray, tmp_path: Path
) -> None:
    good = localize_movie(
        Excerpt(stored(tmp_path / "good.tif", frames)), pipeline, ListFile(tmp_path / "good.hdf5")
    )
    bad = localize_movie(
        Excerpt(stored(tmp_path / "bad.tif", faulty(frames))), pipeline, ListFile(tmp_path / "bad.hdf5")
    )
    (rows, off), (rows_bad, off_bad) = errors_nm(tmp_path / "good.hdf5"), errors_nm(tmp_path / "bad.hdf5")
    assert rows == rows_bad == 12
    assert off_bad < off + 5
    assert good.warnings == []
    told = " ".join(bad.warnings)
    assert f"{SIZE + 1} defective pixels" in told
    assert "column 31 (rows 0 to 47); column 12, row 17" in told
    assert "1 pixels in 1 of 4 frames stand out" in told
    record = read_header(tmp_path / "bad.hdf5").provenance["pixels"]
    assert [12, 17] in record["defective_px"]


def test_the_same_pixels_are_told_of_a_region_and_a_range_of_a_turned_movie(
    pipeline: Pipeline, frames: np.ndarray, tmp_path: Path
) -> None:
    counts = frames.copy()
    counts[:, 17, 12] = 10000
    turned = Prepared(flip="horizontal")
    excerpt = Excerpt(stored(tmp_path / "m.tif", counts), (1, 2), (10, 4, SIZE, SIZE), turned)
    with excerpt.open() as source:
        judged = source.judged(pipeline.camera, pipeline.experiment.microscope)
        assert "column 35, row 17" in judged.pixel_notes()[0]
        light = judged.at_work(pipeline).light(torch.from_numpy(judged.read(1, 2).astype(np.float32)))
    assert light.weight is not None
    assert (light.weight == 0).nonzero().tolist() == [[0, 13, 25]]


def test_saturated_pixels_are_found_left_out_and_told(
    pipeline: Pipeline, frames: np.ndarray, tmp_path: Path
) -> None:
    cut = np.minimum(frames, 220)
    assert (cut == 220).sum() >= 20
    excerpt = Excerpt(stored(tmp_path / "cut.tif", cut))
    summary = localize_movie(excerpt, pipeline, ListFile(tmp_path / "cut.hdf5"))
    rows, off = errors_nm(tmp_path / "cut.hdf5")
    assert rows == 12
    assert off < 15
    assert summary.saturated_frames == 4
    assert "the counts end at 220, not at 65535" in " ".join(summary.warnings)
    report = regenerate_frame(tmp_path / "cut.hdf5", excerpt, pipeline, tmp_path / "o.png", frame=1)
    assert 0.85 < report.deviance_per_pixel < 1.15
    assert "saturated" in " ".join(report.notes)


def test_defects_can_be_named_by_a_file_or_taken_as_they_are(
    pipeline: Pipeline, frames: np.ndarray, tmp_path: Path
) -> None:
    counts = frames.copy()
    counts[:, 5, 40] = 3000
    movie = stored(tmp_path / "m.tif", counts)
    named = np.zeros((SIZE, SIZE), dtype=bool)
    named[5, 40] = named[20, 3] = True
    np.save(tmp_path / "bad.npy", named)
    np.save(tmp_path / "small.npy", named[:20])
    camera, microscope = pipeline.camera, pipeline.experiment.microscope

    def found(choice: object, roi: tuple[int, int, int, int] | None = None) -> tuple[tuple[int, int], ...]:
        with replace(Excerpt(movie), defects=choice, roi=roi).open() as source:  # type: ignore[arg-type]
            faults = source.judged(camera, microscope).excerpt.faults
            assert faults is not None
            return faults.defective

    assert found("auto") == ((5, 40),)
    assert found("none") == ()
    assert found(tmp_path / "bad.npy") == ((5, 40), (20, 3))
    for wrong in ("small.npy", "m.tif", "missing.npy"):
        with pytest.raises(InputError):
            found(tmp_path / wrong)
    named[:20, 30:] = True
    np.save(tmp_path / "corner.npy", named)
    assert len(found(tmp_path / "corner.npy", (29, 0, SIZE, 20))) == 18 * 20
    with pytest.raises(InputError, match=r"mark every pixel of this region of 18 x 20 px"):
        found(tmp_path / "corner.npy", (30, 0, SIZE, 20))
