"""Records with units: what a user may write, and what he is told when it is wrong."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import PRESETS
from deepstorm3d.experiment.presets import preset as ds_preset
from deepstorm3d.spec import Spec, label_of, quantity, set_by_path, spec_from_mapping, to_yaml


class Round(Spec):
    kind: Literal["round"] = "round"
    radius: float = quantity(1.5, "µm", "from the middle to the edge", gt=0, le=10)


class Square(Spec):
    kind: Literal["square"] = "square"
    side: float = quantity(2.0, "µm", "of the square", gt=0)


class Place(Spec):
    shape: Annotated[Round | Square, Field(discriminator="kind")] = Round()
    low: int = quantity(1, "", "least", ge=0)
    high: int = quantity(5, "", "greatest", ge=0)

    @model_validator(mode="after")
    def _upwards(self) -> Place:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Whole(Spec):
    name: str = quantity("thing", "", "for people", min_length=1)
    wavelength: float = quantity(0.58, "µm", "in vacuum", gt=0.2, lt=2.0)
    places: dict[str, Place] = quantity({"main": Place()}, "", "where things are")
    table: dict[int, float] = quantity({}, "rad rms", "index: value")
    margin: tuple[float, float] | None = quantity(None, "px", "range; null: none")
    always: bool = quantity(True, "", "or never")


def complaint(mapping: dict[str, Any]) -> str:
    with pytest.raises(InputError) as error:
        spec_from_mapping(Whole, mapping, source="my.yaml")
    return str(error.value)


def test_a_misspelt_key_is_named_with_the_key_that_was_meant() -> None:
    message = complaint({"wavelenght": 0.6})
    assert "my.yaml is not valid" in message
    assert "wavelenght: no such key; did you mean 'wavelength'?" in message


def test_a_misspelt_key_deep_inside_is_named_by_its_place_in_the_file() -> None:
    assert "places.left.shape.raduis: no such key; did you mean 'radius'?" in complaint(
        {"places": {"left": {"shape": {"kind": "round", "raduis": 2}}}}
    )
    assert "places.left.hihg: no such key; did you mean 'high'?" in complaint({"places": {"left": {"hihg": 2}}})


def test_a_key_unlike_any_other_gets_the_list_of_those_that_there_are() -> None:
    message = complaint({"qqq": 1})
    assert "known keys here: always, margin, name, places, table, wavelength" in message
    wrong = {"places": {"a": {"shape": {"kind": "square", "radius": 1}}}}
    assert "known keys here: kind, side" in complaint(wrong)


def test_a_value_out_of_range_is_named_with_its_key_the_range_and_itself() -> None:
    message = complaint({"wavelength": 580.0})
    assert "wavelength: " in message and "less than 2" in message and "580.0" in message
    message = complaint({"places": {"a": {"shape": {"kind": "round", "radius": -1}}}})
    assert "places.a.shape.radius: " in message and "greater than 0" in message and "-1" in message


def test_every_mistake_is_told_at_once() -> None:
    message = complaint({"wavelength": -1, "name": "", "colour": "red", "places": {"a": {"low": "many"}}})
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == [
        "name",
        "wavelength",
        "places.a.low",
        "colour",
    ]


def test_records_that_contradict_themselves_explain_it_in_their_own_words() -> None:
    assert complaint({"places": {"a": {"low": 7}}}).splitlines()[1].strip() == "places.a: low 7 is above high 5"
    with pytest.raises(InputError, match=r"not valid:\n  low 7 is above high 5$"):
        spec_from_mapping(Place, {"low": 7})


def test_an_unknown_kind_lists_the_kinds() -> None:
    message = complaint({"places": {"a": {"shape": {"kind": "oval"}}}})
    assert "places.a.shape" in message and "'round', 'square'" in message


def test_a_field_is_called_by_its_label_or_the_words_of_its_key() -> None:
    class Lens(Spec):
        na: float = quantity(1.4, "", "of the objective", label="Numerical aperture")
        pixel_um: float = quantity(0.1, "µm", "in the sample")
        read_noise: float = quantity(1.6, "e- rms", "of a pixel")
        validation_crops: int = quantity(48, "crops", "always the same", label="Validation crops")
        plain: int = 3

    assert [label_of(name, field) for name, field in Lens.model_fields.items()] == [
        "Numerical aperture",
        "Pixel (µm)",
        "Read noise (e- rms)",
        "Validation crops",
        "Plain",
    ]


def test_a_record_is_never_edited_but_replaced_and_validated_again() -> None:
    record = Whole()
    with pytest.raises(ValidationError):
        record.name = "other"  # pyright: ignore[reportAttributeAccessIssue]
    assert record.with_(wavelength=0.67).wavelength == 0.67
    assert record.wavelength == 0.58
    with pytest.raises(InputError, match=r"Whole is not valid:\s+wavelength: must be .* \(given: 67\)"):
        record.with_(wavelength=67)
    with pytest.raises(InputError, match="wavelength: must be a finite number"):
        record.with_(wavelength=float("nan"))
    with pytest.raises(InputError, match=r"Wavelength: no such key; did you mean 'wavelength'\?"):
        record.with_(Wavelength=0.6)


def test_yaml_holds_every_key_with_unit_and_meaning_and_comes_back() -> None:
    record = Whole(table={6: 0.5, 11: -1.0}, places={"main": Place(), "far away": Place(shape=Square())})
    text = to_yaml(record, "two lines\nof header")
    assert text.startswith("# two lines\n# of header\n")
    assert "wavelength: 0.58  # µm: in vacuum\n" in text
    assert "      radius: 1.5  # µm: from the middle to the edge\n" in text
    assert "margin: null  # px: range; null: none\n" in text
    assert spec_from_mapping(Whole, yaml.safe_load(text)) == record


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(deadline=None)
@given(
    st.builds(
        Whole,
        name=names,
        wavelength=st.floats(0.21, 1.99),
        places=st.dictionaries(names, st.builds(Place, low=st.integers(0, 5)), min_size=1, max_size=3),
        table=st.dictionaries(st.integers(1, 99), st.floats(-1e30, 1e30), max_size=3),
        margin=st.none() | st.tuples(st.floats(-1e-9, 1e9), st.floats(-5, 5)),
        always=st.booleans(),
    )
)
def test_any_record_comes_back_from_yaml(record: Whole) -> None:
    assert spec_from_mapping(Whole, yaml.safe_load(to_yaml(record))) == record


def test_an_assignment_sets_a_value_by_its_path() -> None:
    mapping: dict[str, Any] = {"a": {"b": {"c": 1}}, "d": 2}
    for assignment in ("a.b.c=2.5", "d=[1, 2]", " a.b.new = yes", "a.x={kind: round}", "e=a=b"):
        set_by_path(mapping, assignment)
    assert mapping == {"a": {"b": {"c": 2.5, "new": True}, "x": {"kind": "round"}}, "d": [1, 2], "e": "a=b"}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("a.b.c", "is not an assignment; write key.subkey=value"),
        ("=3", "is not an assignment"),
        ("z.b=3", "there is no 'z'; keys here: a, d"),
        ("a.z.c=3", "there is no 'z'; keys here: b"),
        ("d.e=3", "'d' is a value, not a section"),
        ("d.e.f=3", "there is no 'e'; keys here: none"),
        ("a.b={unfinished", "cannot read the value"),
    ],
)
def test_an_assignment_that_leads_nowhere_says_where_it_ended(assignment: str, message: str) -> None:
    mapping: dict[str, Any] = {"a": {"b": {"c": 1}}, "d": 2}
    with pytest.raises(InputError, match=message):
        set_by_path(mapping, assignment)
    assert mapping == {"a": {"b": {"c": 1}}, "d": 2}


def kinds_of_record(kind: type[Spec] = Spec) -> list[type[Spec]]:
    return [each for below in kind.__subclasses__() for each in (below, *kinds_of_record(below))]


def test_a_record_made_by_its_name_refuses_arguments_in_the_words_of_a_file() -> None:
    import deepstorm3d as ds

    assert all(getattr(ds, name) is not None for name in ds.__all__)
    kinds = [each for each in kinds_of_record() if each.__module__.startswith("deepstorm3d.")]
    kinds = [each for each in kinds if not inspect.isabstract(each)]
    assert len(kinds) > 30
    for kind in kinds:
        with pytest.raises(InputError, match=rf"{kind.__name__} is not valid:") as refused:
            kind(no_such_key=1)  # pyright: ignore[reportCallIssue]
        assert "no_such_key: no such key" in str(refused.value) and "pydantic" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("wavelength", True), ("margin", [0, False]), ("table", {3: True}), ("places", {"main": {"low": True}})],
)
def test_a_switch_is_no_number(key: str, wrong: Any) -> None:
    assert "must be a number, not true or false" in complaint({key: wrong})


def test_a_switch_is_taken_where_there_is_one() -> None:
    assert spec_from_mapping(Whole, {"always": False}).always is False

    class Mixed(Spec):
        either_way: bool | float = quantity(1.5, "", "a number, or whether there is one")
        within: dict[str, Whole] | float = quantity(0.0, "", "records have switches of their own")

    mixed = Mixed(either_way=True, within={"a": Whole(always=False)})
    assert mixed.either_way is True
    assert spec_from_mapping(Mixed, mixed.to_mapping()) == mixed


def test_no_number_of_any_built_in_experiment_can_be_a_switch() -> None:
    """Every number that stands in the file of a preset, wherever it stands, is refused as true.

    All but the version of the format, which is compared and not reckoned with.
    """
    for name in PRESETS:
        whole = ds_preset(name).to_mapping()
        del whole["format_version"]
        for path in numbers_in(whole):
            mapping = yaml.safe_load(yaml.safe_dump(whole))
            here = mapping
            for key in path[:-1]:
                here = here[key]
            here[path[-1]] = True
            with pytest.raises(InputError):
                spec_from_mapping(Experiment, mapping)


def numbers_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the numbers of a mapping stand."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [found for key, part in items for found in numbers_in(part, (*path, key))]
    return [path] if isinstance(value, int | float) and not isinstance(value, bool) else []
