"""Numbers of an experiment in a wrong unit are refused with number, unit and remedy, before any work."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from deepstorm3d.errors import InputError
from deepstorm3d.experiment.configure import find_experiment
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.light_patch import patch_for_light
from deepstorm3d.experiment.lost_light import why_light_is_lost
from deepstorm3d.experiment.optics import experiment_mask, psf_source
from deepstorm3d.experiment.presets import PRESETS, preset
from deepstorm3d.io.masks import mask_sha256
from deepstorm3d.jobs import simulate
from deepstorm3d.optics.masks import FileMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.simulation.priors import EmitterPrior


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        (
            "microscope.focus=850",
            "microscope.focus of 850 µm lies 848.8 µm from .*0 to 1.2 µm.*850 nm are 0.85",
        ),
        ("microscope.focus=-850", "microscope.focus of -850 µm lies 850 µm from"),
        ("microscope.focus=60", "microscope.focus of 60 µm .*set it near the depths, in µm"),
        ("channels={far: {light: 0.4, focus: 850}}", "channels.far: focus of 850 µm .*850 nm are 0.85"),
        ("dyes={a: {focus: 850}, b: {wavelength: 0.67}}", "dyes.a.focus of 850 µm .*850 nm are 0.85"),
        ("scenes.main.emitters.z_um=[0, 1200]", "z_um: no objective reaches .*1200 µm.*are .0, 1.2.*given"),
        ("scenes.main.emitters.z_um=[-400, 0]", "z_um: no objective reaches .*400 µm.*are .-0.4, 0"),
        ("scenes.main.emitters.z_um=[0, 250]", "z_um: a range of 250 µm is wider than 100 µm.*are .0, 0.25"),
        ("scenes.main.emitters.z_um=[250, 290]", "microscope.focus of 0.85 µm lies 249.2 µm from .*250 to 290"),
        ("scenes.main.emitters.blur_px=[110, 110]", "blur_px: a blur of 110 px .*camera pixels, not nm"),
        ("frame_px=[121000, 121000]", "frame_px .121000, 121000. is larger than 20000 px.*not nm"),
        ("channels={far: {light: 0.4, frame_px: [64, 7040000]}}", "channels.far: frame_px .64, 7040000."),
    ],
)
def test_a_length_in_a_wrong_unit_is_refused_with_its_number_and_remedy(assignment: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        find_experiment("quickstart", [assignment])


@pytest.mark.parametrize("factor", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_is_taken_and_may_be_focused_and_sized_anew(name: str, factor: float) -> None:
    experiment = preset(name)
    scope = experiment.microscope
    experiment.with_(microscope=scope.with_(focus=factor * scope.focus), frame_px=(4096, 4096))


def test_dry_and_weak_objectives_may_be_far_from_their_nominal_focus() -> None:
    Microscope(na=0.8, n_immersion=1.0, focus=100.0).check_depths((130.0, 136.0))
    Microscope(na=0.3, n_immersion=1.0, focus=0.0).check_depths((60.0, 90.0))
    EmitterPrior(z_um=(0.0, 100.0), blur_px=(0.0, 10.0))


def test_a_measured_psf_has_no_focus_to_be_refused() -> None:
    experiment = preset("quickstart")
    planes = {"kind": "measured", "patch_px": 31}
    experiment.with_(psf=planes, microscope=experiment.microscope.with_(focus=850.0))


def test_a_frame_beyond_the_memory_is_refused_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "free_bytes", lambda device: 2**30)
    monkeypatch.setattr(simulate, "channel_views", lambda experiment: pytest.fail("begun all the same"))
    experiment = preset("quickstart").with_(frame_px=(12100, 12100))
    told = r"12100 x 12100 px .frame_px. takes 3.3 GiB of memory, 1.0 GiB are free; make frame_px smaller"
    with pytest.raises(InputError, match=told):
        simulate.MovieSimulation(experiment, frames=1)


def _why(experiment: Experiment) -> str:
    source = psf_source(experiment)
    return why_light_is_lost(experiment, source, patch_for_light(experiment, source)[1])


def _setup(*assignments: str) -> Experiment:
    return find_experiment("quickstart", ["mask={kind: zero}", "psf.patch_px=21", *assignments])


@pytest.mark.parametrize(
    ("mistaken", "cause", "mended"),
    [
        ("microscope.focus=6", "microscope.focus of 6 µm.*about 0.68 µm", "microscope.focus=0.68"),
        ("psf.blur_px=10", "blur of 10 px", "psf.blur_px=1"),
        ("psf.pupil_oversampling=1", "psf.pupil_oversampling=2", "psf.pupil_oversampling=2"),
    ],
)
def test_the_cause_of_lost_light_is_named_and_its_remedy_helps(mistaken: str, cause: str, mended: str) -> None:
    # Blur alone is lost only on a small patch, and sampling alone where deep molecules are wide.
    pitch = {"psf.blur_px=10": 90, "psf.pupil_oversampling=1": 75}.get(mistaken, 60)
    given = [f"microscope.mask_pitch={pitch}", "scenes.main.emitters.blur_px=null"]
    experiment = _setup(*given, mistaken)
    assert re.search(cause, _why(experiment))
    better = _setup(*given, mended)
    source = psf_source(better)
    before = patch_for_light(experiment, psf_source(experiment))[1]
    assert patch_for_light(better, source)[1] > before + 0.3 * (1 - before)


def test_light_that_no_frame_shows_is_no_loss() -> None:
    experiment = _setup("microscope.mask_pitch=15", "frame_px=[16, 16]", "psf.patch_px=11")
    assert why_light_is_lost(experiment, psf_source(experiment), 0.8) == ""


def test_another_mask_than_the_hash_says_is_refused_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "other.npy"
    scope = preset("quickstart").microscope
    phase = torch.zeros(scope.mask_px, scope.mask_px)
    np.save(path, phase.numpy())
    named = FileMask(path=str(path), sha256=mask_sha256(phase.numpy() + 1))
    experiment = preset("quickstart").with_(mask=named)
    with pytest.raises(InputError, match=r"other.npy is meant, clear mask.sha256 .*`with_mask`.*mask.path"):
        experiment_mask(experiment)
    assert experiment_mask(experiment.with_(mask=named.with_(sha256=""))) is not None
    with pytest.raises(InputError, match="give the file of that mask"):
        experiment_mask(experiment, phase=phase)
