"""Dyes of an experiment: what the optics do to each wavelength, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepstorm3d.errors import InputError
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.experiment.dye import Dye
from deepstorm3d.experiment.dyes import dye_optics, dye_stack, dyes_table, of_other_wavelengths, with_dyes
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import read_experiment, write_experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.jobs.design_psf import design_mask
from deepstorm3d.optics.measured import MeasuredPSFSpec
from deepstorm3d.optics.psf import on_axis
from factories import tiny_experiment


def two_dyes() -> Experiment:
    base = tiny_experiment()
    shorter = Dye(wavelength=0.8 * base.microscope.wavelength, amount=3.0, focus=0.7)
    return base.with_(dyes={"short": shorter, "main": Dye(wavelength=base.microscope.wavelength)})


def test_the_phase_of_a_plate_goes_with_one_over_the_wavelength_and_its_index() -> None:
    assert Dye(wavelength=0.5).phase_factor(0.6) == pytest.approx(1.2)
    assert Dye(wavelength=0.5, mask_index=(1.46, 1.47)).phase_factor(0.6) == pytest.approx(1.2 * 0.47 / 0.46)
    assert Dye(wavelength=0.6).phase_factor(0.6) == 1


def test_each_dye_is_seen_at_its_wavelength_through_its_phase_at_its_focus() -> None:
    setup = two_dyes()
    setup = setup.with_(psf=setup.psf.with_(aberrations={7: 0.4}))
    short, main = dye_optics(setup)
    assert short.experiment.microscope == setup.microscope.with_(
        wavelength=0.8 * setup.microscope.wavelength, focus=0.7
    )
    assert short.experiment.psf.with_(aberrations={}) == setup.psf.with_(aberrations={})
    assert short.experiment.psf.aberrations == {7: pytest.approx(0.5)}  # pyright: ignore[reportAttributeAccessIssue]
    phase = experiment_mask(setup)().detach()
    torch.testing.assert_close(short.source(), 1.25 * phase)
    assert main.experiment == setup.with_(dyes={}) and torch.equal(main.source(), phase)


def test_one_table_holds_the_psf_of_each_dye() -> None:
    setup = two_dyes()
    table = dyes_table(setup)
    stack = dye_stack(setup, table)
    z = torch.linspace(*setup.z_um, 7)
    for number, each in enumerate(dye_optics(setup)):
        exact = each.experiment.psf.images(each.experiment.microscope, each.source)
        blur = torch.full_like(z, table.own_blur_px)
        own = exact(on_axis(z), blur).values.float()
        seen = table(on_axis(z + number * stack.step_um), blur).values
        assert float((seen - own).abs().max()) < 0.01 * float(own.max())


def test_dyes_stand_in_the_file_of_the_experiment(tmp_path: Path) -> None:
    setup = two_dyes()
    write_experiment(setup, tmp_path / "e.yaml")
    assert read_experiment(tmp_path / "e.yaml") == setup
    text = (tmp_path / "e.yaml").read_text(encoding="utf-8")
    assert "emission wavelength in vacuum" in text


def test_wavelengths_given_by_the_user_are_in_order_and_two_at_least() -> None:
    setup = with_dyes(tiny_experiment(), {"red": 0.67, "orange": 0.56})
    assert list(setup.dyes) == ["orange", "red"]
    assert with_dyes(setup, None) is not setup and with_dyes(setup, None).dyes == setup.dyes
    for wrong in ({"red": 0.67}, {"a": 0.6, "b": 0.6}, None):
        with pytest.raises(InputError, match="two wavelengths or more"):
            with_dyes(tiny_experiment(), wrong)
    with pytest.raises(InputError, match=r"the dye 'red' is not valid:\s+wavelength: must be .*given: 150"):
        with_dyes(tiny_experiment(), {"red": 150.0, "green": 0.5})


def test_dyes_of_a_file_are_numbered_from_the_shortest_wavelength_as_those_of_the_command_are() -> None:
    red, orange = Dye(wavelength=0.67, amount=3.0, focus=0.9), Dye(wavelength=0.561, mask_index=(1.46, 1.463))
    own = tiny_experiment(dyes={"red": red, "orange": orange})
    assert list(own.dyes.items()) == [("orange", orange), ("red", red)]
    # The truth of `simulate` has the same numbers: three of four molecules are dye 2.
    drawn = dye_stack(own, dyes_table(own)).draw(4000, torch.Generator().manual_seed(0))
    assert float((drawn == 2).double().mean()) == pytest.approx(0.75, abs=0.03)
    # What the experiment knows of a dye beside its wavelength is kept where the command names the dye.
    given = with_dyes(own, {"red": 0.68, "orange": 0.561, "green": 0.52})
    assert list(given.dyes.items()) == [
        ("green", Dye(wavelength=0.52)),
        ("orange", orange),
        ("red", red.with_(wavelength=0.68)),
    ]


def test_other_wavelengths_lie_between_the_dyes_and_beyond_where_the_mask_is_sampled_finely_enough() -> None:
    setup = tiny_experiment(dyes={"b": Dye(wavelength=0.7, focus=1.1), "a": Dye(wavelength=0.5, focus=0.9)})
    others = list(of_other_wavelengths(setup).dyes.values())
    assert [dye.wavelength for dye in others] == pytest.approx([0.4, 0.6, 0.8])
    assert [dye.focus for dye in others] == pytest.approx([0.9, 1.0, 1.1])
    coarse = setup.with_(microscope=setup.microscope.with_(mask_pitch=1.6 * setup.microscope.mask_pitch))
    assert len(of_other_wavelengths(coarse).dyes) == 2


def test_what_has_no_psf_of_each_dye_is_refused(tmp_path: Path) -> None:
    setup = two_dyes()
    with pytest.raises(ValueError, match="with several channels their shares"):
        setup.with_(channels={"far": Channel()})
    with pytest.raises(ValueError, match=r"psf\.kind is measured"):
        setup.with_(psf=MeasuredPSFSpec(patch_px=21))
    with pytest.raises(InputError, match=r"knows one wavelength, the experiment has 2 dyes"):
        design_mask(setup, tmp_path / "m.npy")
