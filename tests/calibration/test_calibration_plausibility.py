"""Frames that cannot be what camera and model say are told; frames that can are not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deepstorm3d.camera import Camera, EmccdCamera, IdealCamera, MinimumSubtractedCamera, ScmosCamera
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.presets import PRESETS, preset
from deepstorm3d.frames.byte_order import bytes_seem_swapped
from deepstorm3d.frames.no_light import refuse_without_light, without_light
from deepstorm3d.frames.plausibility import Finding, check_frames, sample_for_check
from deepstorm3d.frames.trained_levels import TrainedLevels, trained_levels
from deepstorm3d.localizing.first_look import levels_of

Counts = NDArray[np.uint16]
SCMOS = ScmosCamera(baseline=100.0, gain=2.2, read_noise=1.6)
CAMERAS = {
    "ideal": IdealCamera(),
    "scmos": SCMOS,
    "low gain": ScmosCamera(baseline=100.0, gain=0.45, read_noise=1.2),
    "emccd": EmccdCamera(),
    "subtracted": MinimumSubtractedCamera(),
}
# Molecules in four frames of 96 px, and their photons: an empty frame, a dim, a usual and a crowded one.
SCENES = {"empty": (0, 0.0), "dim": (10, 400.0), "usual": (20, 5000.0), "crowded": (300, 5000.0)}


def light(molecules: int, photons: float, background: float, seed: int = 0) -> torch.Tensor:
    """Expected photons (4, 96, 96): spots of σ 1.3 to 4 px at random places over an even background."""
    generator = np.random.default_rng(seed)
    at = np.arange(96)
    frames = np.full((4, 96, 96), background)
    for frame, _ in itertools.product(range(4), range(molecules)):
        x, y = generator.uniform(0, 95, 2)
        sigma = generator.uniform(1.3, 4.0)
        across, down = (np.exp(-((at - place) ** 2) / (2 * sigma**2)) for place in (x, y))
        frames[frame] += photons * np.outer(down, across) / (2 * np.pi * sigma**2)
    return torch.from_numpy(frames).float()


def exposed(camera: Camera, scene: str = "usual", background: float = 20.0, seed: int = 0) -> Counts:
    """Counts as a file has them."""
    expected = light(*SCENES[scene], background, seed)
    counts = camera.expose(expected, torch.Generator().manual_seed(seed))
    return counts.round().numpy().astype(np.uint16)


def found(counts: NDArray[np.generic], camera: Camera, trained: float | None = 20.0) -> list[Finding]:
    photons = camera.to_photons(torch.from_numpy(counts.astype(np.float32)))
    levels = None
    if trained is not None:
        base = camera.baseline if isinstance(camera, MinimumSubtractedCamera) else (0.0, 0.0)
        # A crowd of 300 in 96 px lifts the level by 163 photons.
        levels = TrainedLevels(trained + base[0], trained + base[1], trained + base[1] + 163)
    return check_frames(counts, photons, camera, levels)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("camera", CAMERAS)
def test_frames_of_the_camera_itself_pass(camera: str, scene: str) -> None:
    background = 0.0 if camera == "subtracted" else 20.0
    for seed in range(3):
        assert found(exposed(CAMERAS[camera], scene, background, seed), CAMERAS[camera], background) == []


FAULTS = {
    "a baseline not taken off": (SCMOS, IdealCamera(), "baseline"),
    "a baseline above the light": (SCMOS, SCMOS.with_(baseline=300.0), "below baseline"),
    "a gain the wrong way round": (SCMOS, SCMOS.with_(gain=1 / 2.2), "gain"),
    "a gain three times too small": (SCMOS, SCMOS.with_(gain=0.7), "gain"),
    "a gain three times too large": (SCMOS, SCMOS.with_(gain=6.6), "gain"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_camera_is_told(fault: str) -> None:
    true, said, kind = FAULTS[fault]
    for scene in ("usual", "crowded"):
        kinds = [finding.kind for finding in found(exposed(true, scene), said)]
        assert kind in kinds, (scene, kinds)


def test_a_baseline_that_is_a_little_too_high_is_told_in_dark_frames() -> None:
    # 30 ADU are 14 of 20 photons.
    (finding,) = found(exposed(SCMOS), SCMOS.with_(baseline=130.0))
    assert finding.kind == "baseline"
    number = float(finding.text.partition("the noise suggests about ")[2].partition(":")[0])
    assert number == pytest.approx(100, abs=8)


def test_a_gain_the_wrong_way_round_is_named_also_in_even_frames() -> None:
    for scene in ("empty", "usual"):
        texts = [each.text for each in found(exposed(SCMOS, scene), SCMOS.with_(gain=1 / 2.2))]
        assert any("seems to be inverted" in text and "`camera` gain=2.2" in text for text in texts), texts


def test_a_gain_is_told_in_numbers() -> None:
    (text,) = [each.text for each in found(exposed(SCMOS), SCMOS.with_(gain=0.7)) if each.kind == "gain"]
    assert "not 0.7" in text
    assert float(text.partition("the gain would be ")[2].partition(" ")[0]) == pytest.approx(2.2, rel=0.15)


def test_a_background_that_the_model_never_saw_is_told() -> None:
    (finding,) = found(exposed(SCMOS, background=400.0), SCMOS)
    assert finding.kind == "level"
    assert "trained for 20" in finding.text
    (finding,) = found(exposed(SCMOS, "empty", background=20.0), SCMOS, trained=400.0)
    assert finding.kind == "level"


def test_the_level_is_that_of_the_scenes_and_their_crowds() -> None:
    experiment = preset("storm")
    levels = levels_of(experiment)
    assert (levels.low, levels.high) == (20.0, 40.0)
    assert levels.most == pytest.approx(40 + 0.45 * 9000 * 0.11**2)
    assert trained_levels(preset("telomeres").scenes.values(), IdealCamera(), 0.11, (121, 121)).low == 20.0
    assert all(levels_of(preset(name)).low <= levels_of(preset(name)).high for name in PRESETS)


@pytest.mark.parametrize("scene", ["empty", "usual", "crowded"])
@pytest.mark.parametrize("camera", [SCMOS, IdealCamera(), SCMOS.with_(baseline=400.0)])
def test_swapped_bytes_are_told_and_nothing_else(scene: str, camera: Camera) -> None:
    counts = exposed(camera, scene)
    assert not bytes_seem_swapped(counts)
    (finding,) = found(counts.byteswap(), camera)
    assert finding.kind == "byte order"
    assert "bytes seem to be swapped" in finding.text and f"{counts.max()}" in finding.text


def test_counts_that_only_look_odd_are_not_swapped() -> None:
    counts = exposed(SCMOS)
    hot = counts.copy()
    hot[:, 10, 10] = 65535
    bits = (counts.astype(np.uint16) & 0x0FFF) << 4
    for odd in (hot, bits, counts.astype(np.float32), counts.astype(np.uint8), np.zeros_like(counts)):
        assert not bytes_seem_swapped(odd)


def test_a_few_defective_pixels_are_no_wrong_camera() -> None:
    counts = exposed(SCMOS)
    counts[:, 30, 40] = 10_000
    counts[2, 60, 50] = 60_000
    counts[:, :, 70] = 0
    assert found(counts, SCMOS) == []


def test_frames_that_were_averaged_or_drawn_have_too_little_noise() -> None:
    expected = light(*SCENES["usual"], 20.0)
    generator = torch.Generator().manual_seed(0)
    averaged = torch.stack([torch.poisson(expected, generator=generator) for _ in range(10)]).mean(0).numpy()
    (finding,) = found(averaged, IdealCamera())
    assert finding.kind == "gain" and "averaged" in finding.text
    flat = np.full((4, 96, 96), 20.0, np.float32)
    flat[0, 0, 0] = 21
    (finding,) = found(flat, IdealCamera())
    assert finding.kind == "noise" and "no noise" in finding.text


NOTHING = {
    "black": np.zeros((3, 40, 40), np.uint16),
    "constant": np.full((3, 40, 40), 102, np.uint16),
    "saturated": np.full((3, 40, 40), 65535, np.uint16),
    "NaN": np.full((3, 40, 40), np.nan, np.float32),
    "there is no frame": np.zeros((0, 40, 40), np.uint16),
}


@pytest.mark.parametrize("word", NOTHING)
def test_frames_without_light_are_refused_in_words(word: str) -> None:
    assert word in without_light(NOTHING[word])
    (finding,) = check_frames(NOTHING[word], torch.zeros(NOTHING[word].shape), SCMOS)
    assert finding.kind == "no light"
    with pytest.raises(InputError, match="movie"):
        refuse_without_light(NOTHING[word], 65535.0, "movie.tif")


def test_a_sample_is_small_and_of_the_whole_block() -> None:
    block = np.arange(400, dtype=np.uint16)[:, None, None].repeat(121, 1).repeat(121, 2)
    sample = sample_for_check(block)
    assert sample.size <= 2**18
    assert (sample[0, 0, 0], sample[-1, 0, 0]) == (0, 399)
