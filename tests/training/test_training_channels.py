"""Training on several channels: further ones are simulated in their own pixels and warped onto the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from deepstorm3d.camera import ScmosCamera
from deepstorm3d.channels import ChannelView, Transform, TransformSpec, Warp
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.field import Field
from deepstorm3d.jobs.train import build_localizer, build_sampler, crops_through, train_model
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.model import Model
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.simulation.backgrounds import UniformBackground
from deepstorm3d.simulation.lifetimes import ExponentialBlinking
from deepstorm3d.training.channel_crops import ChannelCrops
from deepstorm3d.training.sampler import FrameSampler
from factories import emitters, tiny_experiment

SIDE, FRAME = 24, 64
# Mirrored, turned by a degree, 2 % larger, in a frame of its own.
MIRRORED = Transform.affine(torch.tensor([[-1.0198, -0.0178], [-0.0178, 1.0198]]), torch.tensor([7.3, -0.2]))


def two_channels(**changes: Any) -> Experiment:
    base = tiny_experiment()
    training = base.training.with_(
        steps=3, batch=4, crop_px=SIDE, validation_crops=6, warmup_steps=2, validate_every=3
    )
    channel = Channel(light=0.3, coefficients=TransformSpec.of(MIRRORED), frame_px=(68, 70))
    return base.with_(training=training, channels={"far": channel}, **changes)


def channel_of(sampler: FrameSampler) -> ChannelCrops:
    (channel,) = sampler.channels
    return channel


def test_a_warp_puts_a_smooth_image_where_the_first_channel_has_it() -> None:
    """To within a hundredth of its contrast."""
    first, there = Field(30, 40, 0.1), Field(44, 50, 0.11)
    turned = Transform.affine(torch.tensor([[1.02, 0.03], [-0.03, 1.02]]), torch.tensor([0.4, 0.5]))
    view = ChannelView("far", turned, 0.0, 0.5, there)

    def light(x: Tensor, y: Tensor) -> Tensor:
        return 100 + 20 * torch.sin(1.5 * x) + 10 * torch.cos(2 * y)

    y, x = torch.meshgrid(torch.arange(44.0) * 0.11, torch.arange(50.0) * 0.11, indexing="ij")
    seen = Warp(view, first)(light(x, y)[None])[0]
    y, x = torch.meshgrid(torch.arange(30.0) * 0.1, torch.arange(40.0) * 0.1, indexing="ij")
    xy = view.transform.apply(torch.stack([x, y], 2).view(-1, 2).double()).view(30, 40, 2).float()
    torch.testing.assert_close(seen, light(xy[..., 0], xy[..., 1]), rtol=0, atol=0.3)
    same = ChannelView("first", Transform.identity(), 0.0, 1.0, first)
    frames = torch.rand(2, 30, 40)
    assert Warp(same, first)(frames) is frames


@pytest.mark.parametrize("corner", [(0, 0), (17, 31), (40, 40)])
def test_a_molecule_is_at_one_pixel_in_all_channels_wherever_the_crop_lies(corner: tuple[int, int]) -> None:
    sampler = build_sampler(two_channels())
    pixel_um = sampler.field.pixel_um
    molecule = emitters([[9 * pixel_um, 15 * pixel_um, 0.6]], photons=20_000.0)
    dark = torch.full((1, SIDE, SIDE), 1.0)
    generator = torch.Generator().manual_seed(0)
    far = channel_of(sampler)(molecule, dark, corner, generator)[0]
    assert far.shape == (SIDE, SIDE)
    rows = torch.arange(SIDE)
    near = sampler.simulator.expected(molecule, dark)[0]
    for image in (near, far):
        light = (image - image.median()).clamp(min=0)
        light[light < 0.2 * light.max()] = 0
        row = float((light.sum(1) * rows).sum() / light.sum())
        column = float((light.sum(0) * rows).sum() / light.sum())
        assert row == pytest.approx(15, abs=0.35) and column == pytest.approx(9, abs=0.35)
    # Its share of the light; an image that is 2 % larger is warped to fewer pixels.
    whole, area = float(near.sum() - SIDE**2), float(torch.linalg.det(MIRRORED.matrix).abs())
    assert float(far.sum() - 0.3 / area * SIDE**2) == pytest.approx(0.3 / area * whole, rel=0.06)


def test_the_view_of_a_crop_is_that_of_the_frame() -> None:
    channel = channel_of(build_sampler(two_channels()))
    pixel_um, corner = channel.crop.pixel_um, (11, 5)
    here = torch.rand(20, 3, dtype=torch.float64) * SIDE * pixel_um
    part = channel.at(corner)
    moved = here + torch.tensor([*corner, 0.0]) * pixel_um
    there = channel.view.to_channel(moved)[:, :2]
    off = (there - part.to_channel(here)[:, :2]) / channel.view.field.pixel_um
    # A whole number of the channel's pixels, the same for all.
    assert torch.allclose(off, off[0].round().expand_as(off), atol=1e-9)
    pixels = part.to_channel(here)[:, :2] / channel.view.field.pixel_um
    assert float(pixels.min()) > 1 and float((pixels - torch.tensor(part.field.size[::-1])).max()) < -2


def test_light_and_background_are_divided_between_the_channels() -> None:
    base = two_channels()
    scene = base.scene().with_(background=UniformBackground(low=1000.0, high=1000.0))
    batch = build_sampler(base.with_(scenes={"main": scene})).draw(40, torch.Generator().manual_seed(1))
    assert batch.around is not None and batch.around.shape == (40, 2, SIDE, SIDE)
    assert torch.equal(batch.photons, batch.around[:, 0])
    levels = batch.around.flatten(2).median(2).values.mean(0)
    # A pixel of the larger channel collects from a smaller area of the sample.
    area = float(torch.linalg.det(MIRRORED.matrix).abs())
    assert levels.tolist() == pytest.approx([700, 300 / area], rel=0.02)
    # Labels have the light of all channels.
    assert float(batch.truth.photons.median()) == scene.emitters.photons.median


def test_frames_before_and_after_of_every_channel() -> None:
    base = two_channels(network=CoarseSpec(channels=8, skip=4, dilations=(1,), context=1))
    emitting = base.scene().emitters.with_(blinking=ExponentialBlinking(mean_frames=4.0))
    experiment = base.with_(scenes={"main": base.scene().with_(emitters=emitting)})
    batch = build_sampler(experiment).draw(6, torch.Generator().manual_seed(1))
    assert batch.around is not None and batch.around.shape == (6, 6, SIDE, SIDE)
    assert torch.equal(batch.around[:, 1], batch.photons)
    for channel in (0, 3):
        assert torch.equal(batch.around[:-1, channel + 2], batch.around[1:, channel + 1])
    localizer = build_localizer(experiment)
    localizer.measure_normalisation(batch.seen)
    assert localizer(batch.seen).shape[0] == 6
    assert localizer.offset.shape == (2,)


def test_a_network_for_two_channels_is_trained_stored_and_asked(tmp_path: Path) -> None:
    experiment = two_channels()
    assert train_model(experiment, tmp_path / "m.pt") is not None
    pipeline = load_pipeline(load_model_file(tmp_path / "m.pt"), threshold=0.0)
    assert pipeline.localizer.channels == 2
    frames = torch.poisson(torch.full((2, 2, 48, 48), 20.0))
    found = pipeline.propose(frames)
    swapped = pipeline.propose(frames.flip(1))
    assert len(found) != len(swapped) or not torch.equal(found.probability, swapped.probability)
    with pytest.raises(ValueError, match="1 images were given for each frame"):
        pipeline.propose(frames[:, 0])
    with pytest.raises(InputError, match="sees 2 channels at the same time, these are frames of one"):
        Model(load_model_file(tmp_path / "m.pt"), device="cpu").localize(frames[:, 0])


def test_an_experiment_with_one_channel_draws_what_it_drew() -> None:
    one = two_channels().of_channel(0)
    batch = build_sampler(one).draw(4, torch.Generator().manual_seed(0))
    assert batch.around is None
    assert build_localizer(one).offset.shape == ()


def test_what_is_not_possible_with_channels_is_told() -> None:
    two = two_channels()
    with pytest.raises(ValueError, match="0 PSFs were given for 1 further channels"):
        crops_through(build_sampler(two).simulator.psf, two)  # type: ignore[arg-type]
    camera = ScmosCamera(read_noise="noise.npy")
    with pytest.raises(InputError, match="the channel 'far' has a PSF that changes over the field, or maps"):
        build_sampler(two.with_(channels={"far": two.channels["far"].with_(camera=camera)}))
