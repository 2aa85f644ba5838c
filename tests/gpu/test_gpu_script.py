"""The script that measures a GPU, `benchmarks/on_gpu.py`, runs through where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_script_for_a_gpu_runs_through_on_the_processor(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "on_gpu.py"), "--small", "--out", str(tmp_path)]
    subprocess.run([*script, "--parts", "machine,simulate,localize"], check=True, capture_output=True)
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    rates = [row for row in rows if "frames_per_s" in row or "emitters_per_s" in row]
    assert {row["part"] for row in rates} == {"simulate", "localize"}
    assert all(row.get("frames_per_s", row.get("emitters_per_s")) > 0 for row in rates)
    assert not [row for row in rows if row["what"] == "FAILED"]
