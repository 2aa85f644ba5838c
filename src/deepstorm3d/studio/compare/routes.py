"""Frames of the panel "Compare", and the rows in 3D."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from ..arrays import array_response
from ..desk import Desk
from .charts import space_points

__all__ = ["add_routes"]


def add_routes(api: APIRouter, desk: Desk) -> None:
    """Add ``/compare/counts/K``, ``/compare/points/K`` and ``/compare/points``."""

    @api.get("/compare/counts/{frame}")
    def counts(frame: int) -> Response:
        return array_response(lambda: desk.compare.counts(frame))

    @api.get("/compare/points/{frame}")
    def points_of(frame: int) -> Response:
        return points(frame)

    @api.get("/compare/points")
    def points(frame: int | None = None) -> Response:
        outcome = desk.compare.outcome
        if outcome is None:
            return PlainTextResponse("there is nothing to show yet", status_code=404)
        drawn = space_points(outcome, frame)
        return Response(drawn, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})
