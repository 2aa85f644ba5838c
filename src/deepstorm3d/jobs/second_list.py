"""The list over frames, made of the finished list of single frames; what is interrupted goes on where it was.

The list of single frames stays in ``OUT.part.*`` until this one is complete. This one grows in
``OUT.part.molecules.*``, and beside it is what the next window of frames takes over. That is replaced after the
rows of a window are written: where the work ended between both, the window is fitted once more, with the same
result, and the rows that are there already are left out.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..emitters import Localizations
from ..errors import Interrupted
from ..fitting.sites.kept import KeptSites
from ..fitting.sites.windows import Step
from ..io.parts import explain_write_errors, part_path, replaced_when_whole
from ..io.tables import TableHeader, TableWriter, discard_growing, open_list_writer
from ..io.torch_file import tensor_bytes
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
        singles = _told_apart(found)
        begin, kept = self._left_off(singles)
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
                self._save(step, singles)
        except Interrupted:
            return None
        _append(writer, over.left(kept), frames)
        rows = writer.rows
        if begin:
            over.ends.count_anew(writer.written())
        writer.finish()
        self._state.unlink(missing_ok=True)
        return rows

    def discard(self) -> None:
        """Delete what an earlier run left."""
        discard_growing(self._part)
        self._state.unlink(missing_ok=True)

    def _save(self, step: Step, singles: Mapping[str, Any]) -> None:
        """Keep what the next window takes over;  singles: of the list of single frames (`_told_apart`)."""
        state = {**singles, "end": step.end, "kept": step.kept.to_mapping()}
        with explain_write_errors(self.path), replaced_when_whole(self._state) as temporary:
            temporary.write_bytes(tensor_bytes(state))

    def _left_off(self, singles: Mapping[str, Any]) -> tuple[int, KeptSites]:
        """The frame to go on from, and what is known of the frames before it;  singles: as of `_save`."""
        if self._part.exists() and self._state.exists():
            try:
                state = torch.load(self._state, weights_only=True)
                # Earlier versions kept the number of rows alone.
                if all(state.get(name, value) == value for name, value in singles.items()):
                    return int(state["end"]), KeptSites.from_mapping(state["kept"])
            except (OSError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError, EOFError):
                pass  # not whole, or of another version: the second pass begins anew
        self.discard()
        return 0, KeptSites.nothing()


def _told_apart(found: Localizations) -> dict[str, Any]:
    """What tells a list from any other: its number of rows, and the SHA-256 of all its columns."""
    digest = hashlib.sha256()
    for name, column in found.columns().items():
        digest.update(name.encode())
        digest.update(column.contiguous().numpy().tobytes())
    return {"rows": len(found), "digest": digest.hexdigest()}


def _append(writer: TableWriter[Localizations], rows: Localizations, frames_done: int) -> None:
    """Write rows that are not there yet."""
    new = rows.select(rows.frame >= writer.next_frame)
    writer.append(new, frames_done=max(frames_done, writer.next_frame))
