"""Whether the file that a form names may be written."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from ...io.parts import claim_name
from ..folder import Folder

__all__ = ["refuse_taken"]


def refuse_taken(out: Path, folder: Folder, *, overwrite: bool) -> None:
    """Raise InputError where the folder of a result is missing, or its file exists and may not be replaced."""
    claim_name(out, overwrite=True)
    if out.exists() and not overwrite:
        raise InputError(
            f"{folder.shown(out)} exists", "choose another name, or tick 'replace files that exist' below"
        )
