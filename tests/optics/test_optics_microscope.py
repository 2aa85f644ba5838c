"""The microscope's derived numbers, and the set-ups it refuses."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstorm3d.errors import InputError
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.spec import spec_from_mapping


def test_the_published_telomere_set_up_has_its_published_numbers() -> None:
    microscope = Microscope()
    assert microscope.pixel_um == pytest.approx(0.11)
    assert microscope.pupil_diameter == pytest.approx(4350.46, abs=0.01)  # 2 f NA / sqrt(M² − NA²)
    assert microscope.aperture == pytest.approx(1.33 / 1.45)
    assert microscope.image_period_px == pytest.approx(329.5, abs=0.1)


def test_the_storm_set_up_repeats_after_203_pixels() -> None:
    storm = Microscope(wavelength=0.67, focal_length=1.0e5, mask_pitch=30.0, focus=1.5)
    assert storm.image_period_px == pytest.approx(203, abs=0.1)


@settings(max_examples=40, deadline=None)
@given(
    na=st.floats(0.2, 1.49),
    n_sample=st.floats(1.0, 1.6),
    focal_length=st.floats(5e4, 3e5),
    mask_pitch=st.floats(8.0, 200.0),
)
def test_the_mask_covers_the_light_with_less_than_two_pixels_to_spare(
    na: float, n_sample: float, focal_length: float, mask_pitch: float
) -> None:
    microscope = Microscope(na=na, n_sample=n_sample, focal_length=focal_length, mask_pitch=mask_pitch)
    diameter = microscope.aperture * microscope.pupil_diameter
    assert microscope.mask_px % 2 == 1
    assert 0 < microscope.aperture <= 1
    assert microscope.mask_px * mask_pitch >= diameter
    assert (microscope.mask_px - 3) * mask_pitch < diameter
    assert math.isclose(microscope.with_(na=na).pupil_diameter, microscope.pupil_diameter)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"na": 1.6}, "na 1.6 must be below n_immersion 1.518"),
        ({"na": 1.45, "magnification": 1.2}, "magnification 1.2 must be above na 1.45"),
        ({"wavelength": 580}, "wavelength.*given: 580"),
        ({"focal_length": 1.5e8}, "check focal_length, mask_pitch"),
        ({"wavelenght": 0.58}, "did you mean 'wavelength'"),
        ({"focus": float("nan")}, "focus"),
    ],
)
def test_an_impossible_microscope_is_refused_in_the_users_words(change: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        spec_from_mapping(Microscope, change)


def test_the_apertures_radius_is_that_of_the_light_that_leaves_the_sample():
    wide, dry = Microscope(na=1.45, n_sample=1.33), Microscope(na=1.2, n_sample=1.33)
    assert wide.aperture_radius == pytest.approx(wide.pupil_diameter / 2 * 1.33 / 1.45)
    assert dry.aperture_radius == dry.pupil_diameter / 2
