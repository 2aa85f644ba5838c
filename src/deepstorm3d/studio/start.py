"""Serve the studio: one server on the loopback address, opened with a token."""

from __future__ import annotations

import secrets
import socket
import warnings
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn
from fastapi import APIRouter, FastAPI
from nicegui import ui

from ..errors import InputError
from .beads import routes as beads_routes
from .compare import routes as compare_routes
from .desk import Desk
from .guard import Guard
from .latest import Latest
from .limits import routes as limits_routes
from .movie import routes as movie_routes
from .page import build_page
from .result import routes as result_routes
from .setup import routes as setup_routes
from .training import routes as training_routes

__all__ = ["application", "serve"]

HOST = "127.0.0.1"
_ROUTES = (
    *(movie_routes, setup_routes, beads_routes, training_routes, result_routes, limits_routes, compare_routes),
)
# Seconds that a tab may be away (a laptop asleep, a tunnel that broke) and still go on where it was.
_AWAY_S = 60.0


def application(desk: Desk) -> FastAPI:
    """Pages and data of the studio, without its guard. One a process: NiceGUI is a single application."""
    app = FastAPI(title="deepstorm3d studio", docs_url=None, redoc_url=None, openapi_url=None)
    data = APIRouter(prefix="/data")
    for routes in _ROUTES:
        routes.add_routes(data, desk)
    app.include_router(data)
    ui.run_with(
        app,
        root=lambda: build_page(desk),
        title="deepstorm3d studio",
        dark=None,
        reconnect_timeout=_AWAY_S,
        show_welcome_message=False,
        favicon=Path(__file__).parent / "web" / "icon.svg",
    )
    return app


def serve(
    folder: Path, *, port: int | None = None, show: bool = True, say: Callable[[str], None] = print
) -> None:
    """Serve the studio over a folder until it is stopped (Ctrl-C).

    port: None: a free one, 8765 where that is free;  show: open the browser;  say: told the address.
    Raises InputError where the folder is none, or the port is taken.
    """
    # NiceGUI looks through all objects of the process when it starts, and torch warns of one of its own.
    warnings.filterwarnings("ignore", "`torch.distributed.reduce_op`", FutureWarning)
    desk = Desk(folder)
    with _listening(port) as listener:
        token, ticket = secrets.token_urlsafe(24), secrets.token_urlsafe(24) if show else ""
        address = f"http://{HOST}:{listener.getsockname()[1]}/?token="
        guard = Guard(application(desk), token, ticket)
        config = uvicorn.Config(guard, log_level="warning", access_log=False)
        say(f"{address}{token}")
        if show:
            webbrowser.open(f"{address}{ticket}")
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            Latest.end_all()


def _listening(port: int | None) -> socket.socket:
    """A socket at the port, or at a free one where None is asked for."""
    for candidate in (8765, 0) if port is None else (port,):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, candidate))
            # From here on a browser waits for its answer; else it would be refused until the server runs.
            listener.listen(128)
        except OSError as error:
            listener.close()
            if candidate == port:
                raise InputError(
                    f"port {port} cannot be used: {error.strerror}",
                    "choose another port, or none, and a free one is taken",
                ) from error
            continue
        return listener
    raise InputError("no port of this machine is free")
