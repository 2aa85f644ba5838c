"""What all pictures share: axes, scale bars, resolution, saving, and being shown by a notebook."""

import io
import pickle

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from deepstorm3d.errors import InputError
from deepstorm3d.plot.panels import figure_png, new_figure, round_length, save_figure, scale_bar, show_image
from deepstorm3d.plot.style import AXIS_COLOURS, SERIES, series_colour


def test_an_image_lies_between_its_edges_with_y_down():
    axes = new_figure(4, 4).subplots()
    image = np.arange(1200.0).reshape(30, 40)
    drawn = show_image(axes, image, (-0.5, -0.5, 39.5, 29.5), "a frame")
    assert drawn.get_extent() == [-0.5, 39.5, 29.5, -0.5]
    assert axes.get_xlim() == (-0.5, 39.5)
    assert axes.get_ylim() == (29.5, -0.5)
    # The first row is at the top, and y = 0 on it.
    assert drawn.origin == "upper" and np.array_equal(drawn.get_array(), image)
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("a frame", "x (µm)", "y (µm)")


@pytest.mark.parametrize(("width", "bar"), [(13.3, 2), (4, 1), (0.9, 0.2), (54, 10), (0.02, 0.005)])
def test_scale_bars_have_round_lengths(width, bar):
    assert round_length(width) == pytest.approx(bar)


@pytest.mark.parametrize(("width", "words"), [(13.3, "2 µm"), (0.9, "200 nm")])
def test_a_scale_bar_is_as_long_as_it_says(width, words):
    axes = new_figure(4, 4).subplots()
    show_image(axes, np.zeros((10, 10)), (0.0, 0.0, width, width), "")
    scale_bar(axes, (0.0, 0.0, width, width))
    begin, end = axes.lines[0].get_xdata()
    assert end - begin == pytest.approx(round_length(width))
    assert [text.get_text() for text in axes.texts] == [words]


def test_a_figure_belongs_to_its_caller_and_a_notebook_shows_it():
    figure = new_figure(3, 2, "a title", dpi=100)
    assert isinstance(figure, Figure) and figure.get_suptitle() == "a title"
    shown = imread(io.BytesIO(figure._repr_png_()))  # type: ignore[attr-defined]
    assert shown.shape[:2] == (200, 300)
    assert pickle.loads(pickle.dumps(figure)).get_suptitle() == "a title"


def test_a_saved_picture_has_the_resolution_of_its_figure(tmp_path):
    figure = new_figure(3, 2, dpi=120)
    save_figure(figure, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").shape[:2] == (240, 360)
    assert (tmp_path / "a.png").read_bytes() == figure_png(figure)
    save_figure(figure, tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg"]


def test_a_picture_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    with pytest.raises(InputError, match="cannot write"):
        save_figure(new_figure(3, 3), tmp_path / "no_such_folder" / "a.png")
    with pytest.raises(InputError, match="no picture format"):
        save_figure(new_figure(3, 3), tmp_path / "a.docx")
    assert not list(tmp_path.iterdir())


def test_colours_of_curves_differ_and_begin_again():
    assert len({*SERIES}) == len(SERIES) == 7
    assert series_colour(7) == series_colour(0)
    assert list(AXIS_COLOURS) == ["x", "y", "z"]
    assert [AXIS_COLOURS[axis] for axis in "xyz"] == list(SERIES[:3])
