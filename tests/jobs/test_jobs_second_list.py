"""The second pass goes on for the very list of single frames that it was begun with, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import Interrupted
from deepstorm3d.fitting.sites.kept import KeptSites
from deepstorm3d.fitting.sites.windows import Step
from deepstorm3d.io.tables import TableHeader
from deepstorm3d.jobs.second_list import SecondList
from deepstorm3d.localizing.depth_ends import DepthEnds
from deepstorm3d.localizing.over_frames import SecondPass
from factories import localizations

HEADER = TableHeader(0.1, 12, (20, 20))
WINDOW = 4


class Pass:
    """Windows that find nothing; it notes where it begins, and stops after one window unless told otherwise."""

    def __init__(self, *, stops: bool) -> None:
        self.stops, self.begun, self.ends = stops, list[int](), DepthEnds()

    def steps(self, _: Localizations, kept: KeptSites, begin: int) -> Iterator[Step]:
        self.begun.append(begin)
        for end in range(begin + WINDOW, 13, WINDOW):
            yield Step(end, self.left(kept), kept)
            if self.stops:
                raise Interrupted

    def left(self, _: KeptSites) -> Localizations:
        return replace(Localizations.empty(), molecule=torch.zeros(0, dtype=torch.int64))


def begin_of(found: Localizations, path: Path, *, stops: bool = False) -> int:
    """The frame from which the list over frames is made."""
    over = Pass(stops=stops)
    rows = SecondList(path, HEADER).write(found, cast("SecondPass", over), {}, HEADER.frames)
    assert (rows is None) == stops
    return over.begun[0]


def singles() -> Localizations:
    return localizations([[0.1 * row, 0.2, 0.3] for row in range(12)], list(range(12)))


def state_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}.part.molecules.state")


@pytest.mark.parametrize("ending", [".csv", ".hdf5"])
def test_the_same_list_goes_on(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"m{ending}"
    assert begin_of(singles(), path, stops=True) == 0
    assert begin_of(singles(), path) == WINDOW
    assert not state_of(path).exists()


@pytest.mark.parametrize("column", list(singles().columns()))
def test_another_list_of_as_many_rows_begins_anew(tmp_path: Path, column: str) -> None:
    path, first = tmp_path / "m.csv", singles()
    begin_of(first, path, stops=True)
    values = first.columns()[column].clone()
    values[-1] = values[-1] - 1
    other: Any = replace(first, **{column: values})
    assert begin_of(other, path) == 0


def test_a_state_of_an_earlier_version_goes_on_by_its_number_of_rows(tmp_path: Path) -> None:
    for rows, begin in ((12, WINDOW), (11, 0)):
        path = tmp_path / f"m{rows}.csv"
        begin_of(singles(), path, stops=True)
        state = torch.load(state_of(path), weights_only=True)
        del state["digest"]
        torch.save({**state, "rows": rows}, state_of(path))
        assert begin_of(singles(), path) == begin
