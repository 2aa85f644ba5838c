"""Designs as jobs: the files they leave, what they refuse, and that the network reads its own mask."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from deepstorm3d.camera import ScmosCamera
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.configure import with_mask
from deepstorm3d.experiment.design_settings import DesignSpec
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.io.masks import read_mask, write_mask
from deepstorm3d.jobs import fisher_design
from deepstorm3d.jobs.design_psf import design_mask
from deepstorm3d.jobs.fisher_design import criterion_of, design_by_fisher
from deepstorm3d.jobs.start_of_training import Start
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.optics.masks import MASK_KINDS, RandomMask, VortexMask
from deepstorm3d.training.fisher import Alone, Crowd
from deepstorm3d.training.mask_history import read_history
from deepstorm3d.training.runs import DesignRun
from watchers import Recorder


@pytest.fixture(scope="module")
def tiny(small_design: Experiment) -> Experiment:
    return small_design.with_(
        training=TrainingSpec(
            steps=6, batch=2, crop_px=24, warmup_steps=2, validate_every=3, validation_crops=4
        ),
        design=DesignSpec(learning_rate=0.05, fisher_steps=6),
    )


def test_a_design_leaves_mask_network_pictures_and_a_history(tiny: Experiment, tmp_path: Path) -> None:
    watch = Recorder()
    assert design_mask(tiny, tmp_path / "m.npy", watch=watch) is not None
    run = DesignRun(tmp_path / "m.npy")
    assert "GiB" in watch.messages[0]
    assert watch.done == list(range(1, 7))
    phase = read_mask(run.out)
    assert phase.std() > 0.01
    assert not run.checkpoint.exists()
    for path in (run.preview, run.animation, run.solid, run.curve):
        assert path.stat().st_size > 5000
    with np.load(run.history) as history:
        assert history["steps"].tolist()[:2] == [3, 6]
        assert history["phases"].shape[1:] == phase.shape
    # The network that learned with the mask brings it along.
    model = load_model_file(run.model)
    assert model.mask is not None
    torch.testing.assert_close(model.mask.double(), torch.from_numpy(phase), atol=1e-6, rtol=0)
    frames = torch.full((1, 24, 24), 30.0)
    assert load_pipeline(model, refine=False).localize(frames).sigma_source == "crlb"


@pytest.mark.usefixtures("without_pictures")
def test_a_design_goes_on_from_the_mask_and_the_network_of_another(tiny: Experiment, tmp_path: Path) -> None:
    design_mask(tiny, tmp_path / "first.npy")
    first = DesignRun(tmp_path / "first.npy")
    further = with_mask(tiny, str(first.out))
    losses: dict[str, list[float]] = {}
    for name, start in (("new", Start()), ("on", Start(model=first.model))):
        losses[name] = []
        design_mask(
            further,
            tmp_path / f"{name}.npy",
            start=start,
            after_step=lambda progress, name=name: losses[name].append(progress.loss),
        )
    # The same mask and frames: the network that has learned begins with a lower loss.
    assert losses["on"][0] < losses["new"][0]
    card = load_model_file(tmp_path / "on.pt").card
    assert card["started_from"]["model"] == "first.pt"
    assert "started_from" not in load_model_file(tmp_path / "new.pt").card


@pytest.mark.usefixtures("without_pictures")
def test_a_stopped_design_goes_on_and_is_not_overwritten_unasked(tiny: Experiment, tmp_path: Path) -> None:
    design_mask(tiny, tmp_path / "whole.npy")
    assert design_mask(tiny, tmp_path / "cut.npy", watch=Recorder(stop_at=4)) is None
    with pytest.raises(InputError, match="resume=True"):
        design_mask(tiny, tmp_path / "cut.npy")
    assert design_mask(tiny, tmp_path / "cut.npy", start=Start(resume=True)) is not None
    assert np.array_equal(read_mask(tmp_path / "whole.npy"), read_mask(tmp_path / "cut.npy"))
    with np.load(tmp_path / "whole.history.npz") as whole, np.load(tmp_path / "cut.history.npz") as cut:
        assert np.array_equal(whole["phases"], cut["phases"])
    with pytest.raises(InputError, match="nothing to resume"):
        design_mask(tiny, tmp_path / "cut.npy", start=Start(resume=True))


@pytest.mark.usefixtures("without_pictures")
def test_a_design_by_fisher_tells_its_bound_and_masks_on_the_way_also_over_a_stop(
    tiny: Experiment, tmp_path: Path
) -> None:
    longer = tiny.with_(design=tiny.design.with_(fisher_steps=30))
    told = design_by_fisher(longer, tmp_path / "whole.npy")
    design_by_fisher(longer, tmp_path / "cut.npy", watch=Recorder(stop_at=27))
    assert design_by_fisher(longer, tmp_path / "cut.npy", resume=True) == told
    whole, cut = DesignRun(tmp_path / "whole.npy"), DesignRun(tmp_path / "cut.npy")
    lines = [json.loads(line) for line in whole.metrics.read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 31))
    assert lines[-1]["bound_nm"] < lines[0]["bound_nm"]
    assert cut.metrics.read_text(encoding="utf-8") == whole.metrics.read_text(encoding="utf-8")
    steps, phases = read_history(whole.history)
    assert steps.tolist() == [1, 25, 30]
    # Each is the mask of its own step, not of the last.
    assert np.abs(np.diff(phases, axis=0)).max((1, 2)).min() > 1e-3
    np.testing.assert_allclose(phases[-1], read_mask(whole.out), atol=2e-3)
    for one, other in zip((steps, phases), read_history(cut.history), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("without_pictures")
def test_a_design_by_fisher_that_ended_while_its_mask_was_written_still_tells_its_bound(
    tiny: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = tiny.with_(design=tiny.design.with_(fisher_steps=25))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fisher_design, "write_mask", killed)
        with pytest.raises(KeyboardInterrupt):
            design_by_fisher(longer, tmp_path / "f.npy")
    summary = design_by_fisher(longer, tmp_path / "f.npy", resume=True)
    assert summary.complete and summary.last_nm < summary.first_nm


CHANGED: dict[str, Callable[[Experiment], Experiment]] = {
    "design": lambda setup: setup.with_(design=setup.design.with_(fisher_density=1.0)),
    "seed": lambda setup: setup.with_(seed=setup.seed + 1),
    "camera": lambda setup: setup.with_(camera=ScmosCamera(read_noise=2.0)),
    "mask": lambda setup: with_mask(setup, "tetrapod"),
    "microscope": lambda setup: setup.with_(microscope=setup.microscope.with_(n_sample=1.35)),
    "nothing": lambda setup: setup.with_(name="other", training=TrainingSpec(steps=9)),
}


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("part", CHANGED)
def test_a_design_by_fisher_goes_on_with_its_own_experiment_only(
    tiny: Experiment, tmp_path: Path, part: str
) -> None:
    out = tmp_path / "f.npy"
    design_by_fisher(tiny, out, watch=Recorder(stop_at=2))
    other, checkpoint = CHANGED[part](tiny), DesignRun(out).checkpoint
    if part != "nothing":
        with pytest.raises(InputError, match=rf"f\.checkpoint was made with other settings \({part}\)"):
            design_by_fisher(other, out, resume=True)
        assert not out.exists() and checkpoint.exists()
        # Earlier versions kept no experiment in the checkpoint.
        saved = torch.load(checkpoint, weights_only=True)
        del saved["experiment"]
        torch.save(saved, checkpoint)
    assert design_by_fisher(tiny if part != "nothing" else other, out, resume=True).complete


@pytest.mark.usefixtures("without_pictures")
def test_aberrations_of_the_microscope_do_not_end_up_in_the_mask(tiny: Experiment, tmp_path: Path) -> None:
    bent = tiny.with_(psf=tiny.psf.with_(aberrations={7: 3.0}))
    still = bent.with_(design=tiny.design.with_(learning_rate=1e-9, fisher_steps=1))
    design_mask(still, tmp_path / "m.npy")
    assert np.abs(read_mask(tmp_path / "m.npy")).max() < 1e-6
    design_by_fisher(still, tmp_path / "f.npy")
    # The kick that breaks the symmetry, no more.
    assert read_mask(tmp_path / "f.npy").std() < 0.2


@pytest.mark.parametrize("density", [0.0, 1.0])
def test_a_design_by_fisher_writes_its_mask(tiny: Experiment, tmp_path: Path, density: float) -> None:
    experiment = tiny.with_(
        frame_px=(40, 40), design=tiny.design.with_(fisher_density=density, learning_rate=0.2)
    )
    criterion = criterion_of(experiment)
    assert isinstance(criterion, Crowd if density else Alone)
    summary = design_by_fisher(experiment, tmp_path / "f.npy")
    assert summary.complete
    assert summary.last_nm < summary.first_nm
    assert read_mask(tmp_path / "f.npy").std() > 0.05
    assert (tmp_path / "f.preview.png").exists()


def test_read_noise_and_excess_noise_count_as_background_and_lost_light(tiny: Experiment) -> None:
    from deepstorm3d.camera import EmccdCamera, ScmosCamera

    ideal = criterion_of(tiny)
    noisy = criterion_of(tiny.with_(camera=ScmosCamera(read_noise=2.0)))
    register = EmccdCamera(read_noise=0.0, spurious_charge=0.0, gain=1.0)
    multiplied = criterion_of(tiny.with_(camera=register))
    assert isinstance(ideal, Alone) and isinstance(noisy, Alone) and isinstance(multiplied, Alone)
    assert noisy.background == pytest.approx(ideal.background + 4 + 1 / 12)  # rounding
    assert multiplied.photons == pytest.approx(ideal.photons / 2)
    assert multiplied.background == pytest.approx(ideal.background / 2, rel=1e-5)


def test_frames_without_a_middle_cannot_hold_a_crowd(tiny: Experiment) -> None:
    with pytest.raises(InputError, match="frame_px larger"):
        criterion_of(tiny.with_(frame_px=(20, 40), design=DesignSpec(fisher_density=1.0)))


def test_a_start_is_a_kind_or_a_file(tiny: Experiment, tmp_path: Path) -> None:
    assert with_mask(tiny, "tetrapod").mask.kind == "tetrapod"
    write_mask(tmp_path / "m.npy", np.ones((43, 43)))
    assert with_mask(tiny, str(tmp_path / "m.npy")).mask.kind == "file"
    with pytest.raises(InputError, match="double_helix"):
        with_mask(tiny, "tetrapot")
    with pytest.raises(InputError, match="no such mask file"):
        with_mask(tiny, str(tmp_path / "none.npy"))
    assert {"zero", "vortex", "random", "file"} <= set(MASK_KINDS.names)


def test_a_vortex_turns_once_and_a_random_start_has_the_rms_asked_for(tiny: Experiment) -> None:
    vortex = VortexMask(charge=2).build(tiny.microscope)()
    middle = len(vortex) // 2
    ring = torch.stack([vortex[middle, -1], vortex[-1, middle], vortex[middle, 0], vortex[0, middle]])
    turns = torch.remainder(ring.diff() + torch.pi, 2 * torch.pi) - torch.pi
    torch.testing.assert_close(turns.abs(), torch.full((3,), torch.pi, dtype=turns.dtype), atol=0.3, rtol=0)
    one, other = (RandomMask(rms=2.0, seed=seed).build(tiny.microscope)() for seed in (0, 1))
    axis = torch.arange(len(one)) - (len(one) - 1) / 2
    radius = tiny.microscope.aperture * tiny.microscope.pupil_diameter / 2 / tiny.microscope.mask_pitch
    inside = axis[:, None].square() + axis.square() < radius**2
    assert float(one[inside].std()) == pytest.approx(2.0, rel=0.15)
    assert not torch.equal(one, other)
