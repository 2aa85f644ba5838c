"""The image model: where light lands, how much of it, and what the camera makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from deepstorm3d.camera import Camera, IdealCamera, ScmosCamera
from deepstorm3d.emitters import Emitters
from deepstorm3d.errors import InputError
from deepstorm3d.optics.psf import Patches, patch_corner
from deepstorm3d.simulation import EmitterPrior, Field, FixedCount, Simulator, UniformBackground

FIELD = Field(height=30, width=40, pixel_um=0.1)


class GaussianPSF:
    """A Gaussian spot that widens with |z|: the smallest PSF that has every argument."""

    def __init__(self, pixel_um: float = 0.1, patch_px: int = 13) -> None:
        self.pixel_um, self.patch_px = pixel_um, patch_px
        self.calls: list[int] = []

    def __call__(self, xyz: Tensor, blur_px: Tensor | None = None) -> Patches:
        self.calls.append(len(xyz))
        corner, offset = patch_corner(xyz, self.pixel_um, self.patch_px)
        sigma = 1 + xyz[:, 2].abs() + (0 if blur_px is None else blur_px)
        axis = torch.arange(self.patch_px, dtype=xyz.dtype) - self.patch_px // 2
        wave = torch.exp(-0.5 * ((axis - offset[..., None]) / sigma[:, None, None]) ** 2)
        wave = wave / wave.sum(-1, keepdim=True)
        return Patches(wave[:, 1, :, None] * wave[:, 0, None, :], corner, torch.ones(len(xyz)))

    def derivatives(self, xyz: Tensor, blur_px: Tensor | None = None) -> tuple[Patches, Tensor]:
        raise NotImplementedError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def simulator(camera: Camera | None = None, **given: int) -> Simulator:
    return Simulator(GaussianPSF(), camera or IdealCamera(), FIELD, **given)


def emitters_at(*pixels: tuple[float, float], frame: tuple[int, ...] | None = None) -> Emitters:
    """Emitters of 1000 photons in focus at (column, row) pixels, in frame 0 unless given."""
    place = torch.tensor(pixels, dtype=torch.float32) * FIELD.pixel_um
    number = len(pixels)
    return Emitters(
        xyz=torch.cat((place, torch.zeros(number, 1)), 1),
        frame=torch.tensor(frame or (0,) * number),
        photons=torch.full((number,), 1000.0),
        id=torch.arange(number),
    )


def dark(frames: int = 1) -> Tensor:
    return torch.zeros(frames, *FIELD.size)


def test_an_emitter_inside_shows_all_its_photons_at_its_row_and_column() -> None:
    image = simulator().expected(emitters_at((25.0, 12.0)), dark())
    assert image.sum().item() == pytest.approx(1000, rel=1e-5)
    assert divmod(int(image.argmax()), 40) == (12, 25)
    assert (image[0] * torch.arange(40)).sum().item() / 1000 == pytest.approx(25, rel=1e-5)


def test_moving_an_emitter_one_pixel_moves_the_image_one_pixel() -> None:
    model = simulator()
    here, right, below = (
        model.expected(emitters_at(at), dark()) for at in ((20.3, 14.8), (21.3, 14.8), (20.3, 15.8))
    )
    torch.testing.assert_close(right[..., 1:], here[..., :-1], rtol=0, atol=1e-3)
    torch.testing.assert_close(below[:, 1:], here[:, :-1], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "at", [(0.0, 12.0), (39.0, 12.0), (20.0, 0.0), (20.0, 29.0), (0.0, 0.0), (39.0, 29.0), (-4, 33)]
)
def test_a_patch_over_a_border_is_cut_off_not_wrapped(at: tuple[float, float]) -> None:
    image = simulator().expected(emitters_at(at), dark())
    wide = Simulator(GaussianPSF(), IdealCamera(), Field(60, 80, 0.1))
    whole = wide.expected(emitters_at((at[0] + 20, at[1] + 15)), torch.zeros(1, 60, 80))
    torch.testing.assert_close(image, whole[:, 15:45, 20:60], rtol=0, atol=1e-3)
    assert image.sum() < 900


@pytest.mark.parametrize("at", [(-30, 12), (90, 12), (20, -500), (20, 36), (-1e6, 1e6)])
def test_an_emitter_far_outside_leaves_no_light(at: tuple[float, float]) -> None:
    assert simulator().expected(emitters_at(at), dark(3)).eq(0).all()


def test_light_goes_to_the_frame_of_its_emitter_alone() -> None:
    image = simulator().expected(emitters_at((20, 0), (5, 29), frame=(2, 0)), dark(4))
    lit = image.flatten(1).sum(1) > 0
    assert lit.tolist() == [True, False, True, False]


def test_many_emitters_add_up_whatever_the_chunk() -> None:
    emitters = EmitterPrior(count=FixedCount(count=40), margin_px=(-8, -8), z_um=(0, 1)).draw(
        3, FIELD, seeded()
    )
    background = torch.full((3, 30, 40), 7.0)
    together = simulator().expected(emitters, background)
    model = simulator(chunk=17)
    torch.testing.assert_close(model.expected(emitters, background), together, rtol=1e-5, atol=1e-2)
    assert isinstance(model.psf, GaussianPSF) and max(model.psf.calls) == 17
    one_by_one = sum(model.expected(emitters.select(torch.tensor([k])), dark(3)) for k in range(120))
    torch.testing.assert_close(one_by_one + background, together, rtol=1e-5, atol=1e-2)


def test_the_image_is_linear_in_photons() -> None:
    model, emitters = simulator(), emitters_at((11.2, 9.7), (14.0, 12.1))
    twice = Emitters(emitters.xyz, emitters.frame, 2 * emitters.photons, emitters.id)
    torch.testing.assert_close(model.expected(twice, dark()), 2 * model.expected(emitters, dark()))


def test_no_emitters_is_exactly_the_background() -> None:
    background = UniformBackground(low=3, high=90).draw(2, FIELD, seeded())
    assert torch.equal(simulator().expected(Emitters.empty(), background), background)
    assert simulator().expected(Emitters.empty(), dark(0)).shape == (0, 30, 40)


def test_blur_of_each_emitter_reaches_the_psf() -> None:
    plain = emitters_at((20, 15))
    blurred = Emitters(plain.xyz, plain.frame, plain.photons, plain.id, blur_px=torch.tensor([1.0]))
    assert simulator().expected(blurred, dark()).max() < 0.5 * simulator().expected(plain, dark()).max()


def test_gradients_reach_positions_photons_and_background() -> None:
    model = simulator(chunk=2)
    start = emitters_at((0.3, 4.2), (20.4, 15.1), (21.7, 16.3))
    weight = torch.rand(1, 30, 40, generator=seeded(), dtype=torch.float64)

    def loss(xyz: Tensor, photons: Tensor, background: Tensor) -> Tensor:
        return (weight * model.expected(Emitters(xyz, start.frame, photons, start.id), background)).sum()

    given = [
        values.double().requires_grad_()
        for values in (start.xyz + 0.03, start.photons / 1000, dark()[:, :, :] + 1)
    ]
    assert torch.autograd.gradcheck(loss, given, fast_mode=True)


def test_gradients_pass_the_camera_to_the_positions() -> None:
    place = emitters_at((20.3, 15.2)).xyz.requires_grad_()
    same = emitters_at(*[(20.3, 15.2)] * 400, frame=tuple(range(400)))
    emitters = Emitters(place.expand(400, 3), same.frame, same.photons, same.id)
    counts = simulator(ScmosCamera())(emitters, dark(400) + 20, seeded())
    (counts * (torch.arange(40) - 20)).sum().backward()
    assert place.grad is not None
    # Moving 1000 photons by 1 µm, 10 px, raises the sum of counts × column by 10⁴ in each frame.
    assert place.grad[0, 0].item() / 400 == pytest.approx(1e4, rel=0.03)


def test_frames_are_the_expected_light_with_noise_and_repeat_with_their_seed() -> None:
    model, emitters = simulator(), emitters_at(*[(20.0, 15.0)] * 500, frame=tuple(range(500)))
    background = dark(500) + 4
    counts = model(emitters, background, seeded(5))
    torch.testing.assert_close(counts.mean(0), model.expected(emitters, background)[0], rtol=0.05, atol=0.5)
    assert torch.equal(counts, model(emitters, background, seeded(5)))
    assert not torch.equal(counts, model(emitters, background, seeded(6)))


def test_each_frame_shows_the_pixels_of_its_part_of_the_field(tmp_path: Path) -> None:
    chip = np.arange(3000.0).reshape(50, 60)
    np.save(tmp_path / "baseline.npy", chip)
    camera = ScmosCamera(baseline=str(tmp_path / "baseline.npy"), read_noise=0)
    # The maps begin at a pixel of their own in the whole field.
    whole = Field(50, 60, 0.1, (100, 200))
    model = Simulator(GaussianPSF(), camera, whole)
    crops = [whole.part((0, 0, 40, 30)), whole.part((20, 13, 60, 43))]
    counts = model(Emitters.empty(), dark(2), seeded(), crops)
    assert counts[0].tolist() == chip[:30, :40].tolist()
    assert counts[1].tolist() == chip[13:43, 20:].tolist()
    assert model.to_photons(counts, crops).eq(0).all()
    with pytest.raises(InputError, match="name the region"):
        simulator(camera)(Emitters.empty(), dark(), seeded())
    with pytest.raises(ValueError, match="2 crops were given for 1 frames"):
        model(Emitters.empty(), dark(), seeded(), crops)
    with pytest.raises(ValueError, match="background is"):
        model.expected(Emitters.empty(), dark(), [whole])


def test_mistakes_in_the_program_are_refused() -> None:
    with pytest.raises(ValueError, match="pixels"):
        Simulator(GaussianPSF(pixel_um=0.11), IdealCamera(), FIELD)
    with pytest.raises(ValueError, match="30, 40"):
        simulator().expected(Emitters.empty(), torch.zeros(1, 30, 30))
    with pytest.raises(ValueError, match="frames 3 to 3"):
        simulator().expected(emitters_at((5, 5), frame=(3,)), dark(3))
