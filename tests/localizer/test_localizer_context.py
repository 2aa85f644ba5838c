"""Networks that see several images for each frame: their order, their normalisation, what depends on them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deepstorm3d.errors import InputError
from deepstorm3d.experiment.files import changed
from deepstorm3d.experiment.presets import preset
from deepstorm3d.jobs.train import build_localizer
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.inference import for_inference
from deepstorm3d.localizer.localizer import NetworkLocalizer, stabilise
from deepstorm3d.localizer.mixture import MixtureSpec
from deepstorm3d.localizer.neighbours import alone, with_frames, with_neighbours
from deepstorm3d.localizer.network import NetworkSpec, SeveralFramesSpec, build_network, context_of
from deepstorm3d.localizer.voxel import VoxelSpec
from factories import tiny_experiment

SMALL = {
    "coarse": CoarseSpec(channels=8, skip=4, dilations=(1,), context=1),
    "mixture": MixtureSpec(channels=8, skip=4, dilations=(1,), head=8, context=1),
    "voxel": VoxelSpec(planes=5, channels=4, dilations=(1, 1), context=1),
}


def numbered(*shape: int) -> Tensor:
    """Frames that hold their own number (and 10 × that of the channel)."""
    frames = torch.arange(shape[0], dtype=torch.float32).view(-1, *[1] * (len(shape) - 1)).repeat(1, *shape[1:])
    return frames + (10 * torch.arange(shape[1])[:, None, None] if len(shape) == 4 else 0)


def built(spec: SeveralFramesSpec, channels: int = 1) -> NetworkLocalizer:
    torch.manual_seed(0)
    network = build_network(spec, 0.11, (0.0, 1.0), channels)
    return NetworkLocalizer(network, context=spec.context, channels=channels).eval()


def test_neighbours_are_in_order_of_time_and_repeated_at_the_ends_of_a_movie() -> None:
    seen = with_neighbours(numbered(4, 2, 2), 2)
    assert seen.shape == (4, 5, 2, 2)
    assert seen[:, :, 0, 0].tolist() == [[0, 0, 0, 1, 2], [0, 0, 1, 2, 3], [0, 1, 2, 3, 3], [1, 2, 3, 3, 3]]


def test_channels_follow_each_other_each_in_order_of_time() -> None:
    seen = with_neighbours(numbered(3, 2, 1, 1), 1)
    assert seen[:, :, 0, 0].tolist() == [[0, 0, 1, 10, 10, 11], [0, 1, 2, 10, 11, 12], [1, 2, 2, 11, 12, 12]]


def test_other_frames_take_the_place_of_the_middle_ones_and_leave_the_neighbours() -> None:
    seen = with_neighbours(numbered(2, 2, 1, 1), 1)
    other = torch.full((2, 2, 1, 1), 7.0)
    assert with_frames(seen, other, 1)[:, :, 0, 0].tolist() == [[0, 7, 1, 10, 7, 11], [0, 7, 1, 10, 7, 11]]
    assert seen[0, 1] == 0
    frames = numbered(2, 3, 3)
    assert torch.equal(with_frames(frames, frames + 1, 0), frames + 1)


def test_a_frame_without_neighbours_is_the_only_one_of_its_movie() -> None:
    frames = torch.rand(3, 4, 4)
    each = torch.cat([with_neighbours(frame[None], 2) for frame in frames])
    assert torch.equal(alone(frames, 2), each)
    localizer = built(SMALL["coarse"])
    frames = torch.poisson(torch.full((2, 16, 16), 20.0))
    assert torch.equal(localizer(frames), localizer(alone(frames, 1)))


def test_a_wrong_number_of_images_is_told() -> None:
    with pytest.raises(ValueError, match="2 images were given for each frame, the network sees 1 or 3"):
        built(SMALL["coarse"])(torch.ones(1, 2, 16, 16))


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("channels", [1, 2])
def test_the_output_depends_on_every_image(kind: str, channels: int) -> None:
    localizer = built(SMALL[kind], channels)
    assert localizer.images == 3 * channels
    images = torch.poisson(torch.full((1, 3 * channels, 16, 16), 20.0)).requires_grad_()
    raw = localizer(images)
    assert raw.shape[0] == 1
    (gradient,) = torch.autograd.grad(raw.square().sum(), images)
    assert (gradient.abs().amax((0, 2, 3)) > 0).all()


def test_every_channel_has_its_own_normalisation() -> None:
    localizer = built(SMALL["coarse"], channels=2)
    frames = torch.poisson(torch.tensor([20.0, 500.0])[:, None, None].expand(6, 2, 32, 32))
    seen = with_neighbours(frames, 1)
    localizer.measure_normalisation(seen)
    normal = localizer.normalise(seen)
    for planes in (slice(0, 3), slice(3, 6)):
        assert float(normal[:, planes].mean()) == pytest.approx(0, abs=1e-3)
        assert float(normal[:, planes].std()) == pytest.approx(1, abs=1e-3)
    assert float(localizer.offset[1]) == pytest.approx(float(stabilise(seen[:, 3:]).mean()), abs=1e-3)


def test_the_form_for_inference_gives_the_same_for_several_images() -> None:
    localizer = built(CoarseSpec(channels=64, skip=8, dilations=(1, 2), context=1))
    fast = for_inference(localizer, half_precision=False)
    assert fast is not localizer and fast.context == 1
    images = torch.poisson(torch.full((1, 3, 48, 48), 20.0))
    with torch.no_grad():
        torch.testing.assert_close(fast(images), localizer(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", SMALL)
def test_without_context_a_network_is_what_it_was(kind: str) -> None:
    """The same weights are drawn, whose first convolution sees one image; further images add to that alone."""
    small, spec = tiny_experiment(), SMALL[kind]
    before = build_localizer(small.with_(network=spec.with_(context=0))).state_dict()
    after = build_localizer(small.with_(network=spec)).state_dict()
    assert before.keys() == after.keys()
    assert before["offset"].shape == after["offset"].shape == ()
    first = next(name for name, weight in after.items() if weight.dim() == 4)
    assert before[first].shape[1] == 1 and after[first].shape[1] == 3
    torch.manual_seed(small.seed)
    plain = spec.with_(context=0).build(small.microscope.pixel_um, small.z_um)
    for name, weight in plain.state_dict().items():  # pyright: ignore[reportAttributeAccessIssue]
        assert torch.equal(weight, before[f"network.{name}"])


def test_more_images_need_more_memory_and_are_told_of() -> None:
    plain, wide = CoarseSpec(), CoarseSpec(context=2)
    assert wide.bytes_per_pixel - plain.bytes_per_pixel == 4 * 4 * 4
    assert (plain.describe(), wide.describe()) == ("coarse", "5-frame coarse")
    assert (context_of(plain), context_of(wide)) == (0, 2)


def test_a_file_without_context_is_one_of_a_network_that_sees_the_frame_only() -> None:
    mapping = preset("quickstart").to_mapping()
    del mapping["network"]["context"]
    assert changed(mapping, [], source="a file") == preset("quickstart")
    assert changed(mapping, ["network.context=2"], source="a file").network.to_mapping()["context"] == 2
    with pytest.raises(InputError, match=r"network\.context"):
        changed(mapping, ["network.context=-1"], source="a file")


def test_a_network_that_sees_one_channel_only_is_refused_for_two() -> None:
    class OneChannel(NetworkSpec):
        kind: str = "one"

        def build(self, pixel_um: float, z_um: tuple[float, float]) -> None:  # type: ignore[override]
            return None

    assert build_network(OneChannel(), 0.1, (0.0, 1.0)) is None
    with pytest.raises(InputError, match="kind one sees one channel, the experiment has 2"):
        build_network(OneChannel(), 0.1, (0.0, 1.0), channels=2)
