"""Experiments and assignments as earlier versions of the program had them, in the form of today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["FORMAT_VERSION", "in_form_of_today", "with_key_of_today"]

FORMAT_VERSION = 2
"""Of experiment files.

1: `psf.model` named how the PSF is computed, and `psf.vectorial` and `psf.measured` stood in every file.
2: the PSF is one of several kinds (`psf.kind`), each with its own keys.
"""

# Keys that were renamed, by how an assignment begins.
_RENAMED = {"psf.model": "psf.kind", "psf.vectorial.": "psf.", "psf.measured.": "psf."}

# Keys of a PSF through a mask, which stood beside measured planes too.
_OF_A_MASK = ("pupil_oversampling", "apodized", "transmission", "aberrations", "field")


def in_form_of_today(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment as a mapping, whatever version of the program wrote it; the one given stays as it is.

    Raises ValueError, with words for the user, for a version that is not known yet.
    """
    version = mapping.get("format_version", 1)
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ValueError(
            f"format_version is {version}, and this program reads up to {FORMAT_VERSION}: install a newer "
            "deepstorm3d"
        )
    today = dict(mapping)
    if version == 1:
        today["format_version"] = FORMAT_VERSION
    if isinstance(psf := mapping.get("psf"), Mapping):
        today["psf"] = _psf(psf)
    return today


def with_key_of_today(assignment: str) -> str:
    """An assignment ``psf.model=vectorial`` with the key that stands for it today, ``psf.kind=vectorial``."""
    key, equals, value = assignment.partition("=")
    for old, new in _RENAMED.items():
        if key.strip() == old or (old.endswith(".") and key.strip().startswith(old)):
            return new + key.strip().removeprefix(old) + equals + value
    return assignment


def _psf(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A PSF with the keys of its kind alone; what the others' keys said had no effect.

    Aberrations beside measured planes stay, to be refused as ever.
    """
    nested = {"vectorial": mapping.get("vectorial"), "measured": mapping.get("measured")}
    if "kind" in mapping or ("model" not in mapping and not any(nested.values())):
        return {"kind": "scalar", **mapping}
    kind = mapping.get("model", "scalar")
    unused = {"vectorial": ("apodized",), "measured": _OF_A_MASK}.get(kind, ())
    today = {
        key: value
        for key, value in mapping.items()
        if key != "model" and key not in nested and not (key in unused and _had_no_effect(key, value))
    }
    own = nested.get(kind) if isinstance(kind, str) else None
    return {"kind": kind, **today, **(own if isinstance(own, Mapping) else {})}


def _had_no_effect(key: str, value: Any) -> bool:
    """Whether a key of a PSF through a mask meant nothing for one without: aberrations were refused."""
    if key == "field":
        return isinstance(value, Mapping) and not (value.get("rises") or value.get("mask_offset"))
    return key != "aberrations" or not value
