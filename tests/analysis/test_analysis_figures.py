"""Pictures are written, whole, for full and for empty tables."""

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from deepstorm3d.analysis.matching import match
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.plot import histogram_figure, overlay_figure, rendering_figure, truth_figure
from deepstorm3d.plot.panels import new_figure, round_length, save_figure, show_image
from deepstorm3d.plot.rendering import Widefield, beside_figure, section_figure
from deepstorm3d.rendering.views import Look, render_depth, render_section


def some(n: int) -> tuple[Emitters, Localizations]:
    g = torch.Generator().manual_seed(n)
    xyz = torch.rand(n, 3, generator=g) * torch.tensor([4.0, 3.0, 2.0])
    frame = torch.zeros(n, dtype=torch.int64)
    truth = Emitters(xyz, frame, torch.full((n,), 1e4), torch.arange(n))
    return truth, Localizations.proposals(xyz + 0.02, frame, torch.ones(n))


def is_picture(path) -> bool:
    image = imread(path)
    return image.ndim == 3 and min(image.shape[:2]) > 300 and float(image[..., :3].std()) > 0.01


@pytest.mark.parametrize("n", [0, 1, 12])
def test_every_picture_is_written(tmp_path, n):
    truth, found = some(n)
    frame = torch.poisson(torch.full((30, 40), 90.0), generator=torch.Generator().manual_seed(0))
    rendering_figure(render_depth(found), tmp_path / "rendering.png")
    truth_figure(truth, found, match(truth, found), tmp_path / "truth.png")
    overlay_figure(frame, torch.full_like(frame, 90.0), truth, found, tmp_path / "overlay.png", pixel_um=0.11)
    for name in ("rendering", "truth", "overlay"):
        assert is_picture(tmp_path / f"{name}.png")
    assert {path.name for path in tmp_path.iterdir()} == {"rendering.png", "truth.png", "overlay.png"}


@pytest.mark.parametrize("n", [0, 1, 12])
def test_sections_and_pairs_are_pictures_on_black_ground(tmp_path, n):
    _, found = some(n)
    for axis in ("x", "y", "z"):
        section_figure(render_section(found, axis), tmp_path / f"{axis}.png")
        assert is_picture(tmp_path / f"{axis}.png")
    rendering = render_depth(found, look=Look("none"))
    left, top, right, bottom = rendering.xy.edges_um
    light = Widefield(np.zeros((5, 6), np.float32), (left - 0.1, top, right, bottom + 0.1), "simulated")
    beside_figure(rendering, light, tmp_path / "beside.png")
    assert is_picture(tmp_path / "beside.png")
    assert not imread(tmp_path / "beside.png")[0, 0, :3].any()


def test_overlay_without_truth_and_with_its_own_noise_goes_to_an_open_file():
    _, found = some(5)
    frame = torch.rand(30, 40, generator=torch.Generator().manual_seed(0))
    target = io.BytesIO()
    overlay_figure(frame, frame.flip(0), None, found, target, pixel_um=0.11, noise=torch.full((30, 40), 0.1))
    assert target.getvalue().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="one shape"):
        overlay_figure(frame, frame.T, None, found, target, pixel_um=0.11)


def test_histogram_of_simulated_beside_real_frames(tmp_path):
    g = torch.Generator().manual_seed(0)
    histogram_figure(torch.randn(2, 50, 50, generator=g), torch.zeros(50, 50), tmp_path / "h.png", unit="ADU")
    assert is_picture(tmp_path / "h.png")
    with pytest.raises(InputError, match="real frames hold no finite"):
        histogram_figure(torch.ones(5), torch.full((5,), torch.nan), tmp_path / "no.png")


def test_y_points_down_in_an_image_panel():
    axes = new_figure(4, 4).subplots()
    show_image(axes, torch.zeros(30, 40).numpy(), (-0.5, -0.5, 39.5, 29.5), "")
    bottom, top = axes.get_ylim()
    assert (bottom, top) == (29.5, -0.5)


@pytest.mark.parametrize(("width", "bar"), [(13.3, 2), (4, 1), (0.9, 0.2), (54, 10), (0.02, 0.005)])
def test_scale_bars_have_round_lengths(width, bar):
    assert round_length(width) == pytest.approx(bar)


def test_a_picture_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    with pytest.raises(InputError, match="cannot write"):
        save_figure(new_figure(3, 3), tmp_path / "no_such_folder" / "a.png")
    with pytest.raises(InputError, match="no picture format"):
        save_figure(new_figure(3, 3), tmp_path / "a.docx")
    assert not list(tmp_path.iterdir())


def test_importing_the_analysis_draws_in_neither_matplotlib_nor_scipy():
    code = (
        "import sys, deepstorm3d.plot, deepstorm3d.analysis.matching, deepstorm3d.analysis.metrics;"
        "bad = [m for m in ('matplotlib', 'scipy') if m in sys.modules]; sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
