"""The limit of several channels together: what physics says of the light divided between them."""

from __future__ import annotations

import numpy as np
import torch

from deepstorm3d.channels import TransformSpec
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.jobs.limit import Sweep, limit, masks_to_compare
from deepstorm3d.optics.fisher import (
    crlb,
    joint_crlb,
    joint_position_information,
    position_bounds,
    position_information,
)
from deepstorm3d.optics.masks import AstigmaticMask, ZeroMask
from deepstorm3d.optics.psf import on_axis
from deepstorm3d.optics.scalar import ScalarPSF
from deepstorm3d.simulation.priors import Scene

PIXEL = 0.11
ONE = Sweep(depths=5, photons=(5e3,), background=(20.0,), emitters=())
FINE = Sweep(depths=41, photons=(5e3,), background=(20.0,), emitters=())
MANY = Sweep(depths=3, photons=(5e3,), background=(20.0,), emitters=(6,), molecules=24)


def set_up(channels: dict[str, Channel], **changes: object) -> Experiment:
    """The tutorial's optics on a coarse mask and a frame of 41 px, through several channels."""
    base = preset("quickstart")
    scene = base.scene()
    emitters = scene.emitters.with_(margin_px=(8.0, 8.0))
    return base.with_(
        microscope=base.microscope.with_(mask_pitch=120.0),
        psf=base.psf.with_(patch_px=19),
        frame_px=(41, 41),
        scenes={"main": Scene(emitters=emitters, background=scene.background)},
        channels=channels,
        **changes,
    )


def psf_of(experiment: Experiment) -> ScalarPSF:
    return experiment.psf.images(  # pyright: ignore[reportReturnType]
        experiment.microscope, experiment.mask.build(experiment.microscope), patch_px=19
    )


def test_information_without_light_and_background_gives_the_bounds_of_position():
    psf = psf_of(set_up({}))
    xyz = on_axis(torch.linspace(0.1, 1.1, 4, dtype=torch.float64))
    level = torch.ones(4, dtype=torch.float64)
    whole = crlb(psf, xyz, 5000 * level, 20 * level)[:, :3]
    alone = position_bounds(position_information(psf, xyz, 5000 * level, 20 * level))
    assert torch.allclose(alone, whole, rtol=1e-5)
    # Four overlapping molecules in two frames.
    places = torch.tensor([[1.0, 1.0, 0.3], [1.4, 1.2, 0.8], [1.1, 1.3, 0.5], [2.0, 2.0, 0.9]]).double()
    frame = torch.tensor([0, 1, 1, 1])
    dim = 20 * torch.ones(2, dtype=torch.float64)
    crowd = joint_crlb(psf, places, 5000 * level, frame, dim, (31, 31))[:, :3]
    parts = joint_position_information(psf, places, 5000 * level, frame, dim, (31, 31))
    assert [rows.tolist() for rows, _ in parts] == [[0], [1, 2, 3]]
    found = torch.cat([position_bounds(information).view(-1, 3) for _, information in parts])
    assert torch.allclose(found, crowd, rtol=1e-3)


def test_two_equal_channels_with_half_of_the_light_know_as_much_as_one_with_all():
    experiment = set_up({"twin": Channel(light=0.5)})
    together, first, twin = limit(experiment, sweep=MANY).masks
    assert [mask.name for mask in (together, first, twin)] == [
        "first + twin",
        "first alone, all light",
        "twin alone, all light",
    ]
    (one,) = limit(experiment.of_channel(0), sweep=MANY).masks
    for mask in (together, first, twin):
        for bounds, known in ((mask.depth, one.depth), (mask.photons, one.photons), (mask.rms, one.rms)):
            np.testing.assert_allclose(bounds.sigma_nm, known.sigma_nm, rtol=2e-3)


def test_known_shares_make_one_unknown_of_the_photons_and_can_only_help():
    far = Channel(light=0.4, focus=1.1)
    free, known = (
        limit(set_up({"far": far.with_(light_known=said)}, mask=ZeroMask()), sweep=MANY).masks[0]
        for said in (False, True)
    )
    for one, other in ((free.depth, known.depth), (free.rms, known.rms)):
        assert (other.sigma_nm <= 1.0001 * one.sigma_nm).all()
    assert (known.depth.sigma_nm[:, 2] < 0.95 * free.depth.sigma_nm[:, 2]).any()
    # Two halves through one mask tell what all of the light tells in one channel.
    twin, one = (
        limit(experiment, sweep=MANY).masks[0]
        for experiment in (set_up({"twin": Channel(light=0.5, light_known=True)}), set_up({}))
    )
    for bounds, alone in ((twin.depth, one.depth), (twin.rms, one.rms)):
        np.testing.assert_allclose(bounds.sigma_nm, alone.sigma_nm, rtol=2e-3)


