"""Conditions keep the rows that a person means, and nothing in them is ever executed."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepstorm3d.analysis.expressions import parse_condition
from deepstorm3d.analysis.filters import rows_where, unknown_rows
from deepstorm3d.columns import COLUMNS, find_column
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError


def table(n: int = 200) -> Localizations:
    g = torch.Generator().manual_seed(1)
    found = Localizations.proposals(
        torch.rand(n, 3, generator=g), torch.arange(n) // 4, torch.rand(n, generator=g)
    )
    return dataclasses.replace(
        found,
        photons=5000 * torch.rand(n, generator=g),
        background=100 * torch.rand(n, generator=g),
        sigma_xyz=0.05 * torch.rand(n, 3, generator=g),
        sigma_source="fit",
    )


def kept(expression: str, locs: Localizations | None = None) -> np.ndarray:
    return rows_where(table() if locs is None else locs, expression).numpy()


def numbers() -> dict[str, np.ndarray]:
    return {name: column.values(table()) for name, column in COLUMNS.items()}


@pytest.mark.parametrize(
    ("expression", "meaning"),
    [
        ("photons > 2000 & sigma_z_nm < 25", lambda c: (c["photons"] > 2000) & (c["sigma_z_nm"] < 25)),
        ("photons > 4000 | z_nm < 300 & frame > 9", lambda c: _or(c["photons"] > 4000, c["z_nm"] < 300, c)),
        ("(photons > 4000 or z_nm < 300) and frame > 9", lambda c: _and(c)),
        ("10 < z_nm < 500", lambda c: (c["z_nm"] > 10) & (c["z_nm"] < 500)),
        ("~photons > 2000 & z_nm < 500", lambda c: ~(c["photons"] > 2000) & (c["z_nm"] < 500)),
        ("not (photons > 2000 && z_nm < 500)", lambda c: ~((c["photons"] > 2000) & (c["z_nm"] < 500))),
        ("-z_nm**2 + 1 > -2.5e5", lambda c: c["z_nm"] ** 2 < 2.5e5 + 1),
        ("sqrt(sigma_x_nm^2 + sigma_y_nm^2) < 30", lambda c: np.hypot(c["sigma_x_nm"], c["sigma_y_nm"]) < 30),
        ("photons / background > 2 * 10 - 5", lambda c: c["photons"] > 15 * c["background"]),
        ("max(x_nm, y_nm) - min(x_nm, y_nm) >= abs(-100)", lambda c: abs(c["x_nm"] - c["y_nm"]) >= 100),
        ("log10(photons) > 3 != 4", lambda c: c["photons"] > 1000),
        ("frame = 3 | frame == 4 | frame >= 48", lambda c: np.isin(c["frame"], [3, 4, 48, 49])),
    ],
)
def test_an_expression_means_what_a_user_of_thunderstorm_expects(expression, meaning):
    expected = meaning(numbers())
    assert 0 < expected.sum() < len(expected)
    assert np.array_equal(kept(expression), expected)


def _or(bright: np.ndarray, shallow: np.ndarray, c: dict[str, np.ndarray]) -> np.ndarray:
    return bright | (shallow & (c["frame"] > 9))


def _and(c: dict[str, np.ndarray]) -> np.ndarray:
    return ((c["photons"] > 4000) | (c["z_nm"] < 300)) & (c["frame"] > 9)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("intensity > 2000", "photons > 2000"),
        ("uncertainty_xy < 20", "sigma_xy_nm < 20"),
        ("uncertainty_z < 20", "sigma_z_nm < 20"),
        ("X < 500 & z > 100", "x_nm < 500 & z_nm > 100"),
        ("bkg < 50", "background < 50"),
    ],
)
def test_the_names_of_other_programs_are_understood(one, other):
    assert np.array_equal(kept(one), kept(other))


def test_sigma_xy_is_the_root_mean_square_of_x_and_y():
    c = numbers()
    expected = np.sqrt((c["sigma_x_nm"] ** 2 + c["sigma_y_nm"] ** 2) / 2)
    assert np.allclose(c["sigma_xy_nm"], expected, rtol=1e-6)


def test_a_row_at_the_limit_as_the_file_gives_it_is_kept():
    found = dataclasses.replace(table(4), probability=torch.tensor([0.9, 0.89, 0.91, 0.3]))
    assert kept("probability >= 0.9", found).tolist() == [True, False, True, False]
    assert kept("probability >= 3 * 0.3", found).tolist() == [True, False, True, False]


def test_what_cannot_be_computed_is_false_and_warns_of_nothing():
    found = dataclasses.replace(table(3), photons=torch.tensor([0.0, 0.0, 4.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for no_number in ("photons / (z_nm - z_nm)", "4 / (z_nm - z_nm)", "(z_nm - z_nm) ** -1"):
            for test in ("> 1", "< 1", "== 1", "!= 1"):
                assert kept(f"{no_number} {test}", found).tolist() == [False] * 3
                assert kept(f"~({no_number} {test})", found).tolist() == [False] * 3
        assert kept("(z_nm - z_nm) / (z_nm - z_nm) > 1", found).tolist() == [False] * 3
        assert kept("sqrt(-photons - 1) != 5", found).tolist() == [False] * 3
        assert kept("log10(photons - photons) < 1", found).tolist() == [False, False, True]
        assert kept("photons ** 16 > 1e300 * 1e300", found).tolist() == [False] * 3


@pytest.mark.parametrize("zero", ["0", "0.0", "(0)", "-0", "-(0.0)", "+0"])
def test_a_division_by_the_number_0_is_refused(zero: str):
    with pytest.raises(InputError, match="a division by 0 gives no number"):
        kept(f"photons / {zero} > 1")
    assert kept("photons / 0.5 > 1").any() and kept("photons / 2 > 1 & photons > 0").any()


@pytest.mark.parametrize(
    ("column", "counts_as"), [("dye", "-1"), ("track", "-1"), ("molecule", "-1"), ("detections", "1")]
)
def test_a_condition_on_a_column_that_a_list_does_not_have_is_told(column: str, counts_as: str):
    found = table(3)
    assert unknown_rows(found, f"{column} == 7", "a.csv") == [
        f"a.csv has no column {column}: it counts as {counts_as} in every row"
    ]
    numbered = dataclasses.replace(found, **{column: torch.tensor([1, 2, 3])})
    assert unknown_rows(numbered, f"{column} == 7", "a.csv") == []
    assert unknown_rows(Localizations.empty(), f"{column} == 7", "a.csv") == []


def test_rows_that_are_not_linked_are_single_detections():
    found = table(3)
    assert kept("detections == 1", found).all()
    linked = dataclasses.replace(found, detections=torch.tensor([1, 5, 2]))
    assert kept("detections >= 2", linked).tolist() == [False, True, True]


def test_a_list_without_rows_stays_one():
    assert kept("photons > 1 & detections > 0", Localizations.empty()).shape == (0,)


def test_a_list_longer_than_a_block_is_filtered_whole(monkeypatch):
    whole = kept("photons > 2000")
    monkeypatch.setattr("deepstorm3d.analysis.filters._BLOCK", 7)
    assert np.array_equal(kept("photons > 2000"), whole)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "__import__(os)",
        "x_nm.__class__ > 1",
        "(lambda: 1)() > 0",
        "lambda x_nm: x_nm > 1",
        "exec(x_nm) > 1",
        "eval(x_nm) > 1",
        "photons > 'a'",
        "[x_nm][0] > 1",
        "x_nm if x_nm > 1 else y_nm",
        "x_nm := 3",
        "x_nm > 1; y_nm > 1",
        "9**9**9**9 < x_nm",
        "x_nm > 9**99999",
        "x_nm ** y_nm > 1",
        "x_nm ** (9**9) > 1",
        "x_nm > 1e999",
        "(" * 200 + "x_nm" + ")" * 200 + " > 1",
        "-" * 200 + "x_nm > 1",
        "~" * 200 + "x_nm > 1",
        "abs(" * 200 + "x_nm" + ")" * 200 + " > 1",
        "x_nm > 1" + " & x_nm > 1" * 500,
        "x_nm\x00 > 1",
        "",
        "   ",
    ],
)
def test_what_is_no_condition_is_refused_and_never_evaluated(text):
    with pytest.raises(InputError):
        kept(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sigma_znm < 40", r"did you mean 'sigma_z_nm'\?\nColumns: x_nm \(nm\).*\(photons per pixel\)"),
        ("photons", "must be a condition such as photons > 2000"),
        ("photons > 1 & z_nm", r"character 15.*each side of & must be a condition"),
        ("(photons > 1) + 2 > 1", "must be a number"),
        ("photons > 1 z_nm < 2", r"character 13.*operator"),
        ("photons > 1)", "parenthesis is too many"),
        ("(photons > 1", "closing parenthesis is missing"),
        ("photons >", "end of the expression"),
        ("sqrt(x_nm, y_nm) > 1", "sqrt takes 1 numbers, got 2"),
        ("tan(x_nm) > 1", "no function 'tan'; there are abs, sqrt"),
        ("1 < 2", "names no column"),
        ("x_nm % 2 > 1", "unexpected '%'"),
    ],
)
def test_a_mistake_is_explained_where_it_is(text, words):
    with pytest.raises(InputError, match=words):
        kept(text)


@given(st.text(alphabet="xz_nm01.9eE+-*/^()<>=&|~!, abs'\"[]{}:;λ\n", max_size=40))
def test_any_text_is_a_condition_or_an_input_error(text):
    try:
        condition = parse_condition(text)
        columns = {name: find_column(name).values(table(3)) for name in condition.columns}
    except InputError:
        return
    result = condition(columns.__getitem__)
    assert result.shape == (3,)
    assert result.dtype == bool


def test_columns_that_nobody_filled_in_are_named():
    (told,) = unknown_rows(table(), "fit_quality < 2 & sigma_z_nm < 9 & x_nm > 0", "a.csv")
    assert told.startswith("fit_quality is not known in any row of a.csv")
    assert unknown_rows(Localizations.empty(), "fit_quality < 2", "a.csv") == []


UNKNOWN = {
    "sigma_xyz": ("sigma_x_nm", "sigma_y_nm", "sigma_z_nm", "sigma_xy_nm"),
    "photons": ("photons",),
    "background": ("background",),
    "probability": ("probability",),
    "sigma_photons": ("sigma_photons",),
    "sigma_background": ("sigma_background",),
    "fit_quality": ("fit_quality",),
}


@pytest.mark.parametrize(("attribute", "name"), [(a, name) for a, names in UNKNOWN.items() for name in names])
def test_a_row_that_does_not_know_a_value_meets_no_condition_on_it(attribute: str, name: str):
    rows = dataclasses.replace(
        table(8), **{each: torch.rand(table(8).columns()[each].shape) + 0.5 for each in UNKNOWN}
    )
    if attribute == "background":
        rows.sigma_background[3] = 0.0  # a background of 0 with a σ of its own is known
    rows.columns()[attribute][3] = 0.0
    for condition in (
        f"{name} < 1e9",
        f"{name} > -1e9",
        f"{name} != 7",
        f"~({name} > 1e9)",
        f"min({name}, 5) < 6",
    ):
        kept = rows_where(rows, condition)
        assert kept.tolist() == [True] * 3 + [False] + [True] * 4, condition
    either = rows_where(rows, f"{name} > 1e9 | frame == 0")
    assert either.tolist() == [True] * 4 + [False] * 4  # what else is asked decides
    (told,) = unknown_rows(rows, f"{name} < 5", "a.csv")
    assert told.startswith(f"{name} is not known in 1 of ")


def test_a_background_of_nothing_is_known_where_it_has_a_sigma():
    rows = dataclasses.replace(
        table(4), background=torch.zeros(4), sigma_background=torch.tensor([0.0, 1, 1, 0])
    )
    assert rows_where(rows, "background < 5").tolist() == [False, True, True, False]
