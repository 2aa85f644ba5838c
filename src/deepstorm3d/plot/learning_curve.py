"""The progress of a training, from its log: loss, completeness and errors against steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .panels import new_figure
from .style import AXIS_COLOURS, BLACK, SERIES, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["learning"]

# Figures between 0 and 1 in the log, and their labels.
_SHARES = (("jaccard", "Jaccard index"), ("recall", "recall"), ("precision", "precision"))
# Errors in the log (nm), their labels and colours.
_ERRORS = (("rmse_lateral_nm", "lateral", AXIS_COLOURS["x"]), ("rmse_axial_nm", "axial", AXIS_COLOURS["z"]))


def learning(log: str | Path, *, title: str = "") -> Figure:
    """Draw the progress of a training: loss, Jaccard index with recall and precision, and errors in nm.

    Parameters
    ----------
    log : path
        Log of a training, ``NAME.metrics.jsonl`` next to the model: one JSON object a line, each with ``step``.
    title : str
        Above all panels.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Raises
    ------
    InputError
        Where the log cannot be read, or has no step yet.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from deepstorm3d import plot
    >>> log = Path(tempfile.mkdtemp()) / "mine.metrics.jsonl"
    >>> _ = log.write_text('{"step": 1, "loss": 9.0}\\n{"step": 2, "loss": 7.5, "jaccard": 0.4}\\n')
    >>> plot.learning(log).axes[0].get_ylabel()
    'loss'
    """
    lines = _read(Path(log))
    figure = new_figure(11.0, 3.4, title or "How the training went", dpi=130)
    left, middle, right = figure.subplots(1, 3)
    left.plot(*_curve(lines, "loss"), color=BLACK, alpha=0.7, label="training, smoothed")
    _draw(left, lines, "validation_loss", "validation", VERMILION)
    left.set(ylabel="loss")
    for (name, label), colour in zip(_SHARES, SERIES, strict=False):
        _draw(middle, lines, name, label, colour)
    middle.set(ylabel="share", ylim=(0, 1.03))
    for name, label, colour in _ERRORS:
        _draw(right, lines, name, label, colour)
    right.set(ylabel="RMSE (nm)")
    right.set_ylim(bottom=0)
    for axes in (left, middle, right):
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
    return figure


def _read(log: Path) -> list[dict[str, Any]]:
    try:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {log} as the log of a training: {error}") from error
    if not lines:
        raise InputError(f"{log} has no step yet; there is nothing to draw")
    return lines


def _draw(axes: Axes, lines: list[dict[str, Any]], name: str, label: str, colour: str) -> None:
    axes.plot(*_curve(lines, name), "o-", color=colour, markersize=3, label=label)


def _curve(lines: list[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    known = [line for line in lines if line.get(name) is not None]
    return [line["step"] for line in known], [line[name] for line in known]
