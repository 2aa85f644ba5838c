"""Images of beads whose noise is not the camera's: recognised, and given the noise that they have."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deepstorm3d.calibration.beads.bleaching import median_fall
from deepstorm3d.calibration.beads.image_noise import own_noise
from deepstorm3d.calibration.measured_psf.average import average_beads
from deepstorm3d.calibration.phase_retrieval import warnings as sentences
from deepstorm3d.calibration.phase_retrieval.residuals import of_all_power
from deepstorm3d.errors import InputError
from deepstorm3d.fitting.likelihood import Likelihood

SIDE = 25


def clean(background: float = 10.0) -> Tensor:
    """Photons expected of a spot that widens and narrows: (21, 25, 25)."""
    axis = torch.arange(SIDE) - SIDE // 2
    square = (axis[:, None].square() + axis.square()).float()
    widths = 1.5 + torch.linspace(-2.5, 2.5, 21).abs()[:, None, None]
    return background + 20000 * torch.exp(-square / (2 * widths.square())) / (6.2832 * widths.square())


def counted(background: float = 10.0) -> Tensor:
    return torch.poisson(clean(background), generator=torch.Generator().manual_seed(0))


def test_counts_of_the_camera_stay_as_they_are() -> None:
    images = Likelihood(counted())
    found = own_noise(images)
    assert found.kind == "camera" and found.likelihood is images and not found.warnings()
    assert found.factor == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("scale", [1e-4, 0.1, 30.0, 1e4])
def test_of_an_unknown_gain_the_noise_tells_the_photons(scale: float) -> None:
    found = own_noise(Likelihood(scale * counted()))
    assert found.kind == "measured"
    assert float(found.likelihood.frames.max()) == pytest.approx(float(counted().max()), rel=0.25)
    assert "times what the camera of the experiment gives" in " ".join(found.warnings())


@pytest.mark.parametrize("scale", [1.0, 3.7])
def test_a_background_taken_off_and_clipped_is_seen(scale: float) -> None:
    found = own_noise(Likelihood((scale * (counted() - 18)).clamp(min=0).round()))
    assert found.kind == "measured" and found.clipped > 0.3
    assert float(found.likelihood.frames.max()) == pytest.approx(float(counted().max()) - 18, rel=0.3)
    assert "subtracted and clipped" in " ".join(found.warnings())


def test_defective_pixels_do_not_hide_that_the_background_was_clipped() -> None:
    frames, weight = (counted() - 18).clamp(min=0).round(), torch.ones(21, SIDE, SIDE)
    # What the neighbours say of a pixel may be less than nothing.
    frames[:, 3, 4], weight[:, 3, 4] = -2.5, 0.0
    found = own_noise(Likelihood(frames, weight=weight))
    assert found.kind == "measured" and found.clipped > 0.3
    assert "subtracted and clipped" in " ".join(found.warnings())


def test_noise_is_no_less_than_the_threshold_below_which_all_was_set_to_nothing() -> None:
    cut = counted() - 10
    cut = torch.where(cut > 15, cut, 0.0)
    found = own_noise(Likelihood(cut))
    unit = float(cut.max() / found.likelihood.frames.max())
    assert float(found.likelihood.noise.read_variance) ** 0.5 * unit > 15


@pytest.mark.parametrize("images", [clean(), clean().round(), (1e-6 * clean()), torch.zeros(21, SIDE, SIDE)])
def test_images_without_noise_get_the_least_that_is_assumed(images: Tensor) -> None:
    found = own_noise(Likelihood(images))
    assert found.kind == "none"
    assert bool(found.likelihood.frames.isfinite().all())
    assert float(found.likelihood.frames.max()) < 1e6
    assert "hardly any noise" in " ".join(found.warnings())


def test_full_pixels_do_not_tell_the_noise() -> None:
    frames, weight = counted(), torch.ones(21, SIDE, SIDE)
    frames[:, 10:15, 10:15], weight[:, 10:15, 10:15] = 6e4, 0.0
    assert own_noise(Likelihood(frames, weight=weight)).kind == "camera"


@pytest.mark.parametrize(("share", "told"), [(-30.0, 0.0), (0.0, 0.0), (1.0, 0.5), (1e9, 1.0)])
def test_a_share_lies_between_nothing_and_all(share: float, told: float) -> None:
    assert of_all_power(share) == pytest.approx(told, abs=1e-6)


def test_a_deviance_is_judged_on_both_sides_and_only_where_it_means_something() -> None:
    assert sentences.about_fit(1.0, 0.001, 0.1, "camera") == []
    assert "less noise than the camera" in sentences.about_fit(0.3, 0.0, 0.1, "camera")[0]
    worse = sentences.about_fit(48.0, 0.4, 0.6, "camera")[0]
    assert "deviance 48.00" in worse and "magnification or pixel size" in worse
    assert "deviance" not in sentences.about_fit(48.0, 0.4, 0.6, "measured")[0]
    assert sentences.about_fit(0.01, 0.0, 0.1, "none") == []


def test_bleaching_is_told_with_its_number() -> None:
    light = 1e4 * torch.exp(-torch.linspace(0, 2, 30))
    assert median_fall([light, light * 3]) == pytest.approx(1 - torch.exp(torch.tensor(-2.0)).item(), abs=0.01)
    assert median_fall([light.flip(0)]) == 0.0
    assert median_fall([]) == 0.0
    assert "fell by 86 %" in sentences.about_bleaching(0.865)[0]
    assert sentences.about_bleaching(0.2) == []


def test_a_bead_without_light_is_left_out_of_the_average_and_no_share_exceeds_one() -> None:
    dark = 10 - 0.5 * (clean() - 10) / (clean() - 10).max()
    averaged = average_beads(torch.stack([counted(), 2 * counted(), dark]))
    assert averaged.used.tolist() == [True, True, False]
    assert float(averaged.misfit.min()) >= 0 and float(averaged.misfit.max()) <= 1
    with pytest.raises(InputError, match="no bead has light"):
        average_beads(dark[None])
