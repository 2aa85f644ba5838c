"""The experiment that an estimate becomes: numbers found in place of those given, and which of them changed."""

from __future__ import annotations

from typing import Any

from ...camera import Camera
from ...experiment.experiment import Experiment
from ...simulation.priors import Scene
from .scene_match import SceneGuess

__all__ = ["changes", "estimated_experiment"]

_DIGITS = 3
# What it is worth does not depend on its size: a camera's light is what lies above it, ADU.
_OFFSETS = ("baseline",)


def estimated_experiment(
    experiment: Experiment, name: str | None, scene: Scene, guess: SceneGuess, camera: Camera
) -> Experiment:
    """The experiment with the numbers found, rounded to what they are worth.

    name: of the scene that changes, the first else;  scene: that one, with the kinds of background and photons
    that were found;  guess: what they are;  camera: as found.
    """
    key = name if name is not None else next(iter(experiment.scenes))
    found = guess.scene(scene)
    height, width = (side - sum(found.emitters.margin_px) for side in experiment.frame_px)
    area_um2 = height * width * experiment.microscope.pixel_um**2
    count = experiment.scene(name).emitters.count.like(guess.count(), area_um2)
    emitters = found.emitters.with_(count=count)
    scenes = {**experiment.scenes, key: found.with_(emitters=emitters)}
    changed = experiment.with_(camera=guess.camera(camera), scenes=scenes)
    return Experiment.model_validate(_rounded(changed.to_mapping(), experiment.to_mapping()))


def _rounded(new: Any, old: Any, key: str = "") -> Any:
    """Numbers that changed, to three digits, offsets to 0.01; those that did not, as they were."""
    if isinstance(new, dict):
        before = old if isinstance(old, dict) else {}
        return {name: _rounded(value, before.get(name), name) for name, value in new.items()}
    if isinstance(new, list):
        before = old if isinstance(old, list) and len(old) == len(new) else [None] * len(new)
        return [_rounded(value, other, key) for value, other in zip(new, before, strict=True)]
    if isinstance(new, float) and new != old:
        if key in _OFFSETS and abs(new) >= 1:
            return round(new, 2)
        return float(f"{new:.{_DIGITS}g}") if abs(new) < 1000 else float(round(new, -1))
    return new


def changes(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Keys whose values differ between two mappings, each with its old and new value."""
    if isinstance(old, dict) and isinstance(new, dict) and old.get("kind") == new.get("kind"):
        keys = list(dict.fromkeys([*old, *new]))
        return [
            row
            for key in keys
            for row in changes(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        ]
    return [] if old == new else [(path, old, new)]
