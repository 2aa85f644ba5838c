"""The panel "Movie": frames, molecules, the image that they predict, and the residual."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from ..desk import Desk
from ..parts.follow import follow
from .look import LEAST_THRESHOLD, FrameLook
from .panel_answer import AnswerPart
from .panel_frames import FramesPart
from .panel_model import ModelPart
from .panel_movie import MoviePart
from .welcome import Welcome

__all__ = ["movie_panel"]

# One press of a bracket.
_THRESHOLD_STEP = 0.02


def movie_panel(desk: Desk) -> ui.keyboard:
    """Build the panel for one tab of the browser; gives its keys."""
    with ui.element("div").classes("ds-panel"):
        with ui.element("div").classes("ds-side"):
            movie, model, answer = MoviePart(desk), ModelPart(desk), AnswerPart(desk)
        with ui.element("div").classes("ds-main"):
            Welcome(desk)
            frames = FramesPart(desk.movie)
    movie.contrast.belongs_to(frames.seen)

    def refresh() -> None:
        for part in (movie, model, answer, frames):
            part.refresh()

    follow(lambda: desk.movie.changes, refresh)
    return ui.keyboard(
        lambda event: _press(desk.movie, event), ignore=["input", "select", "button", "textarea"]
    )


def _press(look: FrameLook, event: Any) -> None:
    """Arrows: another frame; brackets: another threshold."""
    if not event.action.keydown:
        return
    step = 10 if event.modifiers.shift else 1
    if event.key.arrow_left:
        look.show(look.asked.frame - step)
    elif event.key.arrow_right:
        look.show(look.asked.frame + step)
    elif event.key.name in ("[", "]"):
        shown = look.shown
        level = look.asked.threshold or (shown.threshold if shown else 0.5)
        level += _THRESHOLD_STEP if event.key.name == "]" else -_THRESHOLD_STEP
        look.use(threshold=min(max(round(level, 3), LEAST_THRESHOLD), 1 - LEAST_THRESHOLD))
