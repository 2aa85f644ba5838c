"""How a training went: loss, completeness and errors against steps, from its log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import InputError
from .panels import Target, new_figure, save_figure

__all__ = ["learning_figure"]


def learning_figure(log: Path, target: Target, *, title: str = "") -> None:
    """Draw the log of a training (JSON lines, ``*.metrics.jsonl``).

    target: path or open file.  Raises InputError where the log holds no step.
    """
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{log} holds no step yet; there is nothing to draw")
    figure = new_figure(11.0, 3.4, title or "How the training went")
    left, middle, right = figure.subplots(1, 3)
    left.plot(*_curve(lines, "loss"), color="#444444", label="training, smoothed")
    left.plot(*_curve(lines, "validation_loss"), "o-", color="C3", markersize=3, label="validation")
    left.set(ylabel="loss")
    left.legend(fontsize=8)
    for name, label in (("jaccard", "Jaccard index"), ("recall", "recall"), ("precision", "precision")):
        middle.plot(*_curve(lines, name), "o-", markersize=3, label=label)
    middle.set(ylabel="share", ylim=(0, 1.03))
    middle.legend(fontsize=8)
    for name, label in (("rmse_lateral_nm", "lateral"), ("rmse_axial_nm", "axial")):
        right.plot(*_curve(lines, name), "o-", markersize=3, label=label)
    right.set(ylabel="RMSE (nm)")
    right.set_ylim(bottom=0)
    right.legend(fontsize=8)
    for axes in (left, middle, right):
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
    save_figure(figure, target, dpi=130)


def _curve(lines: list[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    known = [line for line in lines if line.get(name) is not None]
    return [line["step"] for line in known], [line[name] for line in known]
