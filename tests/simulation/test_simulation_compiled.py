"""Frames drawn by compiled code are those that PyTorch draws, whatever the number of threads."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from deepstorm3d.camera.ideal import IdealCamera
from deepstorm3d.emitters import Emitters
from deepstorm3d.field import Field
from deepstorm3d.optics.drawing import can_compile
from deepstorm3d.optics.masks import AstigmaticMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF
from deepstorm3d.optics.tabulated import TabulatedPSF
from deepstorm3d.simulation import simulator as module
from deepstorm3d.simulation.simulator import Simulator

MICROSCOPE = Microscope(wavelength=0.67, focal_length=1.0e5, mask_pitch=90.0, focus=0.85)
DEPTH = (0.0, 1.2)


def drawn(number: int = 60, frames: int = 5) -> tuple[Simulator, Emitters, torch.Tensor]:
    mask = AstigmaticMask().build(MICROSCOPE)
    psf = TabulatedPSF(ScalarPSF(MICROSCOPE, mask, patch_px=27, blur_px=1.0), DEPTH, blur_range=(0.8, 1.2))
    generator = torch.Generator().manual_seed(1)
    share = torch.rand(number, 5, generator=generator)
    size = torch.tensor([48.0, 40.0, DEPTH[1] / MICROSCOPE.pixel_um]) * MICROSCOPE.pixel_um
    emitters = Emitters(
        xyz=share[:, :3] * size,
        frame=torch.randint(frames, (number,), generator=generator),
        photons=1000 + 4000 * share[:, 3],
        blur_px=0.8 + 0.4 * share[:, 4],
        id=torch.arange(number),
    )
    simulator = Simulator(psf, IdealCamera(), Field(40, 48, MICROSCOPE.pixel_um))
    return simulator, emitters, 10 * torch.rand(frames, 40, 48, generator=generator)


def test_compiled_frames_are_those_of_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    simulator, emitters, background = drawn()
    assert can_compile(simulator.psf, emitters.xyz, background)
    ours = simulator.expected(emitters, background)
    monkeypatch.setattr(module, "can_compile", lambda *_: False)
    torch.testing.assert_close(ours, simulator.expected(emitters, background), rtol=1e-5, atol=2e-3)


def test_a_frame_does_not_depend_on_threads_or_on_the_other_frames() -> None:
    simulator, emitters, background = drawn()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = simulator.expected(emitters, background)
        torch.set_num_threads(3)
        three = simulator.expected(emitters, background)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one, three)
    last = emitters.select(emitters.frame == 4).shift(frames=-4)
    assert torch.equal(simulator.expected(last, background[4:])[0], one[4])


def test_a_gradient_is_still_computed_where_it_is_wanted() -> None:
    simulator, emitters, background = drawn(4, 1)
    photons = emitters.photons.clone().requires_grad_()
    moved = replace(emitters, photons=photons)
    simulator.expected(moved, background).sum().backward()
    assert photons.grad is not None
    assert (photons.grad > 0.1).all()
