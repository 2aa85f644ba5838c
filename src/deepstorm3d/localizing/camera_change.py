"""A model's camera made that of the movie at hand: what the user says, what stays, and what is assumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..camera import CAMERAS, Camera, CameraSpec
from ..errors import InputError
from ..spec import Spec, spec_from_mapping

__all__ = ["assumed_values", "change_camera"]

# Counts of the file: they mean the same in every kind of camera whose light tells its noise.
_OF_THE_FILE = ("baseline", "saturation")


def change_camera(camera: Camera, changes: Camera | Mapping[str, object] | None) -> Camera:
    """A camera with changes, {key: value}; a key that the camera lacks makes it the kind that has it.

    A whole camera takes its place. Of another kind, baseline and saturation stay as they were (they are counts
    of the file), and what nobody says is neutral: baseline 0, gain 1, no noise (`assumed_values` tells it).
    Raises InputError naming the key and what is allowed, and where a kind needs a value that nobody says.
    """
    if not changes:
        return camera
    if not isinstance(changes, Mapping):
        return changes
    values = dict(changes)
    kind = _kind(camera, values)
    mapping = {"camera": {**_base(camera, kind), **values, "kind": kind}}
    required = () if kind == camera.kind or kind not in _kinds() else _kinds()[kind].required
    if missing := [key for key in required if key not in values]:
        raise InputError(
            f"the model's camera is of kind {camera.kind}; one of kind {kind} needs {' and '.join(required)}",
            f"add {' '.join(f'`camera` {key}=...' for key in missing)}",
        )
    return spec_from_mapping(_CameraChange, mapping, source="`camera`").camera


def assumed_values(
    before: Camera, after: Camera, changes: Camera | Mapping[str, object] | None
) -> tuple[str, ...]:
    """What `change_camera` took for values that nobody said, in words; nothing where the kind stayed."""
    if before.kind == after.kind or not isinstance(changes, Mapping):
        return ()
    known = {*changes, *_kept(before, after.kind)}
    neutral = [f"{key} {value:g}" for key, value in after.neutral.items() if key not in known]
    if not neutral:
        return ()
    said = " ".join(f"{key}={value}" for key, value in changes.items())
    return (
        f"the model's camera is of kind {before.kind}; with `camera` {said} it is of kind "
        f"{after.kind}, and what was not said is assumed: {', '.join(neutral)}",
    )


def _kind(camera: Camera, values: dict[str, Any]) -> str:
    """The kind said, else the camera's own where it has the keys, else the one that has them."""
    if "kind" in values:
        return str(values["kind"])
    lacking = set(values) - set(type(camera).model_fields)
    if not camera.is_calibrated or not lacking:
        return camera.kind
    # The last kind first: an EMCCD has a gain too, but only it has one for electrons before they are read out.
    return next((name for name, kind in reversed(_kinds().items()) if kind.own_keys & lacking), camera.kind)


def _base(camera: Camera, kind: str) -> dict[str, Any]:
    """Values before any change: the camera's own; of another kind, what stays the same and what is neutral."""
    own = camera.to_mapping()
    if kind == camera.kind:
        return own
    neutral = _kinds()[kind].neutral if kind in _kinds() else {}
    return {**neutral, **{key: own[key] for key in _kept(camera, kind)}}


def _kept(camera: Camera, kind: str) -> list[str]:
    """Keys whose values a camera of another kind takes over; maps stay behind, for only an sCMOS has them."""
    other = _kinds().get(kind)
    if other is None or not (camera.is_calibrated and other.is_calibrated):
        return []
    own, maps = type(camera).model_fields, camera.maps_named()
    return [key for key in _OF_THE_FILE if key in own and key not in maps and key in other.model_fields]


def _kinds() -> dict[str, type[CameraSpec]]:
    """All kinds of camera by name, those registered from outside last."""
    return dict(zip(CAMERAS.names, (kind for kind in CAMERAS if issubclass(kind, CameraSpec)), strict=True))


class _CameraChange(Spec):
    camera: Camera
