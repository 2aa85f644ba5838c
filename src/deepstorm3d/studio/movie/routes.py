"""Arrays of the panel "Movie": the frame's counts, the image that the molecules predict, and the residual."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from ..arrays import array_response
from ..desk import Desk
from .explained import Explained, FurtherChannel

__all__ = ["add_routes"]


def add_routes(api: APIRouter, desk: Desk) -> None:
    """Add ``/movie/counts/K``, ``/movie/model`` and ``/movie/residual``; channel=1: of the second channel."""

    @api.get("/movie/counts/{frame}")
    def counts(frame: int, channel: int = 0) -> Response:
        return array_response(lambda: desk.movie.counts(frame, channel))

    @api.get("/movie/model")
    def model(channel: int = 0) -> Response:
        shown = _shown(desk, channel)
        return array_response(lambda: None if shown is None else shown.model)

    @api.get("/movie/residual")
    def residual(channel: int = 0) -> Response:
        shown = _shown(desk, channel)
        return array_response(lambda: None if shown is None else shown.residual)


def _shown(desk: Desk, channel: int) -> Explained | FurtherChannel | None:
    """What is known of a channel's frame; None where nothing is."""
    shown = desk.movie.shown
    if shown is None or not channel:
        return shown
    return shown.further[channel - 1] if 0 < channel <= len(shown.further) else None
