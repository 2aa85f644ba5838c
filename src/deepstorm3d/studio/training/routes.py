"""Pictures of the panel "Train and run": the preview of a training, and what a run has localized until now."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from ...errors import InputError
from ..desk import Desk

__all__ = ["add_routes"]

_FRESH = {"Cache-Control": "no-store"}


def add_routes(api: APIRouter, desk: Desk) -> None:
    """Add ``/training/preview/ID`` and ``/training/found/ID``."""

    @api.get("/training/preview/{id}")
    def preview(id: str) -> Response:
        return _answer(lambda: _preview(desk, id))

    @api.get("/training/found/{id}")
    def found(id: str) -> Response:
        return _answer(lambda: _found(desk, id))


def _preview(desk: Desk, id: str) -> bytes | None:
    files = desk.training.training_files(desk.training.shelf.run(id))
    return files.preview.read_bytes() if files is not None and files.preview.exists() else None


def _found(desk: Desk, id: str) -> bytes | None:
    so_far = desk.training.found(desk.training.shelf.run(id))
    return None if so_far is None or so_far.drawn is None else so_far.drawn.png


def _answer(made: Callable[[], bytes | None]) -> Response:
    try:
        png = made()
    except (InputError, OSError) as error:
        return PlainTextResponse(str(error), status_code=422)
    if png is None:
        return PlainTextResponse("there is nothing to show yet", status_code=404)
    return Response(png, media_type="image/png", headers=_FRESH)
