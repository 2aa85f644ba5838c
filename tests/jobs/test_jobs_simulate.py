"""Simulating: movie and truth agree, numbers are as asked for, and a failed run leaves nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.drift import DriftCurve
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.light_patch import patch_for_light
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.io.movies import MovieWriter, open_movie
from deepstorm3d.io.tables import read_truth
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import ZeroMask
from deepstorm3d.simulation.lifetimes import ExponentialBlinking
from deepstorm3d.simulation.photons import FixedPhotons
from deepstorm3d.simulation.specimen import Specimen
from watchers import Recorder

PIXEL = 0.11


def small(**scene: object) -> Experiment:
    """A set-up whose PSF is quick to tabulate: no mask, a shallow range around focus, a coarse grid."""
    experiment = preset("quickstart")
    prior = experiment.scene().emitters.with_(**{"z_um": (0.5, 0.7), **scene})
    return experiment.with_(
        mask=ZeroMask(),
        microscope=experiment.microscope.with_(mask_pitch=120.0),
        psf=experiment.psf.with_(patch_px=13),
        frame_px=(32, 40),
        scenes={"main": experiment.scene().with_(emitters=prior)},
    )


def counts_of(path: Path) -> np.ndarray:
    with open_movie(path) as movie:
        assert movie.pixel_um == pytest.approx(PIXEL)
        return movie.read(0, movie.shape[0]).astype(float)


def test_every_frame_holds_the_number_asked_for_and_shows_it_where_the_truth_says(tmp_path: Path):
    out, truth = tmp_path / "m.tif", tmp_path / "t.csv"
    summary = simulate_movie(
        MovieSimulation(small(), frames=7, specimen=Specimen(emitters=1)), out, truth=truth
    )
    frames, table = counts_of(out), read_truth(truth)
    assert frames.shape == (7, 32, 40)
    assert table.frame.tolist() == list(range(7))
    assert summary.emitters == 7
    for image, place in zip(frames, (table.xyz[:, :2] / PIXEL).tolist(), strict=True):
        x, y = (round(value) for value in place)
        # An in-focus spot of 5000 photons on a background of 20 is the brightest thing in its frame.
        row, column = np.unravel_index(image.argmax(), image.shape)
        assert abs(row - y) <= 1
        assert abs(column - x) <= 1


def test_truth_numbers_its_molecules_through_all_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("deepstorm3d.jobs.simulate.BLOCK_PIXELS", 1)  # a frame at a time
    watch = Recorder()
    simulate_movie(
        MovieSimulation(small(), frames=3, specimen=Specimen(emitters=4)),
        tmp_path / "m.tif",
        truth=tmp_path / "t.csv",
        watch=watch,
    )
    assert [step[:2] for step in watch.steps] == [(1, 3), (2, 3), (3, 3)]
    table = read_truth(tmp_path / "t.csv")
    assert table.frame.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert len(table.id.unique()) == 12


def test_the_same_seed_gives_the_same_movie_and_another_seed_another(tmp_path: Path):
    movies = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate_movie(
            MovieSimulation(small(), frames=2, specimen=Specimen(emitters=3), seed=seed),
            tmp_path / f"{name}.tif",
        )
        movies.append(counts_of(tmp_path / f"{name}.tif"))
    assert np.array_equal(movies[0], movies[1])
    assert not np.array_equal(movies[0], movies[2])


def test_emitters_outside_the_frame_are_no_truth_and_dim_ones_are(tmp_path: Path):
    experiment = small(margin_px=(-20.0, -20.0), min_photons=10_000.0)
    summary = simulate_movie(
        MovieSimulation(experiment, frames=20), tmp_path / "m.tif", truth=tmp_path / "t.csv"
    )
    table = read_truth(tmp_path / "t.csv")
    place = table.xyz[:, :2] / PIXEL
    assert len(table) == summary.emitters > 0
    assert summary.labelled == 0
    assert bool((place > -0.51).all())
    assert bool((place < torch.tensor([39.51, 31.51])).all())


@pytest.mark.parametrize("structure", ["filaments", "mitochondria", "ellipsoid", "nucleus"])
def test_molecules_on_a_structure_blink_at_about_the_density_asked_for(tmp_path: Path, structure: str):
    experiment = small(z_um=(0.2, 1.0))
    summary = simulate_movie(
        MovieSimulation(experiment, frames=100, specimen=Specimen(emitters=5, structure=structure)),
        tmp_path / "m.tif",
        truth=tmp_path / "t.csv",
    )
    table = read_truth(tmp_path / "t.csv")
    assert 350 < summary.emitters < 650
    assert len(table.id.unique()) < len(table)  # some shine in several frames
    assert bool((table.photons == 5000).all())
    assert float(table.xyz[:, 2].min()) >= 0.2
    assert float(table.xyz[:, 2].max()) <= 1.0


def test_a_snapshot_of_a_structure_shows_all_its_molecules(tmp_path: Path):
    summary = simulate_movie(
        MovieSimulation(small(), frames=1, specimen=Specimen(emitters=9, structure="ellipsoid")),
        tmp_path / "m.tif",
    )
    assert summary.emitters == 9


def test_a_structure_too_large_for_the_range_is_the_users_mistake(tmp_path: Path):
    with pytest.raises(InputError, match="mitochondria do not fit"):
        simulate_movie(
            MovieSimulation(small(), frames=1, specimen=Specimen(emitters=9, structure="mitochondria")),
            tmp_path / "m.tif",
        )


def test_a_failed_run_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MovieWriter, "append", fail)
    with pytest.raises(KeyboardInterrupt):
        simulate_movie(
            MovieSimulation(small(), frames=2, specimen=Specimen(emitters=3)),
            tmp_path / "m.tif",
            truth=tmp_path / "t.csv",
        )
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_scene_and_an_empty_movie_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"no scene 'dense'.*main"):
        simulate_movie(MovieSimulation(small(), frames=1, scene="dense"), tmp_path / "m.tif")
    with pytest.raises(InputError, match="at least one frame"):
        simulate_movie(MovieSimulation(small(), frames=0), tmp_path / "m.tif")


def test_the_patch_is_the_smallest_that_holds_the_light_at_every_depth():
    experiment = preset("quickstart")
    experiment = experiment.with_(microscope=experiment.microscope.with_(mask_pitch=60.0))
    mask = experiment_mask(experiment)
    side, held = patch_for_light(experiment, mask, light=0.8)
    z = torch.linspace(0.0, 1.2, 9)
    xyz = torch.stack([torch.zeros(9), torch.zeros(9), z], 1)

    def least(patch_px: int) -> float:
        return float(
            build_psf(experiment.psf, experiment.microscope, mask, patch_px=patch_px)(
                xyz
            ).encircled_energy.min()
        )

    assert held == pytest.approx(least(side), abs=1e-4)
    assert held >= 0.8
    assert side == experiment.psf.patch_px or least(side - 2) < 0.8


def test_the_patch_stops_where_the_masks_sampling_stops_it():
    experiment = small()
    side, held = patch_for_light(experiment, experiment_mask(experiment), light=1.0)
    assert side % 2 == 1
    assert 2 * (side + 6) <= experiment.microscope.image_period_px
    assert held < 1.0


def test_a_drifting_structure_is_seen_where_it_has_moved_to(tmp_path: Path):
    experiment, tables = small(z_um=(0.2, 1.2)), []
    for drift in (None, (0.3, 0.2, 0.1)):
        simulate_movie(
            MovieSimulation(
                experiment, frames=60, specimen=Specimen(emitters=8, structure="mitochondria", drift_um=drift)
            ),
            tmp_path / f"{drift}.tif",
            truth=tmp_path / f"{drift}.csv",
        )
        tables.append(read_truth(tmp_path / f"{drift}.csv"))
    still, moving = tables
    assert float(moving.xyz[:, 2].min()) >= 0.2
    assert float(moving.xyz[:, 2].max()) <= 1.2
    assert not (tmp_path / "None.drift.csv").exists()
    curve_file = tmp_path / "(0.3, 0.2, 0.1).drift.csv"
    for path in tmp_path.glob("(0.3, 0.2, 0.1).*"):
        if path != curve_file:
            path.unlink()
    specimen = Specimen(emitters=8, drift_um=(0.1, 0.1, 0.1))
    again, before = MovieSimulation(experiment, frames=2, specimen=specimen), curve_file.read_bytes()
    with pytest.raises(InputError, match=r"drift.csv exists"):
        simulate_movie(again, tmp_path / f"{drift}.tif", truth=tmp_path / f"{drift}.csv")
    assert curve_file.read_bytes() == before and not (tmp_path / f"{drift}.tif").exists()
    curve = DriftCurve.from_csv(curve_file.read_text(), "curve")
    assert np.ptp(curve.shift_um, axis=0) == pytest.approx([0.3, 0.2, 0.1], abs=1e-4)
    # Without the curve's drift every molecule stays where it is.
    shift = torch.from_numpy(curve.shift_um)[moving.frame].float()
    fixed = dataclasses.replace(moving, xyz=moving.xyz - shift)
    # A molecule stays where it is without drift, and wanders with it.
    for table, most in ((still, 0.001), (fixed, 0.001), (moving, 0.2)):
        ids, count = table.id.unique(return_counts=True)
        spread = [float(table.xyz[table.id == k].std(0).max()) for k in ids[count > 2]]
        assert (max(spread) > 0.001) is (table is moving)
        assert max(spread) <= most


def test_only_a_structure_can_drift(tmp_path: Path):
    with pytest.raises(InputError, match="only a structure can drift"):
        specimen = Specimen(drift_um=(0.1, 0.1, 0.1))
        simulate_movie(MovieSimulation(small(), frames=3, specimen=specimen), tmp_path / "m.tif")
    with pytest.raises(InputError, match="leaves no depth"):
        specimen = Specimen(emitters=4, structure="nucleus", drift_um=(0.1, 0.1, 0.5))
        simulate_movie(MovieSimulation(small(), frames=3, specimen=specimen), tmp_path / "m.tif")


def test_frames_with_full_pixels_are_counted(tmp_path: Path) -> None:
    base = preset("quickstart")
    for saturation, full in ((65535.0, 0), (25.0, 3)):
        experiment = base.with_(frame_px=(40, 40), camera=base.camera.with_(saturation=saturation))
        summary = simulate_movie(MovieSimulation(experiment, frames=3), tmp_path / f"{full}.tif")
        assert summary.saturated_frames == full


def test_molecules_that_last_keep_their_number_and_place_through_all_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    experiment = small(blinking=ExponentialBlinking(mean_frames=3), photons=FixedPhotons(photons=4000))
    tables = []
    for name, pixels in (("whole", 2**22), ("cut", 1)):
        monkeypatch.setattr("deepstorm3d.jobs.simulate.BLOCK_PIXELS", pixels)
        simulate_movie(
            MovieSimulation(experiment, frames=40, specimen=Specimen(emitters=3)),
            tmp_path / f"{name}.tif",
            truth=tmp_path / f"{name}.csv",
        )
        tables.append(read_truth(tmp_path / f"{name}.csv"))
    whole, cut = tables
    for name, column in whole.columns().items():
        assert torch.equal(column, cut.columns()[name])
    assert len(whole) / 40 == pytest.approx(3, abs=1.2)
    assert len(whole.id.unique()) < 0.5 * len(whole)
    for who in whole.id.unique():
        assert len(whole.select(whole.id == who).xyz.unique(dim=0)) == 1
    light = torch.zeros(int(whole.id.max()) + 1).index_add(0, whole.id, whole.photons)
    assert light.max() <= 4000 * (1 + 1e-4)
    assert light.max() == pytest.approx(4000, rel=1e-4)
