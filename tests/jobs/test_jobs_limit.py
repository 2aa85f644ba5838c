"""The limit of a set-up: bounds that scale as physics says, side by side for several masks."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from deepstorm3d.camera import EmccdCamera, IdealCamera, MinimumSubtractedCamera, ScmosCamera
from deepstorm3d.errors import InputError, Interrupted
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.limits import LimitReport
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.io.masks import mask_sha256, write_mask
from deepstorm3d.jobs.limit import Sweep, limit, masks_to_compare
from deepstorm3d.jobs.limit_report import draw_report, write_report
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.fisher import crlb
from deepstorm3d.optics.masks import MASK_KINDS, FileMask, TetrapodMask
from deepstorm3d.simulation.priors import EmitterPrior, GammaPhotons, Scene
from watchers import Recorder

SWEEP = Sweep(depths=5, photons=(2e3, 8e3), background=(1.0, 100.0), emitters=(1, 8, 32), molecules=160)


def small(margin_px: float = 6.0, z_um: tuple[float, float] = (0.0, 1.2), **changes: object) -> Experiment:
    """The astigmatic tutorial on a frame of 41 px with a mask too coarse for patches above 19 px."""
    base = preset("quickstart")
    scene = base.scene()
    emitters = scene.emitters.with_(margin_px=(margin_px, margin_px), z_um=z_um)
    given = {"frame_px": (41, 41), "scenes": {"main": scene.with_(emitters=emitters)}} | changes
    microscope = base.microscope.with_(mask_pitch=120.0)
    return base.with_(microscope=microscope, psf=base.psf.with_(patch_px=19), **given)


@pytest.fixture(scope="module")
def report() -> LimitReport:
    return limit(small(), sweep=SWEEP)


def test_the_bound_of_one_molecule_is_that_of_the_exact_image_model(report: LimitReport):
    experiment = small()
    mask = experiment_mask(experiment)
    psf = build_psf(experiment.psf, experiment.microscope, mask)
    xyz = torch.zeros(5, 3, dtype=torch.float64)
    xyz[:, 2] = torch.linspace(0, 1.2, 5)
    level = torch.ones(5, dtype=torch.float64)
    exact = 1000 * crlb(psf, xyz, 5000 * level, 20 * level)[:, :3].numpy()
    np.testing.assert_allclose(report.masks[0].depth.sigma_nm, exact, rtol=3e-3)
    assert report.photons == 5000
    assert report.background == 20
    assert report.masks[0].name == "astigmatic"


def test_one_molecule_in_a_frame_has_the_bound_of_one_alone():
    # A frame as large as the patch, and the molecule at the middle of its middle pixel: `crlb` of the patch
    # and the joint information of the frame are then two ways to one number.
    experiment = small(margin_px=9.49999, z_um=(0.55, 0.65), frame_px=(19, 19))
    found = limit(experiment, sweep=Sweep(emitters=(1,))).masks[0]
    alone = np.sqrt(np.square(found.depth.sigma_nm).mean(0))
    np.testing.assert_allclose(found.rms.sigma_nm[0], alone, rtol=3e-3)
    np.testing.assert_allclose(found.median.sigma_nm[0], alone, rtol=2e-2)


def test_a_limit_stops_at_the_next_point_when_it_is_asked_to():
    watch = Recorder(stop_at=2)
    with pytest.raises(Interrupted):
        limit(small(), sweep=SWEEP, watch=watch)
    assert watch.done == [1]


def test_the_summary_has_the_numbers_of_the_report(report: LimitReport):
    lines = list(report.summary())
    by_label = {line.label: line for line in lines}
    assert len(by_label) == len(lines) == 5 + 1 + 0 + 2 + 3
    mask = report.masks[0]
    np.testing.assert_array_equal(by_label["depth 0.6 µm"].sigma_nm[0], mask.depth.sigma_nm[2])
    np.testing.assert_array_equal(by_label["background 100, rms"].sigma_nm[0], mask.background.sigma_nm[1])
    crowd = lines[-1]
    assert crowd.label.startswith("32 in a frame")
    assert crowd.rms_nm is not None
    np.testing.assert_array_equal(crowd.rms_nm[0], mask.rms.sigma_nm[2])


def test_kinds_of_masks_can_be_compared_by_their_names():
    experiment = small()
    (own, nothing), (name, phase) = masks_to_compare(experiment, ["vortex"])
    assert (own, nothing, name) == ("astigmatic (the experiment's)", None, "vortex")
    assert phase is not None
    wanted = MASK_KINDS.find("vortex")
    assert wanted is not None
    torch.testing.assert_close(phase, wanted().build(experiment.microscope)().float())
    # The experiment's own by its kind: once is enough.
    assert [each for each, _ in masks_to_compare(experiment, ["astigmatic"])] == ["astigmatic"]
    with pytest.raises(InputError, match="there is no mask 'spiral'"):
        masks_to_compare(experiment, ["spiral"])


def test_without_background_the_bound_falls_as_the_root_of_the_photons():
    one = limit(small(), background=0.0, sweep=SWEEP).masks[0].photons.sigma_nm
    np.testing.assert_allclose(one[0] / one[1], 2.0, rtol=0.02)


def test_the_bound_grows_with_background_and_density_and_falls_with_photons(report: LimitReport):
    mask = report.masks[0]
    assert (np.diff(mask.photons.sigma_nm, axis=0) < 0).all()
    assert (np.diff(mask.background.sigma_nm, axis=0) > 0).all()
    assert (np.diff(mask.median.sigma_nm, axis=0) > 0).all()
    assert (mask.rms.sigma_nm[2] > mask.median.sigma_nm[2]).all()
    assert mask.emitters.tolist() == [1, 8, 32]
    # All lie in the inner 29 × 29 px of 110 nm.
    np.testing.assert_allclose(mask.median.at, np.array([1, 8, 32]) / (29 * 0.11) ** 2)


@pytest.mark.parametrize("emitters", [(0,), (1, 0), (-3, 8)])
def test_a_sweep_of_frames_without_molecules_is_refused(emitters: tuple[int, ...]):
    with pytest.raises(InputError, match=f"at least one molecule, got emitters of {emitters[0]}.* from 1 on"):
        Sweep(emitters=emitters)
    with pytest.raises(InputError, match="1 molecule at least, got 0"):
        Sweep(molecules=0)
    assert Sweep(emitters=()).emitters == ()


def test_a_sweep_takes_any_whole_number_and_any_sequence_and_keeps_it():
    sweep = Sweep(depths=np.int64(5), photons=(1e3 * k for k in (1, 2)), background=np.array([1.0, 2.0]))  # pyright: ignore[reportArgumentType]
    assert sweep.photons == (1e3, 2e3) and sweep.background == (1.0, 2.0) and sweep.depths == 5
    for wrong in ({"depths": True}, {"depths": 2.5}, {"photons": ()}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Sweep(**wrong)


def test_a_border_below_0_is_one_of_crops_and_counts_as_none():
    scene = small().scene()
    outside = scene.with_(emitters=scene.emitters.with_(margin_px=(-14.0, 4.0)))
    found = limit(small(scenes={"main": outside}), sweep=SWEEP)
    assert found.margin_px == 0
    np.testing.assert_allclose(found.masks[0].median.at[0], 1 / (41 * 0.11) ** 2)


def test_default_densities_are_the_published_ones():
    experiment = preset("telomeres")
    experiment = experiment.with_(
        microscope=experiment.microscope.with_(mask_pitch=144.0), psf={"patch_px": 15}
    )
    found = limit(experiment, sweep=Sweep(depths=2, photons=(1e4,), background=(1.0,), molecules=1))
    assert found.masks[0].emitters.tolist() == [1, 5, 10, 20, 35, 50, 75, 100, 150, 200]
    assert found.masks[0].median.at[-1] == pytest.approx(2.519, rel=1e-3)
    assert (found.photons, found.background, found.blur_px) == (35_000, 75, 1.0)


def test_the_same_seed_gives_the_same_places_and_another_seed_others(report: LimitReport):
    again = limit(small(), sweep=SWEEP)
    np.testing.assert_array_equal(again.masks[0].rms.sigma_nm, report.masks[0].rms.sigma_nm)
    other = limit(small(), sweep=replace(SWEEP, seed=1))
    assert (other.masks[0].rms.sigma_nm != report.masks[0].rms.sigma_nm).all()


def test_the_camera_sets_the_noise():
    few = Sweep(depths=3, photons=(5e3,), background=(20.0,), emitters=(5,), molecules=10)

    def sigma(experiment: Experiment, background: float | None = None) -> np.ndarray:
        mask = limit(experiment, sweep=few, background=background).masks[0]
        return np.concatenate([mask.depth.sigma_nm, mask.median.sigma_nm])

    ideal = sigma(small(camera=IdealCamera()))
    # Multiplication doubles the variance of the shot noise: every bound is √2 larger.
    multiplied = sigma(small(camera=EmccdCamera(read_noise=0.0)))
    np.testing.assert_allclose(multiplied, 2**0.5 * ideal, rtol=1e-3)
    # A read variance of 80 e-² acts on the position as 80 photons of background more.
    noisy = sigma(small(camera=ScmosCamera(read_noise=80**0.5)))
    np.testing.assert_allclose(noisy, sigma(small(camera=IdealCamera()), background=100.0), rtol=1e-3)
    # Minimum-subtracted frames: noise of 8 to 12, whatever the baseline that the frames still hold.
    subtracted = sigma(small(camera=MinimumSubtractedCamera()), background=0.0)
    np.testing.assert_allclose(subtracted, sigma(small(), background=100.0), rtol=1e-3)


def test_gamma_distributed_photons_are_taken_at_their_median():
    emitters = EmitterPrior(photons=GammaPhotons(), z_um=(0.0, 1.2), margin_px=(3.0, 3.0))
    found = limit(small(scenes={"main": Scene(emitters=emitters)}), sweep=SWEEP)
    draws = GammaPhotons().draw(40_000, torch.Generator().manual_seed(0))
    assert found.photons == pytest.approx(float(draws.median()), rel=0.02)


def test_masks_stand_side_by_side_under_their_files_names(tmp_path: Path):
    experiment = small()
    tetrapod = experiment_mask(experiment.with_(mask=TetrapodMask()))()
    (tmp_path / "a").mkdir()
    files = [tmp_path / "t.npy", tmp_path / "a" / "t.npy", tmp_path / "flat.npy"]
    for path, phase in zip(files, (tetrapod, -tetrapod, torch.zeros_like(tetrapod)), strict=True):
        write_mask(path, phase)
    names = [name for name, _ in masks_to_compare(experiment, files)]
    assert names == ["astigmatic (the experiment's)", str(files[0]), str(files[1]), "flat.npy"]
    masks = masks_to_compare(experiment, files[:1])
    own, given = limit(experiment, masks, sweep=SWEEP).masks
    direct = limit(experiment.with_(mask=TetrapodMask()), sweep=SWEEP).masks[0]
    np.testing.assert_allclose(given.depth.sigma_nm, direct.depth.sigma_nm, rtol=1e-3)
    np.testing.assert_allclose(given.rms.sigma_nm, direct.rms.sigma_nm, rtol=1e-2)
    assert (own.depth.sigma_nm != given.depth.sigma_nm).all()


def test_the_experiments_own_mask_is_not_drawn_twice(tmp_path: Path):
    experiment = small()
    phase = experiment_mask(experiment)()
    own, other = tmp_path / "own.npy", tmp_path / "other.npy"
    write_mask(own, phase)
    write_mask(other, -phase)
    assert [name for name, _ in masks_to_compare(experiment, [own])] == ["own.npy"]
    by_file = experiment.with_(mask=FileMask(path=str(own), sha256=mask_sha256(phase)))
    assert [name for name, _ in masks_to_compare(by_file, [])] == ["own.npy"]
    both = masks_to_compare(by_file, [other])
    assert [name for name, _ in both] == ["own.npy (the experiment's)", "other.npy"]
    # A mask known by its hash only cannot be drawn; others can.
    by_hash = experiment.with_(mask=FileMask(sha256=mask_sha256(phase)))
    assert [name for name, _ in masks_to_compare(by_hash, [other])] == ["other.npy"]
    with pytest.raises(InputError, match="give its file"):
        limit(by_hash, sweep=SWEEP)


def test_a_mask_that_does_not_cover_the_pupil_is_named(tmp_path: Path):
    write_mask(tmp_path / "tiny.npy", torch.zeros(5, 5))
    with pytest.raises(InputError, match=r"tiny\.npy: .*px"):
        limit(small(), masks_to_compare(small(), [tmp_path / "tiny.npy"])[1:], sweep=SWEEP)


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="above 0"):
        limit(small(), photons=0.0, sweep=SWEEP)
    with pytest.raises(InputError, match="0 or more"):
        limit(small(), background=-1.0, sweep=SWEEP)
    narrow = Scene(emitters=EmitterPrior(margin_px=(30.0, 30.0), z_um=(0.0, 1.2)))
    with pytest.raises(InputError, match="leaves no room in a frame of 41 × 41 px"):
        limit(small(scenes={"main": narrow}), sweep=SWEEP)


def test_the_table_holds_every_bound_with_its_conditions(report: LimitReport, tmp_path: Path):
    write_report(report, tmp_path / "limit.csv")
    with (tmp_path / "limit.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 5 + 2 + 2 + 2 * 3
    last = rows[-1]
    assert (last["mask"], last["against"], last["bound"]) == ("astigmatic", "density", "rms of all")
    assert (float(last["photons"]), float(last["background"]), int(last["emitters"])) == (5000, 20, 32)
    assert float(last["sigma_z_nm"]) == pytest.approx(report.masks[0].rms.sigma_nm[-1, 2], abs=1e-3)
    assert [row["z_um"] for row in rows[:2]] == ["0.0", "0.3"]


@pytest.mark.parametrize("masks", [1, 2])
def test_the_picture_is_drawn_for_one_mask_and_for_several(report: LimitReport, tmp_path: Path, masks: int):
    draw_report(replace(report, masks=report.masks * masks), tmp_path / "limit.png")
    image = imread(tmp_path / "limit.png")
    assert min(image.shape[:2]) > 900
    assert float(image[..., :3].std()) > 0.05
