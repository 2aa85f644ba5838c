"""Masks of several channels designed together by Fisher information; some of them held fixed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deepstorm3d.api.masks import design_mask
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.experiment.configure import with_masks
from deepstorm3d.experiment.design_settings import DesignSpec
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.io.masks import read_mask
from deepstorm3d.jobs.design_channels import mask_files
from deepstorm3d.jobs.fisher_design import criterion_of, design_by_fisher
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import AstigmaticMask, PixelMask
from deepstorm3d.training.runs import DesignRun
from watchers import Recorder

STEPS = 40


@pytest.fixture(scope="module")
def pair(small_design: Experiment) -> Experiment:
    """Half of the light through each of two masks, which start alike."""
    return small_design.with_(
        mask=AstigmaticMask(strength=0.3),
        channels={"second": Channel(light=0.5)},
        design=DesignSpec(learning_rate=0.1, fisher_steps=STEPS),
    )


def bound(experiment: Experiment, phases: list[torch.Tensor]) -> float:
    """The criterion with these masks, one a channel."""
    psfs = [
        build_psf(alone.psf, alone.microscope, PixelMask(phase))
        for alone, phase in ((experiment.of_channel(number), phase) for number, phase in enumerate(phases))
    ]
    criterion = criterion_of(experiment)
    with torch.no_grad():
        seen = psfs if experiment.channels else psfs[0]
        return float(criterion(seen, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("density", [0.0, 1.5])
def test_equal_channels_with_half_of_the_light_are_as_good_as_one(pair: Experiment, density: float):
    experiment = pair.with_(design=pair.design.with_(fisher_density=density))
    phase = AstigmaticMask().build(experiment.microscope)().float()
    one = bound(experiment.of_channel(0), [phase])
    assert bound(experiment, [phase, phase]) == pytest.approx(one, rel=2e-3)


@pytest.mark.usefixtures("without_pictures")
def test_both_masks_learn_at_once_and_are_better_than_the_best_single_one(pair: Experiment, tmp_path: Path):
    out = tmp_path / "pair.npy"
    watch = Recorder()
    summary = design_by_fisher(pair, out, watch=watch)
    assert summary.complete and watch.done == list(range(1, STEPS + 1))
    assert [path.name for path in mask_files(pair, out)] == ["pair.npy", "pair.second.npy"]
    phases = [torch.from_numpy(read_mask(path)).float() for path in mask_files(pair, out)]
    together = bound(pair, phases)
    assert together == pytest.approx(summary.last_nm, rel=0.02) and together < 0.7 * summary.first_nm
    # The two became different, each by more than it was kicked at the start.
    assert float((phases[0] - phases[1]).std()) > 0.2
    assert read_history_count(out) == read_history_count(out.with_name("pair.second.npy"))
    # As many steps for one mask with all of the light.
    alone = pair.of_channel(0)
    design_by_fisher(alone, tmp_path / "one.npy")
    single = bound(alone, [torch.from_numpy(read_mask(tmp_path / "one.npy")).float()])
    assert together < single


def read_history_count(mask: Path) -> int:
    with np.load(DesignRun(mask).history) as history:
        return len(history["steps"])


@pytest.mark.usefixtures("without_pictures")
def test_a_design_of_two_masks_for_a_crowd_goes_on_after_a_stop(pair: Experiment, tmp_path: Path):
    short = pair.with_(design=pair.design.with_(fisher_steps=4, fisher_density=1.5))
    design_by_fisher(short, tmp_path / "whole.npy")
    assert not design_by_fisher(short, tmp_path / "cut.npy", watch=Recorder(stop_at=2)).complete
    design_by_fisher(short, tmp_path / "cut.npy", resume=True)
    for name in ("{}.npy", "{}.second.npy"):
        whole, cut = (read_mask(tmp_path / name.format(each)) for each in ("whole", "cut"))
        assert np.array_equal(whole, cut)


@pytest.mark.usefixtures("coarse_pictures")
def test_the_picture_shows_both_masks(pair: Experiment, tmp_path: Path):
    short = pair.with_(design=pair.design.with_(fisher_steps=1))
    design_by_fisher(short, tmp_path / "m.npy")
    for path in (tmp_path / "m.preview.png", tmp_path / "m.3d.png", tmp_path / "m.second.3d.png"):
        assert path.stat().st_size > 2000


@pytest.mark.usefixtures("without_pictures")
def test_a_held_mask_stays_while_the_other_learns(pair: Experiment, tmp_path: Path):
    held = pair.with_(design=pair.design.with_(fisher_steps=3, hold=("second",)))
    design_by_fisher(held, tmp_path / "m.npy")
    start = AstigmaticMask(strength=0.3).build(pair.microscope)().float().numpy()
    first, second = (read_mask(path) for path in mask_files(held, tmp_path / "m.npy"))
    np.testing.assert_array_equal(second.astype(np.float32), start)
    assert np.abs(first - start).max() > 0.1


@pytest.mark.usefixtures("without_pictures")
def test_a_checkpoint_of_masks_of_which_others_learn_is_refused(pair: Experiment, tmp_path: Path):
    held = pair.with_(design=pair.design.with_(fisher_steps=4, hold=("second",)))
    design_by_fisher(held, tmp_path / "m.npy", watch=Recorder(stop_at=2))
    with pytest.raises(InputError, match=r"made with other settings \(design\)"):
        design_by_fisher(pair, tmp_path / "m.npy", resume=True)
    # Earlier versions kept no settings.
    checkpoint = torch.load(tmp_path / "m.checkpoint", weights_only=True)
    del checkpoint["experiment"]
    torch.save(checkpoint, tmp_path / "m.checkpoint")
    with pytest.raises(InputError, match="of which others learn"):
        design_by_fisher(pair, tmp_path / "m.npy", resume=True)


@pytest.mark.parametrize(
    ("hold", "words"),
    [(("second", "first"), "every channel"), (("third",), "third, but the channels are first")],
)
def test_what_cannot_be_held_is_said(pair: Experiment, tmp_path: Path, hold: tuple[str, ...], words: str):
    with pytest.raises(InputError, match=words):
        design_by_fisher(pair.with_(design=pair.design.with_(hold=hold)), tmp_path / "m.npy")


def test_each_channel_may_have_a_start_of_its_own(pair: Experiment, tmp_path: Path):
    np.save(tmp_path / "a=b.npy", np.ones((21, 21)))
    begun = with_masks(pair, ["tetrapod", "second=vortex"])
    assert begun.mask.kind == "tetrapod" and begun.of_channel(1).mask.kind == "vortex"
    begun = with_masks(pair, ["first=vortex", f"second={tmp_path / 'a=b.npy'}"])
    assert begun.mask.kind == "vortex" and begun.of_channel(1).mask.kind == "file"
    assert with_masks(pair, [str(tmp_path / "a=b.npy")]).mask.kind == "file"
    with pytest.raises(InputError, match=r"no channel 'third'; there are: first, second"):
        with_masks(pair, ["third=vortex"])


def test_masks_of_several_channels_need_a_place(pair: Experiment):
    with pytest.raises(InputError, match=r"2 channels with a mask each; say where"):
        design_mask(pair, by="fisher")
