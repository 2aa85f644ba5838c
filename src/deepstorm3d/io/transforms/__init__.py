"""Transforms between two channels as files: the program's own, and Picasso's."""

from __future__ import annotations

from .formats import read_transform, write_transform

__all__ = ["read_transform", "write_transform"]
