"""What a report is made of: sections with text, tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Facts", "Figure", "Section"]


@dataclass(frozen=True)
class Figure:
    """A picture: PNG data, and what it shows."""

    caption: str
    png: bytes


@dataclass(frozen=True)
class Facts:
    """A table: rows of as many words as there are columns.

    title: above it, "" for none;  columns: heads, none for a table of names and values.
    """

    title: str
    rows: Sequence[Sequence[str]]
    columns: Sequence[str] = ()


@dataclass(frozen=True)
class Section:
    """One part of a report; all words are plain text, which the page escapes.

    title: heading, and entry in the table of contents;  tiles: figures to see first, as name and value;
    paragraphs, tables, figures: in this order;  code: lines to copy;  record: long text, folded away.
    """

    title: str
    tiles: Sequence[tuple[str, str]] = ()
    paragraphs: Sequence[str] = ()
    tables: Sequence[Facts] = ()
    figures: Sequence[Figure] = ()
    code: str = ""
    record: str = ""
