"""Data of the panel "Result": the picture of a window, and the points of the cloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ...errors import InputError
from ..desk import Desk
from .picture import Window, as_png

__all__ = ["add_routes"]

_NOT_KEPT = {"Cache-Control": "no-store"}


def add_routes(api: APIRouter, desk: Desk) -> None:
    """Add ``/result/picture``, ``/result/cloud`` and ``/result/cloud/K``."""

    @api.get("/result/picture")
    def picture(
        window: Annotated[Window, Depends()], screen: str = "", number: int = 0, rough: bool = False
    ) -> Response:
        return _answer(lambda: _picture(desk, window, screen, number, rough=rough))

    @api.get("/result/cloud")
    def cloud() -> Response:
        def answer() -> Response | None:
            kept = desk.result.kept
            return None if kept is None else JSONResponse(desk.result.cloud.header(kept), headers=_NOT_KEPT)

        return _answer(answer)

    @api.get("/result/cloud/{number}")
    def chunk(number: int) -> Response:
        def answer() -> Response | None:
            kept = desk.result.kept
            if kept is None:
                return None
            points = desk.result.cloud.chunk(kept, number)
            return Response(points, media_type="application/octet-stream", headers=_NOT_KEPT)

        return _answer(answer)


def _picture(desk: Desk, window: Window, screen: str, number: int, *, rough: bool) -> Response | None:
    """A PNG, with the number of rows in the window and whether it is a first look; 204 if it is out of date."""
    look = desk.result
    if look.kept is None:
        return None
    drawn = look.picture.draw(look.kept, window, rough=rough, screen=screen, number=number)
    if drawn is None:
        return Response(status_code=204)
    headers = {"X-Inside": str(drawn.inside), "X-Step": str(drawn.step), "X-Full": f"{drawn.view.full:.6g}"}
    return Response(as_png(drawn), media_type="image/png", headers=headers | _NOT_KEPT)


def _answer(made: Callable[[], Response | None]) -> Response:
    """An InputError is told in words (status 422), and that there is nothing (404)."""
    try:
        answer = made()
    except (InputError, OSError) as error:
        return PlainTextResponse(str(error), status_code=422)
    return PlainTextResponse("no list is open", status_code=404) if answer is None else answer
