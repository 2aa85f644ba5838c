"""Conversion of experiments and assignments of earlier versions of the program to the present format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["FORMAT_VERSION", "in_form_of_today", "with_key_of_today"]

FORMAT_VERSION = 2
"""Format version of experiment files.

1: `psf.model` named the model of the PSF, and every file contained `psf.vectorial` and `psf.measured`.
2: the PSF is one of several kinds (`psf.kind`), each with its own keys.
"""

# Beginnings of keys in assignments that were renamed: old and new.
_RENAMED = {"psf.model": "psf.kind", "psf.vectorial.": "psf.", "psf.measured.": "psf."}

# Keys of PSFs through a mask; files of version 1 with measured planes contain them too.
_OF_A_MASK = ("pupil_oversampling", "apodized", "transmission", "aberrations", "field")


def in_form_of_today(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an experiment mapping of any version to the present format; the argument is not changed.

    Raises ValueError, with words for the user, for a newer version.
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
    if isinstance(scenes := mapping.get("scenes"), Mapping):
        today["scenes"] = {name: _scene(scene) for name, scene in scenes.items()}
    if isinstance(network := mapping.get("network"), Mapping):
        today["network"] = _network(network)
    if isinstance(design := mapping.get("design"), Mapping):
        # Earlier designs let every mask learn, by the network's loss alone.
        today["design"] = {"hold": [], "bound_weight": 0.0, **design}
    # Earlier files have one channel.
    today.setdefault("channels", {})
    # They had one dye.
    today.setdefault("dyes", {})
    return today


def with_key_of_today(assignment: str) -> str:
    """Convert the key of an assignment to the present one: ``psf.model=scalar`` to ``psf.kind=scalar``."""
    key, equals, value = assignment.partition("=")
    for old, new in _RENAMED.items():
        if key.strip() == old or (old.endswith(".") and key.strip().startswith(old)):
            return new + key.strip().removeprefix(old) + equals + value
    return assignment


def _psf(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A PSF with only the keys of its kind; keys of other kinds had no effect.

    Aberrations together with measured planes are kept, because they are an error as before.
    """
    nested = {"vectorial": mapping.get("vectorial"), "measured": mapping.get("measured")}
    if "kind" in mapping or ("model" not in mapping and not any(nested.values())):
        return {"kind": "scalar", **mapping}
    kind = mapping.get("model", "scalar")
    unused = {"vectorial": ("apodized",), "measured": _OF_A_MASK}.get(kind, ())
    today = {
        key: value
        for key, value in mapping.items()
        if key != "model" and key not in nested and not (key in unused and _has_no_effect(key, value))
    }
    own = nested.get(kind) if isinstance(kind, str) else None
    return {"kind": kind, **today, **(own if isinstance(own, Mapping) else {})}


def _scene(scene: Any) -> Any:
    """A scene whose emitters say how they blink, and whether the background of a movie stays.

    In earlier files every frame had emitters of its own, and then, where molecules lasted, a background of its
    own.
    """
    emitters = scene.get("emitters") if isinstance(scene, Mapping) else None
    if not isinstance(emitters, Mapping):
        return scene
    blinking = emitters.get("blinking", {"kind": "none"})
    lasting = isinstance(blinking, Mapping) and blinking.get("kind", "none") != "none"
    return {"steady_background": not lasting, **scene, "emitters": {**emitters, "blinking": blinking}}


def _network(network: Mapping[str, Any]) -> Mapping[str, Any]:
    """A network that says how many neighbouring frames it sees: earlier ones saw none."""
    if network.get("kind") not in ("coarse", "mixture", "voxel") or "context" in network:
        return network
    return {**network, "context": 0}


def _has_no_effect(key: str, value: Any) -> bool:
    """Whether a key of PSFs through a mask had no effect for measured planes (aberrations were an error)."""
    if key == "field":
        return isinstance(value, Mapping) and not (value.get("rises") or value.get("mask_offset"))
    return key != "aberrations" or not value
