"""The dialog that answers whether a model fits a movie."""

from __future__ import annotations

import base64

from nicegui import ui

from ..parts.follow import follow
from ..parts.notices import explained, guarded
from ..parts.props import with_props
from .look import FrameLook
from .sample import SAMPLE_FRAMES, Sampled

__all__ = ["SampleDialog"]


class SampleDialog:
    """A button, and the dialog that it opens."""

    def __init__(self, look: FrameLook) -> None:
        self._look = look
        ui.button("Does this model fit this movie?", on_click=lambda: self._open()).props(
            "flat dense no-caps data-test=sample"
        ).tooltip(
            f"Localizes {SAMPLE_FRAMES} frames spread over the movie, and compares them with simulated ones"
        )
        with ui.dialog() as self._dialog, ui.card().classes("ds-wide"):
            ui.label("Does this model fit this movie?").classes("ds-heading")
            self._inside = ui.column().classes("w-full gap-2").props("data-test=sample-answer")
            ui.button("Close", on_click=self._close).props("flat dense no-caps")
        follow(lambda: look.sample.changes, self._refresh)

    @guarded
    def _open(self) -> None:
        self._look.look_at_sample()
        self._dialog.open()

    def _close(self) -> None:
        self._look.sample.stop()
        self._dialog.close()

    def _refresh(self) -> None:
        sample = self._look.sample
        self._inside.clear()
        with self._inside:
            if sample.busy:
                with ui.row().classes("items-center"):
                    ui.spinner(size="18px")
                    ui.label(sample.note or "…")
            elif sample.answer is not None and sample.answer.error is not None:
                ui.label(explained(sample.answer.error)).classes("ds-error")
            elif sample.answer is not None and sample.answer.result is not None:
                _draw(sample.answer.result)


def _draw(sampled: Sampled) -> None:
    with ui.row().classes("items-start no-wrap gap-2"):
        ui.element("div").classes(f"ds-light {'good' if sampled.fits else 'bad'}").style("margin-top: 4px")
        ui.label("\n".join(sampled.lines)).style("white-space: pre-line")
    for name, png in sampled.pictures.items():
        shown = base64.b64encode(png).decode()
        image = ui.image(f"data:image/png;base64,{shown}").props("fit=contain no-transition").classes("w-full")
        with_props(image, alt=name)
