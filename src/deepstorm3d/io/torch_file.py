"""Files of tensors as ``torch.save`` writes them: whole, or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from .parts import whole_file, write_advice

__all__ = ["save_tensors"]


def save_tensors(contents: Mapping[str, Any], path: Path) -> None:
    """Write with ``torch.save``; a crash or a full disk leaves the old file whole.

    Raises InputError where the disk is full or the folder cannot be written.
    """
    try:
        with whole_file(path) as temporary, temporary.open("wb") as file:
            torch.save(dict(contents), file)
    except RuntimeError as error:
        # How torch reports a full disk.
        raise InputError(f"cannot write {path}: {error}. {write_advice(None)}") from error
