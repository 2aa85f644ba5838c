"""Put measured figures and the training's cost onto a model's card.

    python benchmarks/write_card.py MODEL ACCURACY.json

ACCURACY.json is what ``accuracy.py MODEL --json`` wrote. The model file is written anew in place;
weights, experiment and threshold stay as they are.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from deepstorm3d.localizer.modelfile import load_model_file, save_model_file


def shortened(row: dict[str, Any]) -> dict[str, Any]:
    """The figures of one row that a user needs, without intervals."""
    names = {"jaccard": "Jaccard", "rmse_lateral_nm": "lateral RMSE nm", "rmse_axial_nm": "axial RMSE nm"}
    figures = {label: round(row[name][0], 3 if name == "jaccard" else 1) for name, label in names.items()}
    return {"conditions": row["condition"], "N": row["N"], "per µm²": row["N/µm²"], **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("accuracy", type=Path)
    parser.add_argument("--trained-on", default="", help="hardware of the training, in words")
    arguments = parser.parse_args()
    model = load_model_file(arguments.model)
    measured = json.loads(arguments.accuracy.read_text(encoding="utf-8"))
    card = dict(model.card)
    last = json.loads(card.pop("last_log_line", "{}"))
    if last:
        card["training"] = f"{last['step']} steps, {last['seconds'] / 60:.0f} min"
    if arguments.trained_on:
        card["hardware"] = arguments.trained_on
    card["measured"] = [shortened(row) for row in measured["rows"]]
    card["measured_at"] = f"commit {measured['commit']}, {measured['date']}"
    save_model_file(dataclasses.replace(model, card=card), arguments.model)
    print(f"{arguments.model}: {len(card['measured'])} rows")


if __name__ == "__main__":
    main()
