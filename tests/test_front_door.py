"""`import deepstorm3d as ds`: its names, where they are listed, and the short examples that rest on them."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path

import pytest

import deepstorm3d as ds

SOURCE = Path(ds.__file__)


def test_dir_lists_the_public_names_and_every_one_of_them_can_be_had():
    assert dir(ds) == sorted(ds.__all__)
    for name in ds.__all__:
        assert getattr(ds, name) is not None


def test_the_names_known_to_type_checkers_are_those_that_can_be_had():
    block = SOURCE.read_text(encoding="utf-8").partition("if TYPE_CHECKING:")[2].partition("\n\n")[0]
    named = re.findall(r" as (\w+)", block)
    assert sorted(named) == sorted(set(ds.__all__) - {"__version__"})


def test_a_name_is_defined_where_the_list_says():
    for name, home in ds._HOMES.items():
        value = getattr(ds, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__.startswith(f"deepstorm3d.{home}"), f"{name}: {value.__module__}"


def test_a_name_that_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'localise'"):
        _ = ds.localise


def test_every_public_name_says_what_it_is():
    silent = [name for name in ds._HOMES if not (inspect.getdoc(getattr(ds, name)) or "").strip()]
    assert not silent, f"without a docstring: {silent}"


@pytest.mark.parametrize("name", sorted(ds._HOMES))
def test_the_examples_of_its_docstring_are_true(name: str):
    value = getattr(ds, name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for example in doctest.DocTestFinder(recurse=False).find(value, name):
        assert runner.run(example).failed == 0, f"{name}: see the output above"
