"""Journal: blocks of bytes in a file that only ever grows, so that being killed costs the last block at most.

An HDF5 file that is killed while it is written can be lost as a whole. The rows go here first; where the HDF5
file turns out damaged, it is made anew from them.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Journal", "Record"]


@dataclass(frozen=True)
class Record:
    """One block: frames and rows done with it, where its σ come from, and its rows as bytes."""

    frames_done: int
    rows_done: int
    sigma_source: str
    payload: bytes


class Journal:
    """Records in a file, each a line of JSON (with length and check sum of what follows) and its bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._whole = 0

    def create(self) -> None:
        """Start an empty one."""
        self.path.write_bytes(b"")

    def append(self, record: Record) -> None:
        """Add a record; when this returns it is on the disk. Raises OSError with the records before it kept."""
        head = asdict(record) | {"payload": len(record.payload), "crc32": zlib.crc32(record.payload)}
        before = self.path.stat().st_size
        try:
            with self.path.open("ab") as file:
                file.write(json.dumps(head).encode() + b"\n" + record.payload)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            os.truncate(self.path, before)
            raise

    @property
    def whole(self) -> int:
        """Bytes up to the end of the last whole record that `records` gave."""
        return self._whole

    def records(self, start: int = 0) -> Iterator[Record]:
        """The whole records, in order; where one is cut off or damaged they end.

        start: where the first begins, bytes: an earlier `whole`.
        """
        with self.path.open("rb") as file:
            file.seek(start)
            while (line := file.readline()).endswith(b"\n"):
                try:
                    head = json.loads(line)
                    payload = file.read(head.pop("payload"))
                    whole = zlib.crc32(payload) == head.pop("crc32")
                except (ValueError, KeyError, TypeError):
                    return
                if not whole:
                    return
                self._whole = file.tell()
                yield Record(payload=payload, **head)

    def cut(self) -> Record | None:
        """Cut off what is not a whole record; returns the last that is, None where there is none."""
        self._whole, last = 0, None
        for last in self.records():  # noqa: B007 - only the last is wanted
            pass
        os.truncate(self.path, self._whole)
        return last

    def remove(self) -> None:
        """Delete it: the table is complete."""
        self.path.unlink(missing_ok=True)
