"""What every benchmark shares: timing in turns, 95 % intervals, a table, JSON with commit and hardware.

Nothing is written to a results file: a person copies what is worth keeping to RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student

__all__ = ["arguments_of", "environment", "interval", "report", "take_turns"]


def arguments_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, with those that all benchmarks have; sets the number of threads."""
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch (default: all cores)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="a try in seconds; its figures mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON there instead of printing it")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    return arguments


def environment(device: str = "cpu") -> dict[str, Any]:
    """Commit, date, hardware and versions: without them no figure can be compared."""
    changed = "+changes" if _git("status", "--porcelain", "-uno") else ""
    return {
        "commit": _git("rev-parse", "--short", "HEAD") + changed,
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def _git(*command: str) -> str:
    """What git says; "" outside a repository, and where there is no git."""
    folder = Path(__file__).parent
    try:
        done = subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def take_turns(
    ways: Mapping[str, Callable[[], int]], rounds: int, device: str = "cpu"
) -> dict[str, list[float]]:
    """Items per second of each way in each round.

    Each way does its work and returns how many items that were. All ways run in every round, one
    after the other, so that whatever else the machine does hits all alike; a first round is not counted.
    """
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, work in ways.items():
            _finish(device)
            began = time.perf_counter()
            items = work()
            _finish(device)
            if turn:
                rates[name].append(items / (time.perf_counter() - began))
    return rates


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and the ends of its 95 % interval (Student's t over rounds)."""
    mean, n = statistics.fmean(values), len(values)
    if n < 2:
        return mean, float("nan"), float("nan")
    half = float(student.ppf(0.975, n - 1)) * statistics.stdev(values) / n**0.5
    return mean, mean - half, mean + half


def report(
    title: str, rows: Sequence[Mapping[str, Any]], arguments: argparse.Namespace, **also: Any
) -> dict[str, Any]:
    """Print a table (Markdown) and the JSON of everything; returns what the JSON holds."""
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(arguments).items()}
    record = {
        "benchmark": title,
        **environment(arguments.device),
        "settings": settings,
        **also,
        "rows": [dict(row) for row in rows],
    }
    where = f"commit {record['commit']}, {record['date']}, {record['processor']}, {record['threads']} threads"
    print(f"\n## {title}\n\n{where}, {record['device']}, torch {record['torch']}\n")
    print(_table(rows))
    for name, value in also.items():
        print(f"\n{name}: {value}")
    text = json.dumps(record, ensure_ascii=False)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    else:
        print("\n" + text)
    return record


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *[[_cell(row.get(name)) for name in names] for row in rows]]
    widths = [max(len(line[k]) for line in cells) for k in range(len(names))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def _cell(value: Any) -> str:
    """Four figures, and an interval as (low to high)."""
    if value is None:
        return ""
    if isinstance(value, (tuple, list)):
        return " ".join(_cell(part) for part in value[:1]) + (
            f" ({_cell(value[1])} to {_cell(value[2])})" if len(value) == 3 else ""
        )
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
