"""The settings beside an exported mask (``FILE.json``): what it takes to read the phase back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...spec import Spec
from ..parts import write_text

__all__ = ["read_sidecar", "write_sidecar"]


def write_sidecar(path: Path, spec: Spec) -> None:
    """Write a spec beside an exported mask.  Raises InputError where that fails."""
    text = json.dumps(spec.to_mapping(), indent=1) + "\n"
    write_text(_beside(path), text)


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """The settings of an exported mask, or None where it is none.  Raises InputError where they are damaged."""
    sidecar = _beside(path)
    if not sidecar.is_file():
        return None
    try:
        mapping = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{sidecar} cannot be read ({error})", "export the mask again") from error
    return mapping if isinstance(mapping, dict) and "kind" in mapping else None


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".json")
