"""The command that opens the studio."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from .console import result

__all__ = ["studio"]

FOLDER = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="What the studio may open and write lies in here.")
]


def studio(
    folder: FOLDER = Path("."),
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="N", min=0, max=65535, help="Port; 0: any that is free. (default: 8765)"
        ),
    ] = None,
    browser: Annotated[
        bool,
        typer.Option("--browser/--no-browser", help="Open the page in the browser, or only print its address."),
    ] = True,
) -> None:
    """Open the program as a page in the browser: look, tune, train, localize, render. Ctrl-C ends it."""
    from ..errors import MissingPackage

    if find_spec("nicegui") is None:
        raise MissingPackage("the studio needs NiceGUI", "studio")
    from ..studio.start import serve

    serve(folder, port=port, show=browser, say=result)
