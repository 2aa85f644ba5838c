"""The program ``deepstorm3d`` as one tree of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from .calibrating import measure_psf, retrieve_mask
from .cameras import camera_maps
from .colouring import dyes
from .correcting import drift, resolution
from .designing import compare_psf, design_psf
from .estimating import estimate
from .exporting import export_mask, export_psf
from .failures import GuardedGroup
from .filtering import filter_list, link_list
from .limiting import limit
from .lists import convert, evaluate
from .localizing import localize
from .making import simulate, train
from .recommending import recommend
from .regenerating import regenerate
from .registering import register
from .rendering import render
from .reporting import report
from .setup import config, demo, models
from .snapshots import axial_scan
from .studying import studio
from .system import system_lines
from .tracking import track

__all__ = ["app", "main"]

app = typer.Typer(
    cls=GuardedGroup,
    help="Dense 3D localization microscopy with engineered point spread functions: simulate, train, localize.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"deepstorm3d {__version__}")
        raise typer.Exit()


def _print_system(asked: bool) -> None:
    if asked:
        typer.echo("\n".join(system_lines()))
        raise typer.Exit()


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
    info: Annotated[
        bool,
        typer.Option(
            "--info",
            callback=_print_system,
            is_eager=True,
            help="Print the versions of the program, Python and its libraries, and the devices; and end.",
        ),
    ] = False,
) -> None:
    pass


for command in (demo, studio, config, camera_maps, retrieve_mask, measure_psf, estimate):
    app.command()(command)
app.add_typer(models, name="models")
for command in (simulate, train, localize, regenerate, evaluate):
    app.command()(command)
# Named after what they do; `filter` alone would hide Python's own.
app.command("filter")(filter_list)
for command in (drift, resolution):
    app.command()(command)
app.command("link")(link_list)
for command in (track, register, dyes):
    app.command()(command)
for command in (
    render,
    report,
    convert,
    limit,
    recommend,
    design_psf,
    compare_psf,
    export_mask,
    export_psf,
    axial_scan,
):
    app.command()(command)


def main() -> None:
    """Run the program with the arguments of this process; ends it with its exit status."""
    app(prog_name="deepstorm3d")
