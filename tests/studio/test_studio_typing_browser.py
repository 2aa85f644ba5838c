"""What a user is typing stays, whatever another tab or an answer changes on the panel meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstorm3d.io.tables import write_table
from factories import localizations, write_movie
from served_studio import Served, showing

HALF = "half of a na"
PIXEL_UM = 0.11
_SHOWS = "([fields, text]) => [...document.querySelectorAll(fields)].some((field) => field.value === text)"
# Panel, file to open first (field and name), where the user types, and what the other tab enters where.
CASES = (
    ("Movie", ("movie-file", "movie.tif"), "movie-file", ("model-file", "tetrapod")),
    ("Set-up", None, "experiment-file", ("microscope.na", "1.3")),
    ("Beads", None, "bead-file", ("bead-step_um", "0.07")),
    ("Train and run", ("train-experiment", "quickstart"), "train-experiment", ("train-steps", "123")),
    ("Result", ("result-file", "found.hdf5"), "result-file", ("condition", "photons > 10")),
    ("Limits", ("limits-experiment", "quickstart"), "limits-experiment", ("limits-background", "7")),
    ("Compare", ("compare-found", "found.hdf5"), "compare-truth", ("compare-tolerance", "99")),
)


@pytest.fixture(scope="module", autouse=True)
def files(studio: Served) -> Path:
    """A list and a movie in the studio's folder."""
    table = localizations(np.full((4, 3), 1.0), [0, 1, 2, 3])
    write_table(studio.folder / "found.hdf5", table, pixel_um=PIXEL_UM, frames=4, shape=(32, 32))
    write_movie(studio.folder / "movie.tif", np.full((4, 32, 32), 100), PIXEL_UM)
    return studio.folder


def fields(name: str) -> str:
    """Selector of a field of that name, whether the mark is on it or around it."""
    return f"[data-test='{name}'] input, input[data-test='{name}']"


def field(page: Any, name: str) -> Any:
    return page.locator(fields(name)).locator("visible=true").first


def opened(page: Any, panel: str) -> None:
    page.locator(f"[data-test='tab-{panel}']").click()


@pytest.mark.parametrize(("panel", "file", "typed", "other"), CASES, ids=[case[0] for case in CASES])
def test_a_half_typed_name_stays(
    page: Any, browser: Any, studio: Served, panel: str, file: Any, typed: str, other: tuple[str, str]
) -> None:
    opened(page, panel)
    if file is not None:
        field(page, file[0]).fill(file[1])
        field(page, file[0]).press("Enter")
    place, text = other
    with showing(browser, studio) as second:
        opened(second, panel)
        field(second, place).wait_for()
        field(page, typed).fill(HALF)
        field(second, place).fill(text)
        field(second, place).press("Enter")
        # Now this tab has been drawn again.
        page.wait_for_function(_SHOWS, arg=[fields(place), text])
        assert field(page, typed).input_value() == HALF
