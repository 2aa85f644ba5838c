"""A transform between two channels as a record of its coefficients, for models that hold no file."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import model_validator

from ..spec import Spec, quantity
from .polynomials import degree_of
from .transform import Transform

__all__ = ["TransformSpec"]


class TransformSpec(Spec):
    """Coefficients of a transform from the first channel's µm to another channel's own (`Transform`)."""

    centre_um: tuple[float, float] = quantity((0.0, 0.0), "µm", "x, y in the first channel where u = v = 0")
    scale_um: float = quantity(1.0, "µm", "where u = 1", gt=0)
    x_um: tuple[float, ...] = quantity(
        (0.0, 1.0, 0.0), "µm", "coefficients of x': 1, u, v, u^2, uv, v^2, u^3, u^2 v, u v^2, v^3"
    )
    y_um: tuple[float, ...] = quantity((0.0, 0.0, 1.0), "µm", "coefficients of y'")

    @model_validator(mode="after")
    def _of_one_degree(self) -> Self:
        if len(self.x_um) != len(self.y_um):
            raise ValueError(f"x_um has {len(self.x_um)} coefficients and y_um {len(self.y_um)}: give as many")
        degree_of(len(self.x_um))
        return self

    @classmethod
    def of(cls, transform: Transform) -> Self:
        """The record of a transform."""
        x, y = transform.coefficients.tolist()
        left, top = transform.centre_um.tolist()
        return cls(centre_um=(left, top), scale_um=transform.scale_um, x_um=tuple(x), y_um=tuple(y))

    def build(self) -> Transform:
        """The transform of this record."""
        coefficients = torch.tensor([self.x_um, self.y_um], dtype=torch.float64)
        return Transform(coefficients, torch.tensor(self.centre_um, dtype=torch.float64), self.scale_um)
