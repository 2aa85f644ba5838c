"""Arrays of the panel "Beads": the mean of each stack."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from ..arrays import array_response
from ..desk import Desk

__all__ = ["add_routes"]


def add_routes(api: APIRouter, desk: Desk) -> None:
    """Add ``/beads/mean/K``."""

    @api.get("/beads/mean/{stack}")
    def mean(stack: int) -> Response:
        survey = desk.beads.survey
        there = survey is not None and 0 <= stack < len(survey.stacks)
        return array_response(lambda: survey.stacks[stack].mean.numpy() if there and survey else None)
