"""The list over frames, made of the finished list of single frames; what is interrupted goes on where it was.

The list of single frames stays in ``OUT.part.*`` until this one is complete. This one grows in
``OUT.part.molecules.*``, and beside it is what the next window of frames takes over. That is replaced after the
rows of a window are written: where the work ended between both, the window is fitted once more, with the same
result, and the rows that are there already are left out.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..emitters import Localizations
from ..errors import Interrupted
from ..fitting.sites.kept import KeptSites
from ..fitting.sites.windows import Step
from ..io.parts import explain_write_errors, part_path, replaced_when_whole
from ..io.tables import TableHeader, TableWriter, open_list_writer
from ..localizing.over_frames import SecondPass

__all__ = ["SecondList"]


class SecondList:
    """The list over frames that will have the name `path`.

    header: of the list of single frames.
    """

    def __init__(self, path: Path, header: TableHeader) -> None:
        self.path, self._header = path, header
        self._part = part_path(path).with_suffix(f".molecules{path.suffix}")
        self._state = self._part.with_suffix(".state")

    def write(self, found: Localizations, over: SecondPass, told: dict[str, Any], frames: int) -> int | None:
        """Fit over frames and write; the number of rows, None where the watcher stopped the work.

        found: the complete list of single frames;  told: for the header;  frames: of the movie.
        """
        header = replace(self._header, frames=frames, provenance={**self._header.provenance, **told})
        begin, kept = self._left_off(len(found))
        writer = open_list_writer(
            self.path,
            header,
            over.left(KeptSites.nothing()),
            part=self._part,
            overwrite=True,
            resume=begin > 0,
        )
        try:
            for step in over.steps(found, kept, begin):
                kept = step.kept
                _append(writer, step.rows, step.frames_done)
                self._save(step, len(found))
        except Interrupted:
            return None
        _append(writer, over.left(kept), frames)
        rows = writer.rows
        writer.finish()
        self._state.unlink(missing_ok=True)
        return rows

    def discard(self) -> None:
        """Delete what an earlier run left."""
        sidecar, journal, count = (self._part.with_suffix(end) for end in (".yaml", ".rows", ".json"))
        for path in (self._part, sidecar, journal, count, self._state):
            path.unlink(missing_ok=True)

    def _save(self, step: Step, rows: int) -> None:
        """Keep what the next window takes over;  rows: of the list of single frames."""
        state = {"rows": rows, "end": step.end, "kept": step.kept.to_mapping()}
        with explain_write_errors(self.path), replaced_when_whole(self._state) as temporary:
            torch.save(state, temporary)

    def _left_off(self, rows: int) -> tuple[int, KeptSites]:
        """The frame to go on from, and what is known of the frames before it."""
        if self._part.exists() and self._state.exists():
            try:
                state = torch.load(self._state, weights_only=True)
                if state["rows"] == rows:
                    return int(state["end"]), KeptSites.from_mapping(state["kept"])
            except (OSError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError, EOFError):
                pass  # not whole, or of another version: the second pass begins anew
        self.discard()
        return 0, KeptSites.nothing()


def _append(writer: TableWriter[Localizations], rows: Localizations, frames_done: int) -> None:
    """Write rows that are not there yet."""
    new = rows.select(rows.frame >= writer.next_frame)
    writer.append(new, frames_done=max(frames_done, writer.next_frame))
