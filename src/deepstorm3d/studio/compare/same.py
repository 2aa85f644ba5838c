"""The command line and the Python that compare as the panel "Compare" does."""

from __future__ import annotations

from ...analysis.evaluation import TOLERANCE_NM
from ...errors import InputError
from ..command_line import command
from ..folder import Folder
from .comparison import Question

__all__ = ["command_line", "python_lines"]


def command_line(asked: Question, folder: Folder) -> str:
    """The command that gives these figures; raises InputError where there are not two lists."""
    if asked.found is None or asked.truth is None:
        raise InputError("there are not two lists yet", "choose them first")
    words = ["evaluate", folder.shown(asked.found), "--truth", folder.shown(asked.truth)]
    if asked.rule.challenge:
        words.append("--challenge")
    elif asked.rule.tolerance_nm != TOLERANCE_NM:
        words += ["--tolerance-nm", f"{asked.rule.tolerance_nm:g}"]
    if asked.rule.min_photons:
        words += ["--min-photons", f"{asked.rule.min_photons:g}"]
    if asked.pixel_nm is not None:
        words += ["--pixel-nm", f"{asked.pixel_nm:g}"]
    if asked.register:
        words.append("--register")
    return command(*words, "--json", "comparison.json", "--plot", "comparison.png")


def python_lines(asked: Question, folder: Folder) -> str:
    """The Python that gives these figures."""
    if asked.found is None or asked.truth is None:
        return ""
    rule = asked.rule
    options = {
        "tolerance_nm": None if rule.challenge or rule.tolerance_nm == TOLERANCE_NM else rule.tolerance_nm,
        "challenge": rule.challenge or None,
        "min_photons": rule.min_photons or None,
        "register": asked.register or None,
        "pixel_um": None if asked.pixel_nm is None else asked.pixel_nm / 1000,
    }
    more = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
    files = f"{folder.shown(asked.found)!r}, {folder.shown(asked.truth)!r}"
    return f"import deepstorm3d as ds\n\nprint(ds.evaluate({files}{more}))"
