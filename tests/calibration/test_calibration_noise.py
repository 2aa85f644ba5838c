"""The variance line tells gain and zero, whatever the image; and says so where it cannot."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deepstorm3d.calibration.movie_statistics.camera import match_camera
from deepstorm3d.camera import EmccdCamera, IdealCamera, MinimumSubtractedCamera, ScmosCamera
from deepstorm3d.errors import InputError
from deepstorm3d.frames.mean_variance import DarkLevel, dark_level, high_pass, noise_line

SCMOS = ScmosCamera(baseline=100.0, gain=2.0, read_noise=3.0)


def ramp(frames: int = 12, low: float = 10.0, high: float = 200.0) -> Tensor:
    """Light that rises across the field."""
    return torch.linspace(low, high, 96).expand(frames, 96, 96).contiguous()


def with_spots(light: Tensor) -> Tensor:
    """Spots of σ 1.3 px, as sharp as the optics form them, at other places in every frame."""
    generator = torch.Generator().manual_seed(3)
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    light = light.clone()
    for frame in light:
        for place in 96 * torch.rand(12, 2, generator=generator):
            frame += 300 * torch.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * 1.3**2))
    return light


def expose(camera: ScmosCamera | EmccdCamera | IdealCamera, light: Tensor, seed: int = 1) -> Tensor:
    return camera.expose(light, torch.Generator().manual_seed(seed))


def test_the_filter_passes_noise_with_its_variance_and_no_smooth_image():
    noise, _ = high_pass(torch.randn(20, 96, 96, generator=torch.Generator().manual_seed(2)))
    assert float(noise.var()) == pytest.approx(1.0, rel=0.02)
    noise, mean = high_pass(ramp(1))
    assert float(noise.abs().max()) < 1e-3
    assert torch.allclose(mean, ramp(1)[:, 2:-2, 2:-2], atol=1e-3)


@pytest.mark.parametrize("light", [ramp(), with_spots(ramp())], ids=["ramp", "spots"])
def test_slope_and_zero_are_those_of_the_camera(light: Tensor):
    line = noise_line(expose(SCMOS, light))
    assert line.slope == pytest.approx(2.0, rel=0.04)
    assert line.zero == pytest.approx(100 - 2.0 * 9, abs=4 * line.zero_sigma)
    assert line.zero_sigma < 8
    assert not line.trouble
    assert line.misfit < 4


def test_even_light_tells_no_gain_and_the_camera_is_kept():
    counts = expose(SCMOS, torch.full((12, 96, 96), 50.0))
    assert noise_line(counts).trouble
    found = match_camera(counts, ScmosCamera(gain=0.7))
    assert found.camera == ScmosCamera(gain=0.7)
    assert "cannot tell the gain" in " ".join(found.warnings)


def test_a_fixed_pattern_is_left_out_and_reported():
    pattern = 20 * torch.randn(96, 96, generator=torch.Generator().manual_seed(5))
    line = noise_line(expose(SCMOS, ramp(40)) + pattern)
    assert line.slope == pytest.approx(2.0, rel=0.05)
    assert line.fixed == pytest.approx(20, rel=0.1)


def test_light_in_single_frames_has_its_whole_slope_though_the_mean_of_few_frames_is_subtracted():
    light = torch.full((4, 400, 400), 20.0)
    for number in range(4):
        light[number, :, 100 * number : 100 * (number + 1)] = 200.0
    assert noise_line(expose(SCMOS, light)).slope == pytest.approx(2.0, rel=0.03)


def test_saturated_pixels_say_nothing():
    camera = SCMOS.with_(saturation=400.0)
    line = noise_line(expose(camera, ramp()), saturation=400.0)
    assert line.saturated > 0.1
    assert line.slope == pytest.approx(2.0, rel=0.1)


def test_a_dark_movie_gives_baseline_and_read_noise():
    dark = dark_level(expose(SCMOS, torch.zeros(50, 64, 64)))
    assert dark.baseline == pytest.approx(100, abs=0.1)
    assert dark.read_noise_adu == pytest.approx(6.0, rel=0.01)
    with pytest.raises(InputError, match="shutter closed"):
        dark_level(expose(SCMOS, ramp()))
    with pytest.raises(InputError, match="2 frames"):
        dark_level(torch.zeros(1, 8, 8))


def test_what_is_known_decides_between_baseline_and_read_noise():
    counts = expose(SCMOS, ramp(40, 2.0, 60.0))
    dark = dark_level(expose(SCMOS, torch.zeros(50, 64, 64)))
    measured = match_camera(counts, ScmosCamera(), dark=dark).camera
    assert isinstance(measured, ScmosCamera)
    assert measured.gain == pytest.approx(2.0, rel=0.03)
    assert measured.read_noise == pytest.approx(3.0, rel=0.05)
    given = match_camera(counts, ScmosCamera(), baseline=100.0).camera
    assert isinstance(given, ScmosCamera)
    assert given.read_noise == pytest.approx(3.0, rel=0.15)
    assumed = match_camera(counts, ScmosCamera(read_noise=3.0)).camera
    assert isinstance(assumed, ScmosCamera)
    assert assumed.baseline == pytest.approx(100.0, abs=4)


def exposed_dark(camera: ScmosCamera | EmccdCamera) -> DarkLevel:
    return dark_level(expose(camera, torch.zeros(60, 96, 96), seed=5))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("gain", [0.45, 2.2])
@pytest.mark.parametrize("light", [60.0, 100.0])
def test_a_dark_movie_is_a_point_of_the_line(light: float, gain: float, seed: int):
    """Frames of about even light: the slope by themselves is off by tenths, or cannot be told."""
    true = ScmosCamera(baseline=300.0, gain=gain, read_noise=1.6)
    counts = expose(true, with_spots(torch.full((20, 96, 96), light)), seed)
    dark = exposed_dark(true)
    found = match_camera(counts, ScmosCamera(), dark=dark)
    camera, line = found.camera, found.line
    assert isinstance(camera, ScmosCamera)
    assert line.slope_sigma < 0.02 * gain
    assert camera.gain == pytest.approx(gain, abs=3 * line.slope_sigma)
    assert camera.baseline == pytest.approx(300.0, abs=0.1)
    assert camera.read_noise == pytest.approx(1.6, rel=0.03)
    assert not found.warnings
    assert any(note.startswith(f"gain {camera.gain:.4g} ± ") for note in found.notes)
    assert line.slope_sigma < 0.3 * noise_line(counts).slope_sigma


def test_the_dark_point_lies_on_the_line_of_an_emccd_too():
    true = EmccdCamera(em_gain=100.0, gain=0.2, baseline=300.0, spurious_charge=0.0)
    found = match_camera(
        expose(true, torch.full((20, 96, 96), 50.0)), EmccdCamera(em_gain=100.0), dark=exposed_dark(true)
    ).camera
    assert isinstance(found, EmccdCamera)
    assert found.gain == pytest.approx(0.2, rel=0.03)
    assert found.baseline == pytest.approx(300.0, abs=0.3)
    assert found.read_noise == pytest.approx(true.read_noise, rel=0.04)


def test_where_no_gain_can_be_told_the_dark_movie_or_the_baseline_still_holds():
    true = ScmosCamera(baseline=300.0, gain=1.0, read_noise=2.0)
    counts, dark = expose(true, torch.full((2, 96, 96), 0.05)), exposed_dark(true)
    found = match_camera(counts, ScmosCamera(gain=0.5), dark=dark)
    assert isinstance(found.camera, ScmosCamera)
    assert (found.camera.gain, found.camera.baseline) == (0.5, dark.baseline)
    assert found.camera.read_noise == pytest.approx(4.0, rel=0.02)
    assert "the camera's gain of 0.5 is kept" in " ".join(found.warnings)
    given = match_camera(expose(true, torch.full((12, 96, 96), 50.0)), ScmosCamera(gain=0.5), baseline=310.0)
    assert isinstance(given.camera, ScmosCamera)
    assert (given.camera.gain, given.camera.baseline) == (0.5, 310.0)
    assert match_camera(counts, ScmosCamera(gain=0.5)).camera == ScmosCamera(gain=0.5)


def test_a_dark_movie_of_other_settings_is_told():
    counts = expose(SCMOS, ramp(40))
    other = match_camera(counts, ScmosCamera(), dark=exposed_dark(SCMOS.with_(baseline=10.0)))
    assert "the dark movie does not lie on the line" in " ".join(other.warnings)
    assert isinstance(other.camera, ScmosCamera)
    assert other.camera.gain == pytest.approx(2.0, rel=0.05)
    with pytest.raises(InputError, match="600"):
        match_camera(counts, ScmosCamera(), dark=exposed_dark(SCMOS.with_(baseline=600.0)))


def test_a_baseline_that_cannot_be_right_is_told_with_both_numbers():
    counts = expose(ScmosCamera(gain=0.45), ramp(40, 20.0, 200.0))
    high = " ".join(match_camera(counts, ScmosCamera(), baseline=130.0).warnings)
    assert "130 ADU, is above the mean of the darkest parts" in high
    low = match_camera(counts, ScmosCamera(), baseline=-5.0)
    assert "-5 ADU, is below 9" in " ".join(low.warnings)
    assert isinstance(low.camera, ScmosCamera)
    assert low.camera.baseline == -5.0
    assert not match_camera(counts, ScmosCamera(), baseline=100.0).warnings


def test_a_baseline_below_0_that_the_noise_says_is_told():
    counts = expose(ScmosCamera(baseline=0.0, gain=2.0, read_noise=0.0), ramp(40, 20.0, 200.0)) - 30
    found = match_camera(counts, ScmosCamera(read_noise=0.0))
    assert isinstance(found.camera, ScmosCamera)
    assert found.camera.baseline == 0.0
    assert "the noise says a baseline of -" in " ".join(found.notes)


def test_an_ideal_camera_stays_ideal_and_an_emccd_shares_its_gain():
    assert match_camera(expose(IdealCamera(), ramp()), IdealCamera()).camera == IdealCamera()
    assert isinstance(match_camera(expose(SCMOS, ramp()), IdealCamera()).camera, ScmosCamera)
    true = EmccdCamera(em_gain=100.0, gain=0.2)
    found = match_camera(expose(true, ramp(30)), EmccdCamera(em_gain=100.0)).camera
    assert isinstance(found, EmccdCamera)
    assert found.gain == pytest.approx(0.2, rel=0.05)


def test_minimum_subtracted_frames_keep_no_gain_and_tell_their_noise():
    camera = MinimumSubtractedCamera(baseline=(30.0, 30.0), noise=(10.0, 10.0))
    counts = camera.expose(torch.zeros(20, 96, 96), torch.Generator().manual_seed(1))
    found = match_camera(counts, camera.with_(noise=(1.0, 2.0))).camera
    assert isinstance(found, MinimumSubtractedCamera)
    assert found.noise == pytest.approx((10.0, 10.0), rel=0.08)


def test_too_few_pixels_are_refused():
    with pytest.raises(InputError, match="at least 2,000"):
        noise_line(expose(SCMOS, torch.full((1, 32, 32), 50.0)))


@pytest.mark.parametrize("subtracted", [True, False], ids=["minimum-subtracted", "sCMOS"])
def test_frames_of_any_size_are_measured_or_refused_with_the_size_that_would_do(subtracted: bool) -> None:
    camera = MinimumSubtractedCamera() if subtracted else SCMOS
    counts = expose(SCMOS, ramp(40)[:, :64, :64])
    if subtracted:
        counts = counts - counts.amin(0)
    measured = []
    for side in (1, 5, 8, 12, 13, 16, 20, 24, 32, 38, 39, 48, 64):
        part = counts[:, :side, : side + 1]
        try:
            measured.append(match_camera(part, camera).camera)
        except InputError as error:
            told = "at least 13 px along each side" if side < 13 else "at least 2,000 are needed"
            assert told in str(error), side
            assert side < 20
    assert len(measured) >= 7
    for side in (1, 5, 8):
        dark_level(expose(SCMOS, torch.zeros(50, side, side)))
