"""The examples run from an empty folder, and what their text says of the result is so."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepstorm3d as ds

pytestmark = pytest.mark.usefixtures("coarse_pictures")

EXAMPLES = Path(__file__).parents[1] / "examples"

Scope = dict[str, Any]


def first_movie(scope: Scope) -> None:
    assert scope["result"].score.jaccard > 0.9


def masks_and_psfs(scope: Scope) -> None:
    light = {name: planes.max(axis=(1, 2)) for name, planes in scope["planes"].items()}
    assert light["no mask"].max() > 3 * light["Tetrapod"].max()
    assert ds.read_mask("tetrapod.mat").shape == scope["phases"]["Tetrapod"].shape


def bound_and_depth(scope: Scope) -> None:
    sigma = {kind: bound[:, 2] for kind, bound in scope["bounds"].items()}
    assert np.median(sigma["tetrapod"]) < np.median(sigma["astigmatic"])
    assert sigma["tetrapod"].max() < sigma["astigmatic"].max()


def bound_and_density(scope: Scope) -> None:
    crowded = scope["bounds"].median.sigma_nm
    assert (crowded[-1] > 1.3 * crowded[0]).all()


def design(scope: Scope) -> None:
    assert np.median(scope["designed"]) < 0.8 * np.median(scope["flat"])


def mask_from_beads(scope: Scope) -> None:
    before, after = (np.sqrt(np.nanmean(scope[name] ** 2)) for name in ("before", "after"))
    assert before > 0.25 and after < 0.4 * before


def own_kinds(scope: Scope) -> None:
    assert scope["experiment"].camera == scope["LeakyCamera"](leak=6.0)
    assert ds.evaluate(scope["found"], scope["truth"]).score.recall > 0.8


def list_life(scope: Scope) -> None:
    assert abs(np.ptp(scope["drift"].curve.shift_um[:, 0]) - 0.3) < 0.06
    assert len(scope["linked"]) < 0.7 * len(scope["fixed"])


def storm_structure(scope: Scope) -> None:
    assert ds.evaluate(scope["found"], scope["truth"]).score.jaccard > 0.6


def pandas_table(scope: Scope) -> None:
    written = scope["table"]["x [nm]"].to_numpy()
    # The origin moves from the corner of the first pixel to its centre.
    assert abs(written - 50 - scope["again"]["x_nm"]).max() < 0.1


def tracks(scope: Scope) -> None:
    found = scope["result"]
    assert abs(found.coefficient - scope["diffusion"]) < 4 * found.coefficient_error


CLAIMS: dict[str, Callable[[Scope], None]] = {
    claim.__name__: claim
    for claim in (
        bound_and_density,
        bound_and_depth,
        design,
        first_movie,
        list_life,
        mask_from_beads,
        masks_and_psfs,
        own_kinds,
        pandas_table,
        storm_structure,
        tracks,
    )
}


def test_every_example_has_a_claim_that_is_tested():
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(CLAIMS)


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_an_example_draws_and_finds_what_it_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    if name == "tracks":
        pytest.importorskip("trackpy")
    scope = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    assert list(tmp_path.glob("*.png"))
    CLAIMS[name](scope)
