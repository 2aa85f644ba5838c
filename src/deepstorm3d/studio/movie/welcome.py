"""What stands in place of the frames until a movie is open."""

from __future__ import annotations

from nicegui import ui

from ..desk import Desk
from ..parts.follow import follow
from ..parts.notices import guarded
from ..parts.tabs import turn_to
from ..training.words import share_done
from .first_steps import FirstSteps, demo_words

__all__ = ["Welcome"]


class Welcome:
    """A card: open a movie, or make the demo."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._steps = desk, FirstSteps(desk.movie, desk.training)
        with ui.element("div").classes("ds-welcome").props("data-test=welcome") as self._card:
            ui.label("Open a movie on the left").classes("ds-heading")
            ui.label(
                "Any file or folder of frames below the folder of this studio. Choose a model, and each frame "
                "is localized as you look at it."
            ).classes("ds-words")
            ui.separator()
            ui.label("No movie at hand? The demo").classes("ds-heading")
            ui.label(
                "600 simulated frames of blinking molecules on mitochondria-like shells over 4 µm, with their "
                "truth, localized and drawn: in two minutes or three on two cores, in the folder demo-out."
            ).classes("ds-words")
            with ui.element("div").classes("ds-row"):
                self._make = ui.button("Make the demo", on_click=guarded(self._steps.make)).props(
                    "unelevated dense no-caps data-test=make-demo"
                )
                self._open = ui.button("Look at its frames", on_click=guarded(self._steps.open_movie)).props(
                    "unelevated dense no-caps data-test=open-demo"
                )
                self._result = ui.button("See its result", on_click=guarded(self._see_result)).props(
                    "outline dense no-caps data-test=see-demo"
                )
                self._stop = ui.button("Stop", on_click=guarded(self._stop_it)).props("outline dense no-caps")
            self._progress = ui.linear_progress(0, show_value=False).props("rounded instant-feedback")
            self._said = (
                ui.label().classes("ds-words").style("white-space: pre-line").props("data-test=demo-said")
            )
        follow(lambda: (desk.movie.changes, desk.training.changes), self._refresh)

    def _stop_it(self) -> None:
        if self._steps.run is not None:
            self._desk.training.stop(self._steps.run.id)

    def _see_result(self) -> None:
        self._desk.result.open(self._steps.files.localizations)
        turn_to("Result")

    def _refresh(self) -> None:
        self._card.set_visibility(self._desk.movie.movie is None)
        run, made = self._steps.run, self._steps.made
        busy = run is not None and run.alive
        self._make.set_visibility(not made and not busy)
        self._stop.set_visibility(busy)
        self._open.set_visibility(made and not busy)
        self._result.set_visibility(made and not busy)
        self._progress.set_visibility(busy)
        self._progress.set_value((run is not None and share_done(run)) or 0)
        self._make.set_text("Make the demo" if run is None else "Make the demo, from the beginning")
        self._said.set_text(demo_words(run) if run is not None and not made else "")
