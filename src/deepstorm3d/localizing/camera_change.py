"""Adapt a model's camera to that of the movie: values from the user, kept values, and assumed ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..camera import CAMERAS, Camera, CameraSpec
from ..complaints import meant
from ..errors import InputError
from ..spec import Spec, spec_from_mapping

__all__ = ["assumed_values", "change_camera"]

# Settings in counts of the file, which have the same meaning for every kind of calibrated camera.
_OF_THE_FILE = ("baseline", "saturation")


def change_camera(camera: Camera, changes: Camera | Mapping[str, object] | None) -> Camera:
    """Apply changes {key: value} to a camera; a key of another kind of camera changes the kind.

    If `changes` is a camera, it replaces the model's. If the kind changes, baseline and saturation are kept
    (they are counts of the file), and values that are not given are neutral: baseline 0, gain 1, no noise
    (`assumed_values` lists them).
    Raises InputError with the key and the allowed values, and if a required value of a kind is missing.
    """
    if changes is None or changes == {}:
        return camera
    if isinstance(changes, CameraSpec):
        return changes
    if not isinstance(changes, Mapping):
        raise InputError(
            f"a camera is a camera or a mapping of its values, not {changes!r}",
            'give for instance {"baseline": 100, "gain": 2.2}',
        )
    values = dict(changes)
    kind = _kind(camera, values)
    known = {key: None for each in (type(camera), *_kinds().values()) for key in each.model_fields}
    unknown = next((key for key in values if key not in known), None)
    if kind in _kinds() and unknown is not None:
        raise InputError(f"`camera` {unknown}: no camera has such a value", meant(unknown, known, "known"))
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
    """A sentence about the values that `change_camera` assumed; empty if the kind did not change."""
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
    """The kind given, else the camera's own if it has all keys, else a kind that has the missing ones."""
    if "kind" in values:
        # A camera of an installed package is known from here on.
        CAMERAS.find(str(values["kind"]))
        return str(values["kind"])
    lacking = set(values) - set(type(camera).model_fields)
    if not camera.is_calibrated or not lacking:
        return camera.kind
    # The search starts with the last kind: other cameras also have a gain, but only an EMCCD has an EM gain.
    return next((name for name, kind in reversed(_kinds().items()) if kind.own_keys & lacking), camera.kind)


def _base(camera: Camera, kind: str) -> dict[str, Any]:
    """Values before the changes: the camera's own, or for another kind the kept and the neutral ones."""
    own = camera.to_mapping()
    if kind == camera.kind:
        return own
    neutral = _kinds()[kind].neutral if kind in _kinds() else {}
    return {**neutral, **{key: own[key] for key in _kept(camera, kind)}}


def _kept(camera: Camera, kind: str) -> list[str]:
    """Keys whose values a camera of another kind keeps; maps are not kept, because only an sCMOS has them."""
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
