"""Comparing masks: each trained alike, the same emitters for all, and a run that goes on where it stopped."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.io.masks import write_mask
from deepstorm3d.jobs import compare_psf, train
from deepstorm3d.jobs.compare_psf import MaskTest, compare_masks, contenders_of
from deepstorm3d.localizing.pipeline import Pipeline
from watchers import Recorder


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 emitters instead of 1000 judge a mask, and training draws no pictures."""
    monkeypatch.setattr(compare_psf, "_JUDGED", 200)
    monkeypatch.setattr(train, "draw_training_preview", lambda *_, **__: None)


@pytest.fixture(scope="module")
def tiny(small_design: Experiment) -> Experiment:
    return small_design.with_(
        frame_px=(36, 36),
        training=TrainingSpec(
            steps=6, batch=2, crop_px=24, warmup_steps=2, validate_every=6, validation_crops=2
        ),
    )


def test_all_masks_and_seeds_face_the_same_emitters(tiny: Experiment, tmp_path: Path) -> None:
    rows = compare_masks(
        tiny,
        contenders_of(tiny, ["zero", "astigmatic"]),
        tmp_path / "c",
        MaskTest(densities=(0.5, 2.0), seeds=2),
    )
    assert rows is not None
    assert [(row.mask, row.seed) for row in rows[::2]] == [
        ("zero", 0), ("astigmatic", 0), ("zero", 1), ("astigmatic", 1),
    ]  # fmt: skip
    for density in (0.5, 2.0):
        assert len({row.emitters for row in rows if row.density == density}) == 1
    assert abs(rows[0].emitters / 200 - 1) < 0.25
    with (tmp_path / "c" / "comparison.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    assert (tmp_path / "c" / "comparison.png").stat().st_size > 20_000


@pytest.mark.usefixtures("without_pictures")
def test_many_frames_are_simulated_and_localized_a_few_at_a_time(
    tiny: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a low density the emitters to find lie in many frames."""
    monkeypatch.setattr(compare_psf, "_AT_ONCE", 5)
    seen: list[int] = []
    localize = Pipeline.localize

    def counted(self: Pipeline, photons: Tensor) -> Localizations:
        seen.append(len(photons))
        return localize(self, photons)

    monkeypatch.setattr(Pipeline, "localize", counted)
    test = MaskTest(densities=(2.0,))
    rows = compare_masks(tiny, contenders_of(tiny, ["zero", "astigmatic"]), tmp_path / "c", test)
    assert rows is not None
    assert max(seen) == 5 and len(seen) % 2 == 0 and seen[: len(seen) // 2] == seen[len(seen) // 2 :]
    assert rows[0].emitters == rows[1].emitters and abs(rows[0].emitters / 200 - 1) < 0.25


@pytest.mark.usefixtures("without_pictures")
def test_a_stopped_comparison_goes_on_and_gives_the_same(tiny: Experiment, tmp_path: Path) -> None:
    both = contenders_of(tiny, ["zero", "astigmatic"])
    whole = compare_masks(tiny, both, tmp_path / "whole", MaskTest(densities=(1.0,)))
    # Six steps for the first mask: the second one is stopped in its third.
    watch = Recorder(stop_at=9)
    stopped = compare_masks(tiny, both, tmp_path / "cut", MaskTest(densities=(1.0,)), watch=watch)
    assert stopped is None
    assert watch.messages == ["training zero, seed 0", "training astigmatic, seed 0"]
    assert watch.steps[-1][2].startswith("astigmatic, seed 0, loss ")
    before = (tmp_path / "cut" / "zero.0.pt").stat().st_mtime_ns
    assert compare_masks(tiny, both, tmp_path / "cut", MaskTest(densities=(1.0,))) == whole
    assert (tmp_path / "cut" / "zero.0.pt").stat().st_mtime_ns == before


@pytest.mark.usefixtures("without_pictures")
def test_a_model_of_other_settings_or_another_mask_of_the_name_is_refused(
    tiny: Experiment, tmp_path: Path
) -> None:
    flat = contenders_of(tiny, ["zero"])
    compare_masks(tiny, flat, tmp_path / "c", MaskTest(densities=(1.0,)))
    longer = tiny.with_(training=tiny.training.with_(steps=7))
    with pytest.raises(InputError, match=r"other settings \(training"):
        compare_masks(longer, flat, tmp_path / "c", MaskTest(densities=(1.0,)))
    write_mask(tmp_path / "zero.npy", np.ones((21, 21)))
    with pytest.raises(InputError, match="another mask of that name"):
        compare_masks(
            tiny, contenders_of(tiny, [str(tmp_path / "zero.npy")]), tmp_path / "c", MaskTest(densities=(1.0,))
        )


def test_masks_that_cannot_be_compared_are_named(tiny: Experiment, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two masks are called 'zero'"):
        contenders_of(tiny, ["zero", "zero"])
    write_mask(tmp_path / "small.npy", np.ones((9, 9)))
    with pytest.raises(InputError, match=r"small\.npy"):
        contenders_of(tiny, [str(tmp_path / "small.npy")])
    flat = contenders_of(tiny, ["zero"])
    with pytest.raises(InputError, match="no middle to judge"):
        compare_masks(tiny.with_(frame_px=(20, 20)), flat, tmp_path / "c")
    with pytest.raises(InputError, match="above 0"):
        compare_masks(tiny, flat, tmp_path / "c", MaskTest(densities=(0.5, 0.0)))
    # Said before anything is trained.
    assert not (tmp_path / "c").exists()
