"""What the open list is, in words."""

from __future__ import annotations

from ...io.tables import TableHeader
from .look import ResultLook

__all__ = ["facts"]


def _frames(header: TableHeader) -> str:
    """How many frames the movie has, and which of them were localized where that is known and not all."""
    first, last = header.provenance.get("frames") or (0, header.frames)
    if (first, last) == (0, header.frames):
        return f"{header.frames:,} frames"
    return f"frames {first:,} to {last - 1:,} of {header.frames:,}"


def facts(look: ResultLook) -> str:
    """What the open list is; its name where the one that was chosen since then could not be opened."""
    opened, answer = look.opened, look.opening.answer
    if opened is None:
        return "reading …" if look.opening.busy else "Choose a list of localizations."
    failed = answer is not None and answer.error is not None and answer.question.path != opened.path
    header, rows = opened.header, len(opened.table)
    still = [f"still shown: {opened.path.name}"] if failed else []
    if not rows:
        return "; ".join([*still, "The list holds no localization: there is nothing to draw or to count."])
    height, width = header.shape
    field = f"{width * header.pixel_um:.3g} × {height * header.pixel_um:.3g} µm"
    lines = [*still, f"{rows:,} row{'s' if rows != 1 else ''}, {_frames(header)}, {field}", *header.notes]
    far = len(opened.table) - len(opened.order)
    if far:
        lies = "1 row lies" if far == 1 else f"{far:,} rows lie"
        where = "is not in the cloud" if far == 1 else "are not in the cloud"
        lines.append(f"{lies} far beyond all others and {where}")
    if not opened.has_sigma:
        lines.append("σ of x, y and z are not all known: it is drawn as a histogram")
    return "; ".join(lines)
