"""Unions that grow: a kind that is registered from outside stands in records that were defined before it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
import yaml

from deepstorm3d.errors import InputError
from deepstorm3d.kinds import Kinds, kind_of
from deepstorm3d.spec import Spec, quantity, set_by_paths, spec_from_mapping, to_yaml


class Shape(Spec):
    """What all kinds share."""

    kind: Any
    width: float = quantity(1.0, "µm", "from left to right", gt=0)


class Round(Shape):
    kind: Literal["round"] = "round"
    radius: float = quantity(1.5, "µm", "from the middle to the edge", gt=0)


class Square(Shape):
    kind: Literal["square"] = "square"
    side: float = quantity(2.0, "µm", "of the square", gt=0)


SHAPES = Kinds(Round, Square, same_keys=True)
OTHERS = Kinds(Round, Square)


class Place(Spec):
    shape: Annotated[Shape, SHAPES] = Round()
    other: Annotated[Shape, OTHERS] = Round()
    many: dict[str, Annotated[Shape, SHAPES]] = quantity({}, "", "shapes by name")


@SHAPES.register
class Star(Shape):
    """Registered after the record that holds it was defined."""

    kind: Literal["star"] = "star"
    points: int = quantity(5, "", "of the star", ge=3)


def complaint(mapping: dict[str, Any]) -> str:
    with pytest.raises(InputError) as error:
        spec_from_mapping(Place, mapping, source="my.yaml")
    return str(error.value)


def test_a_kind_registered_later_is_read_written_and_compared_like_the_others() -> None:
    place = spec_from_mapping(Place, {"shape": {"kind": "star", "points": 7}, "many": {"a": {"kind": "star"}}})
    assert place.shape == Star(points=7) and place.many["a"] == Star()
    assert place.to_mapping()["shape"] == {"kind": "star", "width": 1.0, "points": 7}
    assert spec_from_mapping(Place, yaml.safe_load(to_yaml(place))) == place
    assert "points: 7  # of the star" in to_yaml(place)
    assert place.with_(shape=Square(side=3.0)).shape == Square(side=3.0)


def test_a_kind_that_was_not_registered_is_refused_with_the_names_of_those_that_were() -> None:
    message = complaint({"other": {"kind": "star"}})
    assert "other: " in message and "'star'" in message and "'round'" in message and "'square'" in message


def test_a_wrong_key_of_a_kind_from_outside_is_named_by_its_place_with_the_one_that_was_meant() -> None:
    assert "shape.pionts: no such key; did you mean 'points'?" in complaint(
        {"shape": {"kind": "star", "pionts": 4}}
    )
    assert "known keys here: kind, points, width" in complaint({"shape": {"kind": "star", "qqq": 4}})
    message = complaint({"many": {"left": {"kind": "star", "points": 2}}})
    assert "many.left.points: " in message and "greater than or equal to 3" in message and "2" in message
    assert "shape.width: " in complaint({"shape": {"kind": "round", "width": -1}})


def test_another_kind_keeps_the_keys_it_shares_where_the_union_says_they_mean_the_same() -> None:
    mapping = Place(shape=Round(width=4.0), other=Round(width=4.0)).to_mapping()
    set_by_paths(mapping, ["shape.kind=star", "other.kind=square"], Place)
    place = spec_from_mapping(Place, mapping)
    assert place.shape == Star(width=4.0)
    assert place.other == Square()


def test_a_name_can_be_taken_once_and_a_record_must_have_one() -> None:
    class Disc(Shape):
        kind: Literal["round"] = "round"

    with pytest.raises(ValueError, match="there is a kind 'round' already: Round"):
        Kinds(Round).register(Disc)
    with pytest.raises(ValueError, match="Shape does not name itself"):
        Kinds(Shape)
    assert kind_of(Shape) is None


def test_a_class_defined_once_more_takes_the_place_of_the_first() -> None:
    def define() -> type[Shape]:
        class Blot(Shape):
            kind: Literal["blot"] = "blot"

        return Blot

    shapes = Kinds(Round, define())
    again = shapes.register(define())
    assert shapes.names == ("round", "blot") and list(shapes) == [Round, again]
