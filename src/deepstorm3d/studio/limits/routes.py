"""Pictures of the panel "Limits and design": masks, and their PSFs through depth."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from ..desk import Desk
from .pictures import MaskPicture, phase_png, planes_png

__all__ = ["add_routes"]


def add_routes(api: APIRouter, desk: Desk) -> None:
    """Add ``/limits/{mask,psf}/KEY.png`` of the masks compared, and ``/limits/design/{mask,psf}/now.png``."""

    @api.get("/limits/{what}/{key}.png")
    def compared(what: str, key: str) -> Response:
        asked = desk.limits.asked
        return _png(what, None if asked is None else asked.pictures.get(key))

    @api.get("/limits/design/{what}/now.png")
    def designed(what: str) -> Response:
        shown = desk.design.shown
        return _png(what, None if shown is None else shown.picture)


def _png(what: str, picture: MaskPicture | None) -> Response:
    if picture is None or what not in ("mask", "psf") or (what == "mask" and picture.phase is None):
        return PlainTextResponse("there is nothing to show yet", status_code=404)
    drawn = planes_png(picture.planes) if what == "psf" or picture.phase is None else phase_png(picture.phase)
    return Response(drawn, media_type="image/png", headers={"Cache-Control": "no-store"})
