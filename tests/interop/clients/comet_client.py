"""What COMET reads and writes as ThunderSTORM CSV; as in the file, without conversion."""

import json
import sys

from comet.core.io_utils import load_thunderstorm_csv, save_dataset_as_thunderstorm_csv


def read(path):
    rows = load_thunderstorm_csv(path)
    return {name: rows[:, index].tolist() for index, name in enumerate(("x", "y", "z", "frame"))}


def rewrite(path, out):
    rows = load_thunderstorm_csv(path)
    save_dataset_as_thunderstorm_csv(rows, out)
    return len(rows)


print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
