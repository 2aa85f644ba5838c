"""Arguments of all public functions: what an annotation excludes is refused by a sentence, before any work."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

import deepstorm3d as ds
from deepstorm3d.arguments import Kind, kinds_of_arguments, refuse_other
from deepstorm3d.front_door import PUBLIC
from deepstorm3d.localizing.excerpt import Excerpt


def public_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in ds._HOMES:
        value = getattr(ds, name)
        inside = {each: getattr(value, each) for each in getattr(value, "__all__", ()) or vars(value)}
        for each, function in {"": value, **inside}.items():
            if hasattr(function, PUBLIC):
                yield f"{name}.{each}".rstrip("."), function


ARGUMENTS = {
    f"{name} {argument}": (function, argument, kind)
    for name, function in public_functions()
    for argument, kind in kinds_of_arguments(inspect.unwrap(function)).items()
    if argument != "self"
}
OF_WORDS = {name: each for name, each in ARGUMENTS.items() if each[2].words}
OF_NUMBERS = {
    name: each
    for name, each in ARGUMENTS.items()
    if set(each[2].members) <= {int, float, bool, type(None)} and each[2].members
}
OF_ONE_CLASS = {
    name: each
    for name, each in ARGUMENTS.items()
    if isinstance(each[2].members[0], type)
    and each[2].members[0].__module__.startswith("deepstorm3d")
    and not getattr(each[2].members[0], "_is_protocol", False)
}


def call(function: Callable[..., Any], **given: Any) -> Any:
    """Call with one argument alone; a method of a model needs none, as its argument is refused before."""
    return (
        function(object(), **given) if "self" in inspect.signature(function).parameters else function(**given)
    )


@pytest.mark.parametrize(("function", "argument", "kind"), OF_WORDS.values(), ids=OF_WORDS)
def test_a_word_that_is_not_offered_is_refused_and_all_that_are_offered_named(
    function: Callable[..., Any], argument: str, kind: Kind
):
    for wrong in ("no such word", str(kind.words[0]).upper(), ""):
        with pytest.raises(ds.InputError, match=f"{argument} must be ") as refused:
            call(function, **{argument: wrong})
        assert all(str(word) in str(refused.value) for word in kind.words)


@pytest.mark.parametrize(("function", "argument", "kind"), OF_NUMBERS.values(), ids=OF_NUMBERS)
def test_a_text_or_an_array_is_no_number(function: Callable[..., Any], argument: str, kind: Kind):
    for wrong in ("2", "no", np.zeros(3), [1, 2], object()):
        with pytest.raises(ds.InputError, match=f"{argument} must be "):
            call(function, **{argument: wrong})


@pytest.mark.parametrize(("function", "argument", "kind"), OF_ONE_CLASS.values(), ids=OF_ONE_CLASS)
def test_another_thing_than_the_one_that_is_meant_is_refused(
    function: Callable[..., Any], argument: str, kind: Kind
):
    for wrong in (object(), {"a": 1}, 3):
        with pytest.raises(ds.InputError, match=f"{argument} must be .*{kind.members[0].__name__}"):
            call(function, **{argument: wrong})


def test_the_arguments_of_each_kind_are_found():
    assert {"split_channels side", "design_mask by", "retrieve_mask defocus", "plot.section across"} <= set(
        OF_WORDS
    )
    assert {"Model.localize method", "localize_channels method", "simulate specimen"} <= set(OF_WORDS)
    assert "register degree" in OF_NUMBERS and "recommend density" in OF_NUMBERS
    assert {"write_transform channels", "evaluate truth", "train experiment"} <= set(OF_ONE_CLASS)


RECORDS: tuple[Any, ...] = (ds.BeadSettings(), ds.Specimen(), ds.Localizations.empty())


def test_a_record_with_a_word_that_is_not_offered_is_refused():
    known = {type(each) for each in RECORDS}
    for home in ds._HOMES:
        kind = getattr(ds, home)
        if not (inspect.isclass(kind) and dataclasses.is_dataclass(kind)):
            continue
        chosen = [name for name, each in kinds_of_arguments(kind.__init__).items() if each.words]
        assert not chosen or kind in known, f"{home} has words: name an example of it here"
        for record in (each for each in RECORDS if type(each) is kind):
            for name in chosen:
                with pytest.raises(ds.InputError, match="no such word"):
                    dataclasses.replace(record, **{name: "no such word"})


def test_a_file_of_defects_may_be_named_by_a_text(tmp_path: Path):
    bad = np.zeros((8, 8))
    bad[2, 3] = 1
    np.save(tmp_path / "bad.npy", bad)
    for given in (str(tmp_path / "bad.npy"), tmp_path / "bad.npy"):
        for record in (Excerpt(np.zeros((3, 8, 8)), defects=given), ds.BeadSettings(defects=given)):  # type: ignore
            assert record.defects == tmp_path / "bad.npy"
    for word in ("auto", "none"):
        assert (
            Excerpt(np.zeros((3, 8, 8)), defects=word).defects == ds.BeadSettings(defects=word).defects == word
        )  # type: ignore


def test_the_other_half_is_not_taken_for_a_word_that_is_neither():
    found = ds.Localizations.proposals(torch.rand(50, 3) * 6, torch.arange(50), torch.ones(50))
    for side in ("right-left", "left-right,mirrored", "links-rechts"):
        with pytest.raises(ds.InputError, match="side must be left-right or top-bottom, not '"):
            ds.split_channels(found, side, shape=(64, 64), pixel_um=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("members", "right", "wrong", "told"),
    [
        ((Literal["a", "b"],), ("a",), ("c", 1, None), "must be a or b, not "),
        ((int, type(None)), (2, 2.0, None), (2.5, "2", True), "must be a whole number or None, not "),
        (
            (float,),
            (2, 0.5, torch.tensor(1.0, requires_grad=True)),
            ("2", None, True),
            "must be a number, not ",
        ),
        ((bool,), (True, 0, 1), ("no", 2, None), "must be True or False, not "),
        ((str, Path), ("a", Path("a")), (3, None), "must be a file, not "),
        ((ds.Emitters, Literal["a"]), (ds.Emitters.empty(), "a"), ("b", 3), "must be Emitters or a, not "),
        ((ds.Model, Sequence[ds.Model]), ([],), ("tetrapod", {}, 3), "must be Model or a sequence, not "),
        ((np.ndarray, Literal["a"]), (np.zeros(2), "a", [1]), ("b",), "must be ndarray or a, not 'b'"),
    ],
)
def test_what_is_judged(members: tuple[Any, ...], right: tuple[Any, ...], wrong: tuple[Any, ...], told: str):
    for value in right:
        refuse_other("x", value, Kind(members))
    for value in wrong:
        with pytest.raises(ds.InputError, match=told):
            refuse_other("x", value, Kind(members))
