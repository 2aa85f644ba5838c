"""The picture of what a run has localized until now."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ...cli.options import region
from ...extent import Extent
from ...io.tables.followed_table import FollowedTable
from ...localizing.catalogue import built_in_models, find_model
from ...localizing.pipeline import experiment_of
from ...rendering.growing import GrowingPicture
from ...watch import Watcher
from ..folder import Folder
from ..latest import Latest
from ..runs.record import Run

__all__ = ["Drawn", "FoundSoFar", "scale_bar_um"]

# Seconds between two pictures of a list that grows.
_EVERY_S = 1.5
_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Drawn:
    """A picture: PNG, the rows and frames in it, and the depths that have the first and the last colour, µm."""

    png: bytes
    rows: int
    frames: int
    z_range_um: tuple[float, float]


class FoundSoFar:
    """Reads the list of a run as it grows, and draws each row once.

    Raises InputError where the list is of a format that cannot be read while it grows.
    """

    def __init__(self, run: Run, folder: Folder) -> None:
        assert run.output is not None
        self._words = run.arguments
        self._folder = folder
        self._table = FollowedTable(folder.root / run.output)
        self._picture: GrowingPicture | None = None
        self._drawn: Drawn | None = None
        self._complete = False
        self._asked: object = None
        self._when = 0.0
        self._latest: Latest[bool, Drawn | None] = Latest(self._look)

    @property
    def changes(self) -> int:
        """Grows with each picture."""
        return self._latest.changes

    @property
    def drawn(self) -> Drawn | None:
        """The last picture; None before the first."""
        return self._drawn

    @property
    def error(self) -> Exception | None:
        """Why it cannot be drawn."""
        return None if self._latest.answer is None else self._latest.answer.error

    def follow(self, *, complete: bool) -> None:
        """Read and draw what is new, in a thread, if there is something and the last time is a moment ago.

        complete: whether the run is finished.
        """
        state, now = (self._table.state, complete), time.monotonic()
        if state == self._asked or (now - self._when < _EVERY_S and not complete) or self._latest.busy:
            return
        self._asked, self._when = state, now
        self._latest.ask(complete)

    def wait(self, seconds: float) -> None:
        """Until it is drawn; raises TimeoutError where that takes longer."""
        self._latest.wait(seconds)

    def _look(self, complete: bool, watch: Watcher) -> Drawn | None:
        """Read what is new and draw it; None where there is no row yet.

        Raises InputError where list or model cannot be read.
        """
        if self._complete:
            return self._drawn
        before = self._table.rows_done
        rows = self._table.new_rows(complete=complete)
        self._complete = complete
        if self._picture is None and self._table.pixel_um:
            self._picture = GrowingPicture(self._edges(), self._depths())
        if self._picture is None or not self._picture.rows + len(rows):
            return None
        self._picture.add(rows)
        if self._drawn is None or self._table.rows_done != before:
            self._drawn = Drawn(
                _png(self._picture), self._picture.rows, self._table.frames_done, self._picture.z_range_um
            )
        return self._drawn

    def _option(self, flag: str) -> str | None:
        words = self._words
        return words[words.index(flag) + 1] if flag in words else None

    def _depths(self) -> tuple[float, float]:
        """The depths that the model knows."""
        name = self._option("--model") or ""
        path = name if name in built_in_models() else self._folder.existing(name)
        return experiment_of(find_model(path)).z_um

    def _edges(self) -> Extent:
        """Of the region that is localized, or of the whole frame, µm."""
        rows, columns = self._table.shape
        chosen = region(self._option("--roi")) or (0, 0, columns, rows)
        left, top, right, bottom = ((edge - 0.5) * self._table.pixel_um for edge in chosen)
        return left, top, right, bottom


def scale_bar_um(width_um: float) -> float:
    """A round length of about a fifth of the width: 1, 2 or 5 times a power of ten."""
    lengths = [digit * 10.0**power for power in range(-3, 6) for digit in (1, 2, 5)]
    return max((length for length in lengths if length <= width_um / 5), default=lengths[0])


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font of the other pictures; Pillow's own has no µ."""
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _png(picture: GrowingPicture) -> bytes:
    """The picture with a scale bar."""
    image = Image.fromarray(picture.rgb())
    canvas = picture.canvas
    height, width = canvas.shape
    length = scale_bar_um(width * canvas.pixel_um)
    size = max(12, width // 36)
    left, bottom = size, height - size
    draw = ImageDraw.Draw(image)
    draw.rectangle(
        (left, bottom - max(2, size // 5), left + round(length / canvas.pixel_um) - 1, bottom), fill=_WHITE
    )
    text = f"{length:g} µm" if length >= 1 else f"{1000 * length:g} nm"
    draw.text((left, bottom - size - size // 2), text, fill=_WHITE, font=_font(size))
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