def test_light_and_position_of_a_turned_channel_with_known_shares_go_through_the_transform():
    middle = 20 * PIXEL
    turn = TransformSpec(centre_um=(middle, middle), x_um=(middle, 0.0, -1.0), y_um=(middle, 1.0, 0.0))
    far = Channel(light=0.99, light_known=True, coefficients=turn)
    turned = limit(set_up({"far": far}), sweep=ONE).masks[0].depth.sigma_nm
    straight = limit(set_up({"far": far.with_(coefficients=None)}), sweep=ONE).masks[0].depth.sigma_nm
    np.testing.assert_allclose(turned[:, [1, 0, 2]], straight, rtol=0.03)


def test_information_of_a_turned_channel_is_turned_back():
    # Turned by 90 degrees about the middle: x and y of the second channel's information change places.
    middle = 20 * PIXEL
    turn = TransformSpec(centre_um=(middle, middle), x_um=(middle, 0.0, -1.0), y_um=(middle, 1.0, 0.0))
    far = Channel(light=0.99, coefficients=turn)
    turned = limit(set_up({"far": far}), sweep=ONE).masks[0].depth.sigma_nm
    straight = limit(set_up({"far": far.with_(coefficients=None)}), sweep=ONE).masks[0].depth.sigma_nm
    np.testing.assert_allclose(turned[:, [1, 0, 2]], straight, rtol=0.03)
    assert np.abs(straight[:, 0] / straight[:, 1] - 1).max() > 0.2


def test_two_planes_tell_the_depth_at_the_focus_where_one_tells_none():
    focus = 0.85

    def planes(half_um: float) -> list[np.ndarray]:
        base = set_up(
            {"far": Channel(light=0.5, focus=focus + half_um)},
            mask=ZeroMask(),
        )
        shifted = base.with_(microscope=base.microscope.with_(focus=focus - half_um))
        return [mask.depth.sigma_nm[:, 2] for mask in limit(shifted, sweep=FINE).masks]

    together, near, far = planes(0.3)
    # One plane knows no depth where it is in focus, within the range.
    assert near.max() > 8 * np.median(near) and far.max() > 5 * np.median(far)
    assert together.max() < 3 * np.median(together)
    assert together.max() < 0.25 * min(near.max(), far.max())


def test_a_pair_of_masks_knows_at_least_the_mean_of_both_and_other_masks_stand_beside_it():
    pair = set_up({"flat": Channel(light=0.5, mask=ZeroMask())}, mask=AstigmaticMask())
    report = limit(pair, masks_to_compare(pair, ["vortex"]), sweep=ONE)
    names = [mask.name for mask in report.masks]
    assert names == ["first + flat", "first alone, all light", "flat alone, all light", "vortex"]
    together, first, flat, vortex = (np.square(1 / mask.depth.sigma_nm) for mask in report.masks)
    # 1 / σ² of a sum of informations is at least the sum of theirs: one mask resolves what the other confuses.
    assert (together >= 0.999 * (first + flat) / 2).all()
    assert not np.allclose(vortex, first)
    (alone,) = limit(pair.of_channel(0), sweep=ONE).masks
    np.testing.assert_allclose(1 / np.square(alone.depth.sigma_nm), first, rtol=2e-3)


def test_molecules_that_the_second_camera_does_not_show_have_the_light_of_the_first():
    # The second camera shows only the left half of the first one's frame.
    seen = TransformSpec(x_um=(-20 * PIXEL, 1.0, 0.0))
    half = set_up({"part": Channel(light=0.5, coefficients=seen)})
    together, first, part = (mask.rms.sigma_nm[0] for mask in limit(half, sweep=MANY).masks)
    assert (together > 1.02 * first).all() and (together < 2 * first).all()
    # Alone it knows nothing of the others.
    assert (part > 5 * together).all()
