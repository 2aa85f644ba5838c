"""Transforms between two channels as files: the program's own, and Picasso's."""

from __future__ import annotations

from .formats import read_transform, write_transform
from .own_file import channels_of, mapping_of

__all__ = ["channels_of", "mapping_of", "read_transform", "write_transform"]
