"""Files of tensors as ``torch.save`` writes them: whole, or not there."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from .parts import whole_file

__all__ = ["save_tensors", "tensor_bytes"]


def save_tensors(contents: Mapping[str, Any], path: Path) -> None:
    """Write with ``torch.save``; a crash or a full disk leaves the old file whole.

    Raises InputError where the disk is full or the folder cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(tensor_bytes(contents))


def tensor_bytes(contents: Mapping[str, Any]) -> memoryview:
    """What ``torch.save`` writes; writing itself, it hides the system's reason for a refusal behind its own."""
    file = BytesIO()
    torch.save(dict(contents), file)
    return file.getbuffer()
