"""Arrays of the panel "Movie": the frame's counts, the image that the molecules predict, and the residual."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from ..arrays import array_response
from ..desk import Desk

__all__ = ["add_routes"]


def add_routes(api: APIRouter, desk: Desk) -> None:
    """Add ``/movie/counts/K``, ``/movie/model`` and ``/movie/residual``."""

    @api.get("/movie/counts/{frame}")
    def counts(frame: int) -> Response:
        return array_response(lambda: desk.movie.counts(frame))

    @api.get("/movie/model")
    def model() -> Response:
        shown = desk.movie.shown
        return array_response(lambda: None if shown is None else shown.model)

    @api.get("/movie/residual")
    def residual() -> Response:
        shown = desk.movie.shown
        return array_response(lambda: None if shown is None else shown.residual)
