"""A list that another process is writing, read as it grows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...emitters import Localizations
from ...errors import InputError
from ..parts import part_path
from .columns import Columns
from .journal import Journal
from .picasso import ROW, described_row_type, picasso_table
from .table_files import read_list

__all__ = ["FollowedTable"]


class FollowedTable:
    """The rows that `localize` writes to ``OUT.hdf5``, read block by block while it does.

    They come from the journal beside the growing file, of which every block is there as a whole or not at all;
    when the table is complete, from the table.

    Attributes
    ----------
    path : Path
        The final name.
    pixel_um, shape : float, (int, int)
        Camera pixel in the sample, µm, and height and width of the frames, px; of no meaning before the first
        rows.
    frames_done, rows_done : int
        What was read until now.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() != ".hdf5":
            raise InputError(
                f"{path.name} cannot be read while it grows", "write an .hdf5 list, or wait for its end"
            )
        self.path = path
        self._journal = Journal(part_path(path).with_suffix(".rows"))
        self.pixel_um, self.shape = 0.0, (0, 0)
        self.frames_done, self.rows_done, self._place = 0, 0, 0
        self._row = ROW

    @property
    def state(self) -> tuple[int, int]:
        """Changes whenever there may be more to read: sizes of journal and table."""
        return _size(self._journal.path), _size(self.path)

    def new_rows(self, *, complete: bool = False) -> Localizations:
        """The rows that were written since the last call; none where there are none yet.

        complete: whether the work is done, and what has the final name is its table.
        Raises InputError where the complete table cannot be read.
        """
        blocks = [*self._from_journal(), *(self._from_table() if complete else ())]
        blocks = [block for block in blocks if len(block)]
        return Localizations.concat(blocks) if blocks else Localizations.empty()

    def _from_journal(self) -> list[Localizations]:
        blocks: list[Localizations] = []
        try:
            for record in self._journal.records(self._place):
                if self._place == 0:
                    self._describe(json.loads(record.payload))
                else:
                    rows = np.frombuffer(record.payload, dtype=self._row)
                    blocks.append(self._table(rows, record.sigma_source))
                self._place = self._journal.whole
                self.frames_done, self.rows_done = record.frames_done, record.rows_done
        except OSError:
            # There is none yet, or it was deleted a moment ago because the table is complete.
            pass
        return blocks

    def _from_table(self) -> list[Localizations]:
        """What is left to read of the complete table.

        One of molecules over several frames was made from the list of single frames that grew: it is not read
        once that one was.
        """
        table, header = read_list(self.path)
        self.pixel_um, self.shape = header.pixel_um, header.shape
        made_anew = table.molecule is not None and self.rows_done
        rest = Localizations.empty() if made_anew else table.select(slice(self.rows_done, None))
        self.frames_done, self.rows_done = header.frames, len(table)
        return [rest]

    def _describe(self, recording: dict[str, Any]) -> None:
        self.pixel_um = float(recording["Pixelsize"]) / 1000
        self.shape = (int(recording["Height"]), int(recording["Width"]))
        self._row = described_row_type(recording)

    def _table(self, rows: NDArray[Any], source: str) -> Localizations:
        return picasso_table(
            Columns(self.path, {name: rows[name] for name in self._row.names or ()}), self.pixel_um, source
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
