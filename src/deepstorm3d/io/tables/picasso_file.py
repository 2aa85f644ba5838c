"""A Picasso table that grows block by block, readable at any moment, and survives being killed at any other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ...emitters import Localizations
from ...errors import InputError
from ..parts import reserve_space
from .columns import Columns
from .growing import other_sigma
from .hdf5 import opened
from .header import TableHeader, refuse_other_settings
from .journal import Journal, Record
from .picasso import (
    PRIVATE,
    described_row_type,
    picasso_info,
    picasso_rows,
    picasso_table,
    row_type,
    sidecar_path,
)

__all__ = ["PicassoFile"]

CHUNK_ROWS = 4096
SPARE_BYTES = 2**20
"""More than one rewritten chunk and the index of chunks can need."""


class PicassoFile:
    """A growing Picasso file: closed between blocks, so that it can be read at any time.

    Rows go to a journal first, ``NAME.part.rows``: what is in it counts as done, and an HDF5 file that was
    killed while it was written is brought up to it, or made anew from it. The first record describes the
    recording.
    like: a table (without rows, too) that has the columns of all blocks to come.
    """

    def __init__(self, path: Path, header: TableHeader, like: Localizations) -> None:
        self.path, self.header = path, header
        self._dtype, self._sigma_to_come = row_type(like), like.sigma_source
        self._journal = Journal(path.with_suffix(".rows"))
        self._sigma_source = "none"

    @staticmethod
    def companions(path: Path) -> list[Path]:
        """All files that make up a table named `path`, the table first."""
        return [path, sidecar_path(path)]

    def create(self) -> None:
        """Start an empty table."""
        self._journal.create()
        recording = picasso_info(self.header) | {
            "Columns": self._dtype.descr,
            "Settings": self.header.settings,
        }
        self._journal.append(Record(0, 0, "none", json.dumps(recording).encode()))
        self._create_hdf5()

    def resume(self) -> tuple[int, int]:
        """Bring the table to what the journal holds; returns frames and rows done.

        Raises InputError where there is no journal, or it belongs to another recording or other settings.
        """
        try:
            last = self._journal.cut()
            records = self._journal.records()
            recording = json.loads(next(records).payload)
        except (OSError, StopIteration, ValueError) as error:
            raise InputError(
                f"{self.path} cannot be resumed: {self._journal.path.name} beside it, which holds what is "
                f"done, cannot be read ({error})",
                "start again (`overwrite=True`)",
            ) from error
        self._refuse_another(recording)
        assert last is not None
        if last.rows_done and self._sigma_to_come not in ("none", last.sigma_source):
            raise other_sigma(self.path, last.sigma_source, self._sigma_to_come)
        self._sigma_source = last.sigma_source
        done = self._hdf5_done()
        if done is None or done > last.frames_done:
            self._create_hdf5()
            done = 0
        for record in records:
            if record.frames_done > done:
                self._write(record)
        return last.frames_done, last.rows_done

    def append(self, table: Localizations, *, frames_done: int, first_row: int) -> None:
        """Add a block; it counts as done when it is in the journal.

        Raises InputError where its σ come from elsewhere than those of the rows before.
        """
        rows = picasso_rows(table, self.header.pixel_um, self._dtype)
        if len(table):
            if first_row and self._sigma_source != table.sigma_source:
                raise other_sigma(self.path, self._sigma_source, table.sigma_source)
            self._sigma_source = table.sigma_source
        record = Record(frames_done, first_row + len(rows), self._sigma_source, rows.tobytes())
        self._journal.append(record)
        self._write(record)

    def written(self) -> Iterator[Localizations]:
        """The rows so far, block by block, from the journal."""
        records = self._journal.records()
        next(records, None)
        for record in records:
            rows = np.frombuffer(record.payload, dtype=self._dtype)
            columns = Columns(self.path, {name: rows[name] for name in self._dtype.names or ()})
            yield picasso_table(columns, self.header.pixel_um, record.sigma_source)

    def set_frames(self, frames: int) -> None:
        """The movie turned out to have so many frames: it grew while it was localized."""
        if frames == self.header.frames:
            return
        self.header = dataclasses.replace(self.header, frames=frames)
        with opened(self.path, "r+") as file:
            del file["metadata"]
            file.create_dataset("metadata", data=json.dumps([picasso_info(self.header)]))
        self._write_sidecar()

    def describe(self, provenance: Mapping[str, Any]) -> None:
        """Add to the provenance."""
        self.header = dataclasses.replace(self.header, provenance={**self.header.provenance, **provenance})
        reserve_space(self.path, SPARE_BYTES)
        with opened(self.path, "r+") as file:
            private = file[PRIVATE]
            del private["provenance"]
            private.create_dataset("provenance", data=json.dumps(dict(self.header.provenance), default=str))

    def forget_progress(self) -> None:
        """Delete the journal; the counts stay in the complete table, where they do no harm."""
        self._journal.remove()

    def _create_hdf5(self) -> None:
        reserve_space(self.path, SPARE_BYTES)
        with opened(self.path, "w") as file:
            file.create_dataset(
                "locs",
                shape=(0,),
                maxshape=(None,),
                dtype=self._dtype,
                chunks=(CHUNK_ROWS,),
                compression="gzip",
                shuffle=True,
            )
            file.create_dataset("metadata", data=json.dumps([picasso_info(self.header)]))
            private = file.create_group(PRIVATE)
            private.create_dataset("provenance", data=json.dumps(dict(self.header.provenance), default=str))
            private.attrs.update(
                {
                    "format_version": 1,
                    "origin": "centre of the first pixel",
                    "axis_order": "xyz",
                    "pixel_um": self.header.pixel_um,
                    "sigma_source": "none",
                    "frames_done": 0,
                    "rows_done": 0,
                }
            )
        self._write_sidecar()

    def _write_sidecar(self) -> None:
        info = yaml.safe_dump_all([picasso_info(self.header)], sort_keys=False)
        sidecar_path(self.path).write_text(info, encoding="utf-8")

    def _refuse_another(self, recording: dict[str, Any]) -> None:
        here = picasso_info(self.header)
        for key in ("Width", "Height", "Pixelsize"):
            if recording[key] != here[key]:
                raise InputError(
                    f"{self.path} belongs to another recording ({key} {recording[key]}, now {here[key]})",
                    "give the same movie, or start again (`overwrite=True`)",
                )
        row = described_row_type(recording)
        there = row.names or ()
        if set(there) != set(self._dtype.names or ()):
            differing = ", ".join(sorted(set(there) ^ set(self._dtype.names or ())))
            raise InputError(
                f"{self.path} was begun with other columns than those to come ({differing})",
                "go on with the settings of the interrupted run, or start again (`overwrite=True`)",
            )
        self._dtype = row
        refuse_other_settings(self.path, recording.get("Settings"), self.header)
        # A movie that is still being recorded may have grown since.
        if recording["Frames"] > here["Frames"]:
            raise InputError(
                f"{self.path} belongs to another recording (of {recording['Frames']} frames, now there are "
                f"{here['Frames']})",
                "give the same movie, or start again (`overwrite=True`)",
            )

    def _hdf5_done(self) -> int | None:
        """Frames whose rows the HDF5 file holds; None where it cannot be trusted."""
        try:
            with opened(self.path, "r") as file:
                done = file[PRIVATE].attrs
                if file["locs"].dtype != self._dtype or len(file["locs"]) < int(done["rows_done"]):
                    return None
                # Every chunk is read: a file that was killed may open and still be broken inside.
                file["locs"][()]
                return int(done["frames_done"])
        except (OSError, KeyError, RuntimeError, ValueError):
            return None

    def _write(self, record: Record) -> None:
        """Bring one record into the HDF5 file; the counts are raised only when its rows are in it."""
        rows: NDArray[Any] = np.frombuffer(record.payload, dtype=self._dtype)
        reserve_space(self.path, 2 * rows.nbytes + SPARE_BYTES)
        with opened(self.path, "r+") as file:
            locs = file["locs"]
            locs.resize((record.rows_done,))
            locs[record.rows_done - len(rows) :] = rows
            file.flush()
            private = file[PRIVATE].attrs
            private["sigma_source"] = record.sigma_source
            private["rows_done"] = record.rows_done
            private["frames_done"] = record.frames_done
