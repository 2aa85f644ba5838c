"""Recipe: the settings of a pipeline, small enough to be sent to another machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..camera import Camera
from ..localizer.modelfile import ModelFile
from .catalogue import find_model
from .fits import Method
from .known_light import with_light_known
from .pipeline import Pipeline, load_pipeline

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """The model and the settings of a `Pipeline`; see `load_pipeline`.

    model: name of a built-in model, or a file;  light_known: whether its channels' shares of the light are
    known, None: as its experiment says.
    """

    model: str
    mask: Path | None = None
    # Excluded from the hash, because a mapping is not hashable.
    camera: Camera | Mapping[str, object] | None = field(default=None, hash=False)
    threshold: float | None = None
    method: Method = "network"
    refine: bool = True
    device: str = "cpu"
    light_known: bool | None = None

    def file(self) -> ModelFile:
        """The model; raises InputError if it is not found, or shares are to be known that it does not have."""
        model = find_model(self.model)
        return model if self.light_known is None else with_light_known(model, self.light_known)

    def load(self) -> Pipeline:
        """Build the pipeline; raises InputError if model, mask or camera do not fit."""
        return load_pipeline(
            self.file(),
            mask=self.mask,
            camera=self.camera,
            threshold=self.threshold,
            method=self.method,
            refine=self.refine,
            device=self.device,
        )

    def on(self, device: str) -> Recipe:
        """The same recipe for another device."""
        return dataclasses.replace(self, device=device)
