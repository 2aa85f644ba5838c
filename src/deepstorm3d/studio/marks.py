"""Marks on a frame: circles, crosses and squares at columns and rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Marks", "Shape"]

Shape = Literal["circle", "cross", "plus", "square"]


@dataclass(frozen=True)
class Marks:
    """Marks of one kind on a frame.

    x, y: columns and rows, px; 0, 0 is the centre of the first pixel;  colour: one for all, or one each (CSS);
    tips: a line for each, shown under the pointer;  size: half of a mark, screen px; None: by the zoom.
    """

    shape: Shape
    x: Sequence[float]
    y: Sequence[float]
    colour: str | Sequence[str] = "#5fb0ff"
    tips: Sequence[str] = field(default_factory=list)
    size: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The marks as the page takes them."""
        colour = self.colour if isinstance(self.colour, str) else list(self.colour)
        made = {"shape": self.shape, "x": list(self.x), "y": list(self.y), "colour": colour}
        tips = {"tips": list(self.tips)} if self.tips else {}
        return made | tips | ({} if self.size is None else {"size": self.size})
