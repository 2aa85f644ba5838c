"""The settings beside an exported mask (``FILE.json``): what it takes to read the phase back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...spec import Spec
from ..parts import write_text

__all__ = ["forget_sidecar", "read_sidecar", "write_sidecar"]

# Key of the hash of the file that the settings belong to.
_HASH = "file_sha256"


def write_sidecar(path: Path, spec: Spec) -> None:
    """Write a spec beside an exported mask, with its hash.  Raises InputError where that fails."""
    text = json.dumps({**spec.to_mapping(), _HASH: _sha256(path)}, indent=1) + "\n"
    write_text(_beside(path), text)


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """The settings of an exported mask, or None where it is none.

    Raises InputError where they are damaged, or of another file that had this name.
    """
    mapping = _settings(path)
    # Earlier versions wrote no hash.
    if mapping is None or not path.is_file() or mapping.pop(_HASH, sha256 := _sha256(path)) == sha256:
        return mapping
    name = _beside(path).name
    raise InputError(
        f"{path} is not the file that {name} was written for: it was cut, resized or replaced since",
        f"export the mask again, or delete {name} where {path.name} holds radians",
    )


def forget_sidecar(path: Path) -> None:
    """Delete the settings of an exported mask that a mask in radians has replaced."""
    if _settings(path) is not None:
        _beside(path).unlink()


def _settings(path: Path) -> dict[str, Any] | None:
    sidecar = _beside(path)
    if not sidecar.is_file():
        return None
    try:
        mapping = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{sidecar} cannot be read ({error})", "export the mask again") from error
    return mapping if isinstance(mapping, dict) and "kind" in mapping else None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _beside(path: Path) -> Path:
    return path.parent / f"{path.name}.json"
