"""Ranges of two numbers in records."""

from __future__ import annotations

__all__ = ["Range", "check_range"]

Range = tuple[float, float]
"""Least and greatest value."""


def check_range(name: str, limits: tuple[float, float]) -> None:
    """Raises ValueError where the greatest stands first."""
    if limits[0] > limits[1]:
        raise ValueError(f"{name} must be two numbers, lower first, got {limits[0]} and {limits[1]}")
