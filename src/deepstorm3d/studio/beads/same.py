"""The command line and the Python that find the same mask from the same beads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from ...calibration.beads.settings import BeadSettings
from ...errors import InputError
from ..command_line import command
from .bench import BeadBench, places_file

__all__ = ["command_line", "python_lines"]


def command_line(bench: BeadBench, experiment: str, mask: str) -> str:
    """The command that finds this mask; raises InputError where no stack is open.

    experiment, mask: names of the files.
    """
    if not bench.stacks:
        raise InputError("no stack is open", "open one first")
    names = [bench.folder.shown(path) for path in bench.stacks]
    chosen = [] if bench.choice.as_found else ["--beads-at", places_file(Path(mask)).as_posix()]
    return command("retrieve-mask", *names, experiment, *_options(bench), *chosen, "--out", mask)


def python_lines(bench: BeadBench, experiment: str, mask: str) -> str:
    """The Python that finds this mask."""
    if not bench.stacks:
        return ""
    names = [bench.folder.shown(path) for path in bench.stacks]
    plain = BeadSettings()
    settings = bench.chosen_settings
    given = [
        f"{field.name}={_told(getattr(settings, field.name), bench)!r}"
        for field in fields(settings)
        if getattr(settings, field.name) != getattr(plain, field.name)
    ]
    unknowns = bench.unknowns
    more = "".join(
        (
            f", defocus={unknowns.defocus!r}" if unknowns.defocus != "mask" else "",
            ", amplitude=True" if unknowns.amplitude else "",
            ", fit_positions=True" if unknowns.positions else "",
        )
    )
    stacks = repr(names[0]) if len(names) == 1 else repr(names)
    return "\n".join(
        (
            "import deepstorm3d as ds",
            "",
            f"recorded = ds.BeadSettings({', '.join(given)})",
            f"found = ds.retrieve_mask({stacks}, {experiment!r}, recorded{more})",
            f"ds.write_mask({mask!r}, found.phase.numpy())",
        )
    )


def _options(bench: BeadBench) -> Iterator[str]:
    s, u = bench.settings, bench.unknowns
    if s.moves != "objective":
        yield from ("--stack", s.moves)
    # A value below 0 would be read as an option if it stood alone.
    for flag, value in (("step-um", s.step_um), ("first-um", s.first_um)):
        if value is not None:
            yield f"--{flag}={value:g}"
    if isinstance(s.positions, Path):
        yield from ("--positions", bench.folder.shown(s.positions))
    yield from ("--bead-nm", f"{1000 * s.bead_um:g}")
    if s.bead_z_um is not None:
        yield from ("--bead-z-um", f"{s.bead_z_um:g}")
    if s.frames_per_slice != 1:
        yield from ("--frames-per-slice", str(s.frames_per_slice))
    if s.side_px is not None:
        yield from ("--side-px", str(s.side_px))
    if s.pixel_um is not None:
        yield from ("--pixel-nm", f"{1000 * s.pixel_um:g}")
    if s.defects != "auto":
        yield from ("--defects", str(s.defects))
    if u.defocus != "mask":
        yield from ("--defocus", u.defocus)
    if u.amplitude:
        yield "--amplitude"
    if u.positions:
        yield "--fit-positions"


def _told(value: object, bench: BeadBench) -> object:
    return bench.folder.shown(value) if isinstance(value, Path) else value
