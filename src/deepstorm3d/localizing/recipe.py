"""Recipe: how a pipeline is put together, small enough to be sent to another machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..camera import Camera
from .catalogue import find_model
from .fits import Method
from .pipeline import Pipeline, load_pipeline

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """The model and the choices that make a `Pipeline`; see `load_pipeline`.

    model: a built-in one by name, or a file.
    """

    model: str
    mask: Path | None = None
    # Compared, but not hashed: a mapping has no hash.
    camera: Camera | Mapping[str, object] | None = field(default=None, hash=False)
    threshold: float | None = None
    method: Method = "network"
    refine: bool = True
    device: str = "cpu"

    def load(self) -> Pipeline:
        """The pipeline, ready to work; raises InputError where model, mask or camera do not fit."""
        return load_pipeline(
            find_model(self.model),
            mask=self.mask,
            camera=self.camera,
            threshold=self.threshold,
            method=self.method,
            refine=self.refine,
            device=self.device,
        )

    def on(self, device: str) -> Recipe:
        """The same on another device."""
        return dataclasses.replace(self, device=device)
