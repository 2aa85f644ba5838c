"""Pictures of frames, PSFs, masks, limits, trainings show what they are given, in its units and directions."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from deepstorm3d import plot
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.limits import Bounds, LimitReport, MaskLimits
from deepstorm3d.psf_volume import PSFVolume

FOUND = Localizations.proposals(
    torch.tensor([[2.0, 1.0, 0.5], [0.3, 2.5, 1.5]]), torch.zeros(2, dtype=torch.int64), torch.ones(2)
)


def image_of(axes) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


def test_an_overlay_marks_the_frame_and_shows_what_the_list_leaves_over():
    g = torch.Generator().manual_seed(0)
    frame, again = 20 + 5 * torch.rand(30, 40, generator=g), torch.full((30, 40), 22.0)
    truth = Emitters(FOUND.xyz[:1], FOUND.frame[:1], torch.ones(1), torch.arange(1))
    figure = plot.overlay(frame, FOUND, pixel_um=0.11, regenerated=again, truth=truth, title="mine")
    marked, alone, model, residual = figure.axes[:4]
    assert np.allclose(image_of(marked), frame) and np.allclose(image_of(alone), frame)
    assert np.allclose(image_of(model), again)
    assert image_of(residual) == pytest.approx(((frame - again) / again.sqrt()).double().numpy())
    for axes in (marked, alone, model, residual):
        assert axes.images[0].get_extent() == pytest.approx([-0.055, 39.5 * 0.11, 29.5 * 0.11, -0.055])
        assert axes.get_ylim()[0] > axes.get_ylim()[1], "y points down"
    dots, circles = marked.collections
    assert np.asarray(dots.get_offsets()) == pytest.approx(FOUND.xyz[:, :2].numpy())
    assert np.asarray(dots.get_array()) == pytest.approx([0.5, 1.5]), "colour is depth"
    assert np.asarray(circles.get_offsets()) == pytest.approx(np.array([[2.0, 1.0]]))
    assert figure.get_suptitle().startswith("mine: 2 localizations\ncorrelation of frame")


def test_an_overlay_takes_its_own_noise_or_the_frame_alone():
    frame = torch.rand(30, 40, generator=torch.Generator().manual_seed(0))
    noise = torch.full((30, 40), 0.1)
    figure = plot.overlay(frame.numpy(), FOUND, pixel_um=0.11, regenerated=frame.flip(0), noise=noise)
    assert image_of(figure.axes[3]) == pytest.approx(10 * (frame - frame.flip(0)).double().numpy(), abs=1e-5)
    assert "deviance" not in figure.get_suptitle(), "it is of shot noise alone"
    alone = plot.overlay(frame, FOUND, pixel_um=0.11)
    assert sum(bool(axes.images) for axes in alone.axes) == 2
    with pytest.raises(InputError, match="all of one shape, got 30 × 40, 40 × 30"):
        plot.overlay(frame, FOUND, pixel_um=0.11, regenerated=frame.T)


def test_pixel_values_are_counted_in_shares():
    simulated, real = torch.arange(100.0), torch.arange(200.0) / 2
    axes = plot.histogram(simulated, real, unit="ADU").axes[0]
    for drawn, mean in zip(axes.patches, (49.75, 49.5), strict=True):
        share, edges, _ = drawn.get_data()
        assert share.sum() == pytest.approx(1.0, abs=0.021)
        assert (share * (edges[1:] + edges[:-1]) / 2).sum() == pytest.approx(mean, rel=0.05)
    assert axes.get_xlabel() == "pixel value (ADU)"
    assert axes.get_legend().get_texts()[0].get_text().startswith("real: median 49.75")
    with pytest.raises(InputError, match="real frames have no finite"):
        plot.histogram(torch.ones(5), torch.full((5,), torch.nan))


def test_a_psf_is_drawn_plane_by_plane_with_the_light_it_holds():
    planes = torch.rand(8, 7, 7, generator=torch.Generator().manual_seed(0))
    planes = planes / planes.sum((1, 2), keepdim=True) * torch.linspace(0.5, 1.0, 8)[:, None, None]
    figure = plot.psf(PSFVolume(planes, 0.1, -0.7, 0.2))
    *shown, light, peak = figure.axes
    assert len(shown) == 8
    for axes, plane in zip(shown, planes, strict=True):
        assert image_of(axes) == pytest.approx(plane.sqrt().numpy())
    assert shown[0].get_title() == "z = -0.70 µm"
    assert np.asarray(light.lines[0].get_xdata()) == pytest.approx(-0.7 + 0.2 * np.arange(8))
    assert np.asarray(light.lines[0].get_ydata()) == pytest.approx(np.linspace(50, 100, 8), rel=1e-5)
    assert np.asarray(peak.lines[0].get_ydata()) == pytest.approx(100 * planes.amax((1, 2)).numpy())


def test_a_phase_is_wrapped_to_one_turn_and_drawn_over_the_masks_millimetres():
    phase = torch.zeros(40, 60)
    phase[3, 7] = 2 * np.pi + 1.0
    axes = plot.mask(phase, pitch_um=100.0).axes[0]
    assert image_of(axes)[3, 7] == pytest.approx(1.0)
    assert axes.images[0].get_extent() == pytest.approx([-3.0, 3.0, 2.0, -2.0])
    assert axes.images[0].get_clim() == pytest.approx((-np.pi, np.pi))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("ξ (mm)", "η (mm)")
    assert plot.mask(phase.numpy()).axes[0].get_xlabel() == "ξ (mask px)"


def limits(name: str, factor: float) -> MaskLimits:
    bounds = Bounds(np.array([1.0, 2.0, 4.0]), factor * np.array([[5, 6, 9], [6, 7, 12], [9, 10, 20.0]]))
    return MaskLimits(name, bounds, bounds, bounds, bounds, bounds, np.array([10, 20, 40]))


def report(*masks: MaskLimits) -> LimitReport:
    return LimitReport("mine", 5000, 20, 0.9, "shot noise", (0, 4), (64, 64), 8, masks)


def test_limits_are_drawn_one_colour_a_mask_and_one_style_an_axis():
    figure = plot.limit(report(limits("a", 1.0), limits("b", 2.0)))
    deep, bright, hazy, dense = figure.axes
    for axes in (deep, bright, hazy, dense):
        assert len(axes.lines) == 6
        for k, line in enumerate(axes.lines):
            sigma = (1.0, 2.0)[k // 3] * np.array([[5, 6, 9], [6, 7, 12], [9, 10, 20.0]])[:, k % 3]
            assert np.asarray(line.get_ydata()) == pytest.approx(sigma)
            assert line.get_linestyle() == ("-", "--", ":")[k % 3]
        assert len({line.get_color() for line in axes.lines}) == 2
        assert axes.get_ylabel() == "σ of the position (nm)"
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["a", "b", "σ of x", "σ of y", "σ of z"]
    assert deep.get_ylim()[0] == 0 and bright.get_xscale() == dense.get_yscale() == "log"
    assert [tick.get_text() for tick in dense.child_axes[0].get_xticklabels()] == ["10", "20", "40"]
    assert len(plot.limit(report(limits("a", 1.0))).axes[3].lines) == 6, "median, and thin the rms"


def test_a_training_is_drawn_from_its_log(tmp_path):
    log = tmp_path / "m.metrics.jsonl"
    lines = [{"step": 10 * k, "loss": 10.0 - k} for k in range(1, 6)]
    lines[4] |= {"validation_loss": 6.0, "jaccard": 0.7, "rmse_lateral_nm": 12.0, "rmse_axial_nm": None}
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    loss, shares, errors = plot.learning(log).axes
    assert np.asarray(loss.lines[0].get_data()) == pytest.approx(
        np.array([[10, 20, 30, 40, 50], [9, 8, 7, 6, 5]])
    )
    assert np.asarray(loss.lines[1].get_data()).ravel() == pytest.approx([50, 6.0])
    assert np.asarray(shares.lines[0].get_data()).ravel() == pytest.approx([50, 0.7])
    assert np.asarray(errors.lines[0].get_data()).ravel() == pytest.approx([50, 12.0])
    assert not len(errors.lines[1].get_xdata()), "what is not known is not drawn"
    assert (loss.get_xlabel(), errors.get_ylabel()) == ("step", "RMSE (nm)")
    log.write_text("")
    with pytest.raises(InputError, match="has no step yet"):
        plot.learning(log)
    with pytest.raises(InputError, match="cannot read"):
        plot.learning(tmp_path / "none.jsonl")
