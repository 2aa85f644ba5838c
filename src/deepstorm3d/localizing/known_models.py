"""Models that are known but not in the package: what each is for, and how its file is recognized."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

__all__ = ["KnownModel", "known_by_hash", "known_models"]

_FILE = resources.files("deepstorm3d") / "models" / "known.json"


@dataclass(frozen=True)
class KnownModel:
    """A model file outside the package.

    use: what it is for, and what else it needs;  file: where it is in the source repository;  size: bytes;
    sha256: of the file;  pixel_nm: camera pixel in the sample;  z_um: depth range;  jaccard: on its own
    validation frames.
    """

    name: str
    use: str
    file: str
    size: int
    sha256: str
    pixel_nm: float
    z_um: tuple[float, float]
    jaccard: float


@cache
def known_models() -> tuple[KnownModel, ...]:
    """All of them, in order of their names."""
    entries = json.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(
        KnownModel(name=name, **{**entry, "z_um": tuple(entry["z_um"])})
        for name, entry in sorted(entries.items())
    )


def known_by_hash(sha256: str) -> KnownModel | None:
    """The known model whose file has this SHA-256; None if it is none of them."""
    return next((each for each in known_models() if each.sha256 == sha256), None)
