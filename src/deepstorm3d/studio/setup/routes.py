"""Arrays of the panel "Set-up": the simulated frame, the real one, and the planes of the PSF side by side."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from ..arrays import array_response
from ..desk import Desk

__all__ = ["add_routes"]


def add_routes(api: APIRouter, desk: Desk) -> None:
    """Add ``/setup/simulated``, ``/setup/simulated/K`` of further channels, ``/setup/real``, ``…/planes``."""

    @api.get("/setup/simulated")
    def simulated() -> Response:
        view = desk.setup.view
        return array_response(lambda: None if view is None else view.frame)

    @api.get("/setup/simulated/{number}")
    def further(number: int) -> Response:
        view = desk.setup.view
        there = view is not None and 1 <= number <= len(view.further)
        return array_response(lambda: view.further[number - 1].frame if there and view is not None else None)

    @api.get("/setup/real")
    def real() -> Response:
        answer = desk.setup.looked.answer
        return array_response(lambda: None if answer is None else answer.question.real)

    @api.get("/setup/planes")
    def planes() -> Response:
        view = desk.setup.view
        return array_response(lambda: None if view is None else view.strip())
