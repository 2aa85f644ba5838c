"""A model's camera changed: what the user says is so, the rest adds nothing, and what was assumed is told."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.camera import Camera, EmccdCamera, IdealCamera, MinimumSubtractedCamera, ScmosCamera
from deepstorm3d.errors import InputError
from deepstorm3d.localizing.camera_change import assumed_values, change_camera

COUNTS = torch.tensor([[[100.0, 300.0]]])


@pytest.mark.parametrize(
    ("said", "photons", "assumed"),
    [
        ({"gain": 0.25}, [400.0, 1200.0], "baseline 0, read_noise 0"),
        ({"read_noise": 1.6}, [100.0, 300.0], "baseline 0, gain 1"),
        ({"baseline": 100}, [0.0, 200.0], "gain 1, read_noise 0"),
        ({"baseline": 100, "gain": 2}, [0.0, 100.0], "read_noise 0"),
        ({"kind": "scmos"}, [100.0, 300.0], "baseline 0, gain 1, read_noise 0"),
        (
            {"kind": "emccd", "em_gain": 100, "gain": 0.1},
            [10.0, 30.0],
            "baseline 0, read_noise 0, spurious_charge 0",
        ),
        ({"em_gain": 100, "gain": 0.1, "baseline": 100}, [0.0, 20.0], "read_noise 0, spurious_charge 0"),
    ],
)
def test_of_an_ideal_camera_only_what_is_said_changes(
    said: dict[str, object], photons: list[float], assumed: str
):
    changed = change_camera(IdealCamera(saturation=4095), said)
    assert changed.to_photons(COUNTS)[0, 0].tolist() == pytest.approx(photons)
    assert changed.saturation == 4095
    (told,) = assumed_values(IdealCamera(), changed, said)
    assert told.endswith(f"assumed: {assumed}") and "kind ideal" in told and f"{next(iter(said))}=" in told


def test_nothing_is_assumed_where_all_is_said_or_the_kind_stays():
    said = {"baseline": 100, "gain": 2, "read_noise": 1}
    assert assumed_values(IdealCamera(), change_camera(IdealCamera(), said), said) == ()
    own = ScmosCamera(baseline=90, gain=2, read_noise=1.1)
    changed = change_camera(own, {"gain": 3})
    assert changed == own.with_(gain=3)
    assert assumed_values(own, changed, {"gain": 3}) == ()
    assert change_camera(own, {}) is change_camera(own, None) is own


def test_a_whole_camera_takes_the_place_of_the_models():
    own, other = ScmosCamera(baseline=90, gain=2), EmccdCamera(em_gain=50, gain=0.5)
    assert change_camera(own, other) is other
    assert assumed_values(own, other, other) == ()


def test_counts_of_the_file_stay_what_they_are_in_another_kind():
    own = ScmosCamera(baseline=90, gain=2, saturation=4095)
    changed = change_camera(own, {"em_gain": 50, "gain": 0.5})
    assert changed == EmccdCamera(
        em_gain=50, gain=0.5, baseline=90, saturation=4095, read_noise=0, spurious_charge=0
    )
    assert (
        "baseline" not in assumed_values(own, changed, {"em_gain": 50, "gain": 0.5})[0].partition("assumed")[2]
    )
    back = change_camera(changed, {"kind": "scmos"})
    assert back == ScmosCamera(baseline=90, gain=1, read_noise=0, saturation=4095)
    # A map is of an sCMOS's pixels: it cannot stay.
    mapped = own.with_(baseline="b.npy")
    assert change_camera(mapped, {"em_gain": 50, "gain": 0.5}).baseline == 0  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("camera", "said", "needed"),
    [
        (IdealCamera(), {"kind": "emccd"}, "`camera` em_gain=... `camera` gain=..."),
        (ScmosCamera(), {"em_gain": 300}, "`camera` gain=..."),
        (IdealCamera(), {"kind": "minimum_subtracted", "noise": [8, 12]}, "`camera` baseline=..."),
    ],
)
def test_a_kind_without_neutral_values_asks_for_them(camera: Camera, said: dict[str, object], needed: str):
    with pytest.raises(InputError) as refused:
        change_camera(camera, said)
    assert str(refused.value).endswith(f"add {needed}")


@pytest.mark.parametrize(
    ("camera", "said", "words"),
    [
        (ScmosCamera(), {"basline": 100}, "did you mean 'baseline'"),
        (IdealCamera(), {"kind": "film"}, "kind"),
        (MinimumSubtractedCamera(), {"gain": 2}, "gain: no such key"),
    ],
)
def test_what_cannot_be_is_named(camera: Camera, said: dict[str, object], words: str):
    with pytest.raises(InputError, match=words):
        change_camera(camera, said)
