"""The door to the pictures: what it lists is what it has, each explained, with an example that runs."""

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from deepstorm3d import plot

PICTURES = [name for name in plot.__all__ if name != "save_figure"]


def test_the_door_lists_all_that_it_has():
    assert dir(plot) == sorted(plot.__all__) == sorted(plot._WHERE)
    assert len(plot.__all__) == len(set(plot.__all__))


def test_another_name_is_refused_with_those_that_there_are():
    with pytest.raises(AttributeError, match=r"no picture 'painting'; there are: .*, rendering, "):
        _ = plot.painting


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_says_what_it_takes_and_returns(name: str):
    function = getattr(plot, name)
    words = inspect.getdoc(function) or ""
    assert "Returns\n-------\nmatplotlib.figure.Figure" in words
    given, _, _ = words.partition("\nReturns\n")
    for parameter in inspect.signature(function).parameters:
        assert f"{parameter} : " in given or f", {parameter}" in given or f"{parameter}, " in given, parameter
    assert str(inspect.signature(function).return_annotation) == "Figure"


@pytest.mark.parametrize("name", PICTURES)
def test_the_example_of_a_picture_runs(name: str):
    function = getattr(plot, name)
    (example,) = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    assert example.examples, f"plot.{name} has no example"
    failed = []
    doctest.DocTestRunner(verbose=False).run(example, out=failed.append)
    assert not failed, "".join(failed)


def test_neither_the_door_nor_its_pictures_load_matplotlib_before_one_is_drawn():
    code = (
        "import sys; from deepstorm3d import plot; early = {'torch', 'scipy', 'matplotlib'} & set(sys.modules);"
        "[getattr(plot, name) for name in plot.__all__]; late = {'matplotlib'} & set(sys.modules);"
        "sys.exit(f'{early} {late}' if early or late else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_picture_touches_pyplot():
    code = (
        "import sys, torch; from deepstorm3d import plot; from deepstorm3d.emitters import Localizations;"
        "plot.rendering(Localizations.empty())._repr_png_(); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or "pyplot was imported"


def test_no_module_has_the_name_of_a_picture():
    # Once imported, it would stand where the function does.
    modules = {path.stem for path in Path(plot.__file__).parent.glob("*.py")}
    assert not modules & set(plot.__all__)
