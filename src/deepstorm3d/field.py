"""The field of view that is simulated: how many pixels, and how large each is in the sample."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Field"]


@dataclass(frozen=True)
class Field:
    """height, width: camera pixels;  pixel_um: side of a pixel in the sample, µm."""

    height: int
    width: int
    pixel_um: float

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or not self.pixel_um > 0:
            raise ValueError(f"a field needs pixels and a pixel size above 0, got {self}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width
