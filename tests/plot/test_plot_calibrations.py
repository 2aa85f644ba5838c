"""Pictures of calibrations show what was measured, against what it is measured, and in which units."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from matplotlib.quiver import Quiver

import deepstorm3d as ds
from deepstorm3d import plot
from deepstorm3d.calibration.axial_scan.spot import AxialScan, ScannedSpot
from deepstorm3d.calibration.camera_maps.photon_transfer import PhotonTransfer
from deepstorm3d.calibration.movie_statistics.figure import ComparedFrames
from deepstorm3d.calibration.phase_retrieval.field_aberrations import FieldAberrations
from deepstorm3d.calibration.phase_retrieval.figure_data import RetrievalPicture
from deepstorm3d.frames.mean_variance import noise_line
from deepstorm3d.frames.similarity import compare_frames
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import ZeroMask
from two_channels import TwoChannels

DEPTHS = np.linspace(-1.0, 1.0, 5)


def retrieved() -> RetrievalPicture:
    """Two beads at five depths; the last image of the second was left out."""
    g = np.random.default_rng(0)
    model = 50 + 200 * g.random((5, 9, 9))
    return RetrievalPicture(
        measured=model + 7,
        modelled=model,
        noise=np.full((5, 9, 9), 3.5),
        position_um=DEPTHS,
        bead=np.repeat([0, 1], 5),
        position_each=np.tile(DEPTHS, 2),
        correlation=np.linspace(0.99, 0.96, 10),
        deviance=np.linspace(1.0, 1.2, 10),
        z_error_nm=np.repeat([10.0, -10.0], 5),
        z_sigma_nm=np.full(10, 6.0),
        used=np.arange(10) < 9,
        phase=np.linspace(-1, 1, 441).reshape(21, 21),
        added=np.full((21, 21), 0.3),
        axis_mm=2.0,
        pixel_um=0.11,
        along="focus",
    )


def named(figure, title: str):
    """The panel whose title begins so."""
    (axes,) = [axes for axes in figure.axes if axes.get_title().startswith(title)]
    return axes


def test_a_retrieval_shows_slices_phase_and_agreement():
    shown = retrieved()
    figure = plot.retrieval(shown, title="mine")
    assert figure.get_suptitle() == "mine"
    slices = [axes for axes in figure.axes if axes.images and not axes.get_xlabel()]
    at = [axes.get_title() for axes in slices if axes.get_title()]
    assert at == ["-1.00 µm", "-0.50 µm", "+0.00 µm", "+0.50 µm", "+1.00 µm"]
    residuals = [image for axes in slices for image in axes.images if image.get_clim() == (-5, 5)]
    assert len(residuals) == 5
    assert all(np.asarray(image.get_array()) == pytest.approx(2.0) for image in residuals), "σ of the noise"
    phase, added = named(figure, "phase found"), named(figure, "found − design")
    assert np.asarray(added.images[0].get_array()) == pytest.approx(0.3)
    assert added.get_title() == "found − design: 0.30 rad rms"
    assert phase.images[0].get_extent() == [-2, 2, 2, -2]
    assert (phase.get_xlabel(), phase.get_ylabel()) == ("ξ (mm)", "η (mm)")


def test_a_retrieval_shows_each_bead_and_marks_what_was_left_out():
    figure = plot.retrieval(retrieved())
    agreement, depth = named(figure, "agreement of each slice"), named(figure, "each slice localized")
    beads = [line for line in agreement.lines if line.get_linestyle() == "-"]
    assert [np.asarray(line.get_ydata()) for line in beads] == [
        pytest.approx(part) for part in np.split(np.linspace(0.99, 0.96, 10), 2)
    ]
    (cross,) = [line for line in agreement.lines if line.get_marker() == "x"]
    assert np.asarray(cross.get_xdata()) == pytest.approx([1.0]) and agreement.get_xlabel() == "focus (µm)"
    (mean,) = [line for line in depth.lines if line.get_label() == "weighted mean of the beads"]
    assert np.asarray(mean.get_ydata()) == pytest.approx([0, 0, 0, 0, 10.0]), (
        "without the image that was left out"
    )
    assert depth.get_ylabel() == "z found − z of the bead (nm)"


def test_field_dependence_maps_the_polynomials_that_differ_most():
    places = torch.tensor([[10.0, 10.0], [90.0, 10.0], [10.0, 90.0], [90.0, 90.0]])
    across = (places - 50) / 100
    values = torch.stack([0.1 * across[:, 0], across[:, 1]], 1)
    plane = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, 1.0]])
    sigma, size = torch.full((4, 2), 0.02), torch.tensor([100.0, 120.0])
    found = FieldAberrations((7, 5), torch.arange(4), places, values, sigma, plane, 0 * plane, size)
    figure = plot.field_dependence(found, title="mine")
    first, second, each = figure.axes[:3]
    assert (first.get_title(), second.get_title()) == ("oblique astigmatism", "vertical coma")
    surface = np.asarray(first.images[0].get_array())
    assert surface[:, 0] == pytest.approx(np.linspace(-0.5, 0.5, 41)) and np.ptp(surface, axis=1).max() == 0
    assert first.images[0].get_extent() == [0, 100, 120, 0]
    beads = first.collections[0]
    assert np.asarray(beads.get_offsets()) == pytest.approx(places.numpy())
    assert np.asarray(beads.get_array()) == pytest.approx(values[:, 1].numpy())
    assert (first.get_xlabel(), first.get_ylabel()) == ("column (px)", "row (px)")
    assert each.get_xlabel() == "rad rms" and len(each.containers) == 4


def test_frames_of_an_estimate_stand_beside_the_real_ones():
    counts = 20 + 3 * torch.randn(4, 48, 60, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    real, made = counts[:2], counts[2:]
    line = dataclasses.replace(
        noise_line(counts), mean=torch.tensor([20.0, 40.0]), variance=torch.tensor([30.0, 70.0])
    )
    likeness = compare_frames(real.numpy(), made.numpy())
    shown = ComparedFrames(real.numpy(), made.numpy(), line, likeness, pixel_um=0.1, unit="ADU")
    figure = plot.estimate(shown, title="mine")
    assert figure.get_suptitle() == "mine"
    for axes, frame in zip(figure.axes[:4], counts, strict=True):
        assert np.asarray(axes.images[0].get_array()) == pytest.approx(frame.numpy())
        assert axes.images[0].get_extent() == pytest.approx([-0.05, 5.95, 4.75, -0.05])
    values, noise = named(figure, "Pixel values"), named(figure, "Noise of the real frames")
    assert values.get_title() == f"Pixel values (distance {likeness.values:.2f})"
    assert values.get_xlabel() == "ADU per pixel"
    assert np.asarray(noise.lines[0].get_data()) == pytest.approx(np.array([[20, 40], [30, 70]]))
    assert (noise.get_xlabel(), noise.get_ylabel()) == ("mean (counts)", "variance (counts²)")


def test_camera_maps_show_each_map_and_the_line_they_come_from():
    g = np.random.default_rng(2)
    baseline, gain, noise = (level + 0.1 * g.random((20, 30)) for level in (100.0, 2.0, 1.5))
    light = np.linspace(50.0, 500.0, 600)
    found = PhotonTransfer(
        baseline, gain, noise, 2.0, 0.0, 0.01, gain < 0, (2.0,), lines=((light, 2.2 * light),)
    )
    figure = plot.camera_maps(found, names=["bright.tif"])
    assert figure.get_suptitle() == "Camera maps: 30 × 20 pixels"
    for axes, values, unit in zip(
        figure.axes[:3], (baseline, gain, noise), ("ADU", "ADU/e-", "e- rms"), strict=True
    ):
        assert np.asarray(axes.images[0].get_array()) == pytest.approx(values)
        assert axes.get_title().endswith(f"median {np.median(values):.4g} {unit}")
    over_mean = figure.axes[7]
    assert over_mean.get_ylabel() == "variance over mean (ADU/e-)"
    assert np.asarray(over_mean.lines[0].get_ydata()) == pytest.approx(2.2, rel=0.01)
    assert over_mean.containers[0].get_label() == "bright.tif"
    with pytest.raises(ds.InputError, match="2 names were given for 1 bright movies"):
        plot.camera_maps(found, names=["one.tif", "two.tif"])


def test_camera_maps_without_light_say_that_the_gain_was_given():
    one = np.ones((20, 30))
    figure = plot.camera_maps(PhotonTransfer(100 * one, 2 * one, one, 2.0, 0.0, 0.0, one < 0, ()))
    assert figure.axes[3].texts[0].get_text() == "no bright movie:\nthe gain was given"


def test_an_axial_scan_circles_its_spots_and_draws_them_through_the_planes():
    setup = ds.preset("quickstart")
    psf = build_psf(setup.psf, setup.microscope, ZeroMask().build(setup.microscope), patch_px=9)
    focus, planes = torch.linspace(0, 2, 9), torch.rand(9, 30, 40)
    model = np.exp(-((focus.double().numpy() - 0.8) ** 2))
    spots = [
        ScannedSpot(np.array([1.0, 2.0, z]), np.full(3, 0.01), 5e3, 0.99, model + 0.1, model)
        for z in (1.5, 0.8)
    ]
    figure = plot.axial_scan(AxialScan(planes, focus, psf, (0.0, 2.0)), spots)
    whole, through = figure.axes[:2]
    assert figure.get_suptitle() == "2 spots in a stack of 9 planes"
    assert np.asarray(whole.images[0].get_array()) == pytest.approx(planes.amax(0).numpy())
    circles = whole.collections[0]
    assert np.asarray(circles.get_offsets()) == pytest.approx(np.array([[1.0, 2.0], [1.0, 2.0]]))
    assert np.asarray(circles.get_array()) == pytest.approx([1.5, 0.8])
    assert [text.get_text().strip() for text in through.texts] == ["z 0.80 µm", "z 1.50 µm"]
    dots, line = through.lines[:2]
    scale = 0.8 / np.ptp(model)
    assert np.asarray(dots.get_ydata()) - np.asarray(line.get_ydata()) == pytest.approx(0.1 * scale)
    assert np.asarray(line.get_xdata()) == pytest.approx(focus.numpy())
    assert through.get_xlabel() == "nominal focal plane (µm)"
    nothing = plot.axial_scan(AxialScan(planes, focus, psf, (0.0, 2.0)), [])
    assert not nothing.axes[1].lines


def test_a_registration_shows_residuals_distortion_and_depth():
    found = ds.register(*TwoChannels(300, seed=1).lists(), pixel_um=0.1, shape=(280, 280))
    figure = plot.registration(found)
    arrows, spread, bend, depth = figure.axes
    assert spread.get_title(loc="left") == f"Residuals of {found.pairs} pairs"
    drawn = [next(each for each in axes.collections if isinstance(each, Quiver)) for axes in (arrows, bend)]
    assert len(np.asarray(drawn[0].U)) == found.pairs
    # Arrows are magnified alike in both directions.
    ratio = np.asarray(drawn[0].U) / (found.residual_um[:, 0])
    assert np.ptp(ratio) < 1e-6 * ratio.max() and ratio.max() > 1
    assert found.depth is not None
    assert f"{1000 * found.depth.median_um:.1f} ±" in depth.get_title(loc="left")
    flat = dataclasses.replace(found, depth=None)
    assert "no depths" in plot.registration(flat).axes[3].texts[0].get_text()
