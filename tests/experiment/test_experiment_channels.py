"""Experiments with several channels: the record, its files, and what each channel sees of a molecule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepstorm3d.channels import ChannelPair, ChannelView, Transform, TransformSpec
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.experiment.channel_views import channel_views, named_by_hash
from deepstorm3d.experiment.configure import configure_experiment
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import changed, read_experiment, write_experiment
from deepstorm3d.experiment.named_files import files_named
from deepstorm3d.experiment.optics import psf_source
from deepstorm3d.field import Field
from deepstorm3d.io.masks import mask_sha256
from deepstorm3d.io.transforms import write_transform
from deepstorm3d.localizer.modelfile import ChannelFiles, load_model_file, save_model_file
from deepstorm3d.optics.masks import FileMask, TetrapodMask
from deepstorm3d.psf_volume import PSFVolume
from factories import emitters, tiny_experiment, untrained_model
from two_channels import TwoChannels


def two_channels(**changes: object) -> Experiment:
    """A Tetrapod in the second channel, 40 % of the light, molecules 0.1 µm deeper there."""
    second = Channel(**{"light": 0.4, "mask": TetrapodMask(strength=0.5), "depth_offset_um": 0.1, **changes})
    return tiny_experiment(channels={"second": second})


def transform_file(folder: Path, pixel_um: float = 0.11) -> Path:
    """A small rotation with distortion about the middle of a frame of 64 px, and a depth offset of 0.2 µm."""
    transform = TwoChannels(pairs=1).transform()
    middle = torch.full((2,), 3.5)
    small = Transform(transform.coefficients / 4, middle, transform.scale_um / 4)
    shifted = small.then(Transform.affine(torch.eye(2), middle - small.apply(middle[None])[0]))
    view = Field(64, 64, pixel_um)
    write_transform(folder / "transform.yaml", ChannelPair(shifted, (0.2, 0.01), (view, view)))
    return folder / "transform.yaml"


def test_without_further_channels_nothing_changes():
    experiment = tiny_experiment()
    assert experiment.channels == {} and experiment.shares == (1.0,)
    assert experiment.channel_names == ("first",)
    assert experiment.of_channel(0) is experiment
    (view,) = channel_views(experiment)
    molecules = emitters([[1.0, 2.0, 0.5]])
    there = view.to_channel_emitters(molecules)
    assert there.xyz is molecules.xyz and there.photons is molecules.photons


def test_files_of_one_channel_from_before_read_the_same(tmp_path: Path):
    experiment = tiny_experiment()
    write_experiment(experiment, tmp_path / "today.yaml")
    lines = (tmp_path / "today.yaml").read_text(encoding="utf-8").splitlines()
    earlier = [line for line in lines if not line.startswith("channels:")]
    assert len(earlier) == len(lines) - 1
    (tmp_path / "earlier.yaml").write_text("\n".join(earlier), encoding="utf-8")
    assert read_experiment(tmp_path / "earlier.yaml") == experiment
    added = read_experiment(tmp_path / "earlier.yaml", ["channels.far={light: 0.3}"])
    assert added.shares == pytest.approx((0.7, 0.3))


def test_an_experiment_of_one_channel_has_what_is_its_own_and_the_rest_of_the_first():
    experiment = two_channels(wavelength=0.61, focus=0.5)
    alone = experiment.of_channel(1)
    assert alone.mask == TetrapodMask(strength=0.5) and alone.psf == experiment.psf
    assert alone.microscope == experiment.microscope.with_(wavelength=0.61, focus=0.5)
    assert alone.camera == experiment.camera and alone.frame_px == experiment.frame_px
    assert alone.channels == {} and experiment.of_channel(0).channels == {}
    # Scenes are as they are, but at the depths at which this channel sees their molecules.
    low, high = experiment.z_um
    assert alone.z_um == pytest.approx((low + 0.1, high + 0.1))
    assert alone.scene().background == experiment.scene().background
    assert alone.scene().emitters.photons == experiment.scene().emitters.photons


def test_a_file_with_channels_comes_back_and_moves_with_what_it_names(tmp_path: Path):
    home = tmp_path / "here"
    home.mkdir()
    phase = np.random.default_rng(0).normal(size=(31, 31)).astype(np.float32)
    np.save(home / "mask.npy", phase)
    transform_file(home)
    experiment = two_channels(
        mask=FileMask(path="mask.npy", sha256=mask_sha256(phase)), transform="transform.yaml"
    )
    write_experiment(experiment, home / "experiment.yaml")
    home.rename(tmp_path / "there")
    read = read_experiment(tmp_path / "there" / "experiment.yaml")
    assert sorted(Path(name).parent.name for name in files_named(read)) == ["there", "there"]
    assert torch.equal(psf_source(read.of_channel(1))(), torch.from_numpy(phase))
    assert channel_views(read)[1].transform.degree == 2
    # Where no file is beside it, paths stay as they were written.
    unmoved = read.channels["second"].with_(transform="transform.yaml")
    assert unmoved.transform == experiment.channels["second"].transform


def test_a_view_takes_molecules_there_and_back_and_has_the_derivatives(tmp_path: Path):
    experiment = two_channels(transform=str(transform_file(tmp_path)), depth_offset_um=None)
    view = channel_views(experiment)[1]
    assert view.share == pytest.approx(0.4) and view.depth_offset_um == pytest.approx(0.2)
    xyz = torch.tensor([[1.0, 2.0, 0.5], [5.0, 3.0, 1.0]], dtype=torch.float64)
    there = view.to_channel(xyz)
    assert (there - xyz)[:, :2].norm(dim=1).min() > 0.02
    assert torch.allclose(there[:, 2], xyz[:, 2] + 0.2)
    assert torch.allclose(view.from_channel(there), xyz, atol=1e-9)
    step = 1e-5
    for axis in range(3):
        move = torch.zeros(3, dtype=torch.float64)
        move[axis] = step
        numeric = (view.to_channel(xyz + move) - view.to_channel(xyz - move)) / (2 * step)
        assert torch.allclose(view.jacobian(xyz)[:, :, axis], numeric, atol=1e-8)
    seen = view.to_channel_emitters(emitters(xyz.float(), photons=1000.0))
    assert torch.allclose(seen.photons, torch.full((2,), 400.0))
    assert torch.allclose(seen.xyz, there.float()) and seen.xyz.dtype == torch.float32
    # The experiment of that channel holds the depths at which it sees the molecules.
    assert experiment.of_channel(1).z_um == pytest.approx(tuple(z + 0.2 for z in experiment.z_um))


@pytest.mark.parametrize(
    ("channels", "told"),
    [
        ("{second: {light: 0}}", ["channels.second.light", "greater than 0"]),
        ("{second: {light: 1}}", ["channels.second.light", "less than 1"]),
        ("{a: {light: 0.5}, b: {light: 0.6}}", ["0.5 (a) + 0.6 (b)", "less than 1 in all"]),
        ("{first: {}}", ["cannot be named 'first'"]),
        ("{a/b: {}}", ["cannot be named 'a/b'"]),
        ("{second: {msk: 3}}", ["channels.second.msk", "did you mean 'mask'"]),
        ("{second: {mask: {kind: tetrapod, strength: 9}}}", ["channels.second.mask.strength", "equal to 3"]),
        (
            "{second: {psf: {kind: measured}, mask: {kind: zero}}}",
            ["channels.second", "not computed through a mask", "'zero'"],
        ),
        ("{second: {psf: {kind: scalar, patch_px: 60}}}", ["psf.patch_px must be odd, got 60"]),
        (
            "{second: {psf: {kind: vectorial}, depth_offset_um: -0.5}}",
            ["channels.second", "begins at -0.5 µm", "supercritical"],
        ),
        ("{second: {wavelength: 1.9, camera_pitch: 0.1}}", ["camera_pitch", "greater than 0.5"]),
        ("{second: {frame_px: [8, 8]}}", ["frame_px (8, 8) is smaller than 16"]),
        ("{second: {coefficients: {x_um: [1, 2]}}}", ["x_um has 2 coefficients and y_um 3"]),
        ("{second: {transform: a.yaml, coefficients: {}}}", ["names a file", "give one of them"]),
    ],
)
def test_a_channel_that_cannot_be_is_told(channels: str, told: list[str]):
    with pytest.raises(InputError) as error:
        changed(tiny_experiment().to_mapping(), [f"channels={channels}"], source="my.yaml")
    assert [part for part in told if part not in str(error.value)] == []


def test_a_mask_that_was_left_out_can_be_set_by_its_kind():
    experiment = changed(
        two_channels(mask=None).to_mapping(),
        ["channels.second.mask.strength=0.7", "channels.second.mask.kind=tetrapod"],
        source="my.yaml",
    )
    assert experiment.channels["second"].mask == TetrapodMask(strength=0.7)


def test_a_transform_that_is_missing_or_of_something_else_is_told(tmp_path: Path):
    with pytest.raises(InputError, match=r"channels\.second\.transform.*nowhere\.yaml.*register"):
        channel_views(two_channels(transform="nowhere.yaml"))
    write_experiment(tiny_experiment(), tmp_path / "experiment.yaml")
    with pytest.raises(InputError, match=r"channels\.second\.transform.*no transform between two channels"):
        channel_views(two_channels(transform=str(tmp_path / "experiment.yaml")))
    with pytest.raises(InputError, match="pixels of 100 nm in first channel, the experiment has 110 nm"):
        channel_views(two_channels(transform=str(transform_file(tmp_path, pixel_um=0.1))))


def test_a_mirror_about_the_wrong_axis_shows_nothing_and_is_told():
    # Mirrored without the shift by the frame's width: every x becomes negative.
    mirrored = TransformSpec(x_um=(0.0, -1.0, 0.0), y_um=(0.0, 0.0, 1.0))
    experiment = two_channels(coefficients=mirrored)
    assert channel_views(experiment)[1].coverage(Field(64, 64, 0.11)) == pytest.approx(1 / 64, abs=0.02)
    away = TransformSpec(x_um=(-0.1, -1.0, 0.0), y_um=(0.0, 0.0, 1.0))
    with pytest.raises(InputError, match=r"channels\.second: its transform takes .* outside"):
        channel_views(two_channels(coefficients=away))
    right = TransformSpec(x_um=(63 * 0.11, -1.0, 0.0), y_um=(0.0, 0.0, 1.0))
    assert channel_views(two_channels(coefficients=right))[1].coverage(Field(64, 64, 0.11)) == 1


def test_config_writes_channels_and_checks_that_their_files_fit(tmp_path: Path):
    np.save(tmp_path / "small.npy", np.zeros((5, 5), np.float32))
    transform_file(tmp_path)
    made = configure_experiment(
        "quickstart",
        tmp_path / "two.yaml",
        assignments=["channels.far={light: 0.3, mask: {kind: vortex}, transform: transform.yaml}"],
    )
    assert made.channels["far"].transform == "transform.yaml"
    assert channel_views(read_experiment(tmp_path / "two.yaml"))[1].depth_offset_um == pytest.approx(0.2)
    with pytest.raises(InputError, match=r"channels\.far: mask is 5x5 px"):
        configure_experiment(
            "quickstart",
            tmp_path / "three.yaml",
            assignments=["channels.far={light: 0.3, mask: {kind: file, path: small.npy}}"],
        )


def test_without_files_a_transform_is_held_as_coefficients(tmp_path: Path):
    experiment = two_channels(transform=str(transform_file(tmp_path)), depth_offset_um=None)
    before = channel_views(experiment)[1]
    moved, sources = named_by_hash(experiment)
    assert files_named(moved) == [] and len(sources) == 2
    (tmp_path / "transform.yaml").unlink()
    after = channel_views(Experiment(**moved.to_mapping()))[1]
    xy = torch.rand(10, 2) * 7
    assert torch.equal(before.transform.apply(xy), after.transform.apply(xy))
    assert after.depth_offset_um == before.depth_offset_um == pytest.approx(0.2)


def test_a_model_file_keeps_the_masks_and_planes_of_further_channels(tmp_path: Path):
    phase = torch.rand(9, 9)
    planes = PSFVolume(torch.rand(4, 7, 7), 0.11, 0.0, 0.5)
    model = replace(
        untrained_model(tiny_experiment(), 0.5),
        channels={"a": ChannelFiles(mask=phase), "b": ChannelFiles(planes=planes)},
    )
    save_model_file(model, tmp_path / "model.pt")
    read = load_model_file(tmp_path / "model.pt").channels
    assert torch.equal(read["a"].mask, phase) and read["a"].planes is None  # pyright: ignore[reportArgumentType]
    assert read["b"].mask is None and read["b"].planes is not None
    assert torch.equal(read["b"].planes.values, planes.values) and read["b"].planes.sha256 == planes.sha256


def test_views_are_equal_to_what_they_were_made_from():
    view = ChannelView("far", Transform.identity(), 0.0, 0.5, Field(8, 8, 0.1))
    xyz = torch.rand(3, 3)
    assert view.is_first and view.to_channel(xyz) is xyz and view.from_channel(xyz) is xyz
    assert torch.equal(replace(view, depth_offset_um=0.5).to_channel(xyz)[:, :2], xyz[:, :2])
