"""Report: one HTML page that says what a list is, how it was made and how good it is."""

from __future__ import annotations

from .overlays import Overlays, SecondChannel
from .page import write_report

__all__ = ["Overlays", "SecondChannel", "write_report"]
