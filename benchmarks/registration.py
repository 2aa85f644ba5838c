"""Registration of two channels on simulated lists: the transform's error against what its pairs allow.

The lists of the tests (tests/two_channels.py): turned by 3°, 1.02 times as large, second-degree terms of 200 nm
at the edge, mirrored in every second list, σ 20 nm laterally, 30 % of the rows of each list false,
nothing known beforehand. --seeds lists a row. "error": of the found transform, rms over the field of 26 µm;
"allowed": σ √(24 / N), what N right pairs leave of the twelve coefficients of the second degree on average over
the pairs; "stated": the standard error that the program tells. "refused": lists that are not of one recording.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import statistics
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from deepstorm3d.calibration.registration.registration import ChannelList, register_lists
from deepstorm3d.errors import InputError
from harness import arguments_of, report

# Molecules, and how many of them in a frame.
CASES = ((20, 1), (20, 20), (50, 5), (200, 10), (200, 200), (1000, 10), (1000, 50), (5000, 25))


def scenes() -> ModuleType:
    """The two channels of the tests, by their file."""
    path = Path(__file__).parents[1] / "tests" / "two_channels.py"
    spec = importlib.util.spec_from_file_location("two_channels", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["two_channels"] = module
    spec.loader.exec_module(module)
    return module


def judged(simulated: ModuleType, pairs: int, in_frame: int, seeds: int) -> dict[str, Any]:
    errors, stated, degrees, refused, seconds = [], [], [], 0, 0.0
    for seed in range(seeds):
        scene = simulated.TwoChannels(pairs, in_frame, mirrored=bool(seed % 2), seed=1000 + seed)
        first, second = scene.lists()
        begin = time.process_time()
        try:
            found = register_lists(ChannelList(first), ChannelList(second))
        except InputError:
            continue
        seconds += time.process_time() - begin
        errors.append(1000 * simulated.error_um(found.transform, scene.transform()))
        stated.append(found.error_nm)
        degrees.append(found.transform.degree)
        _, other = simulated.TwoChannels(pairs, in_frame, seed=5000 + seed).lists()
        try:
            register_lists(ChannelList(first), ChannelList(other))
        except InputError:
            refused += 1
    return {
        "pairs": pairs,
        "in a frame": in_frame,
        "found": f"{len(errors)} of {seeds}",
        "error, median nm": round(statistics.median(errors), 2),
        "largest": round(max(errors), 2),
        "allowed": round(1000 * 0.02 * math.sqrt(24 / pairs), 2),
        "stated, median": round(statistics.median(stated), 2),
        "degree 2": f"{degrees.count(2)} of {len(degrees)}",
        "wrong recordings refused": f"{refused} of {len(errors)}",
        "s": round(seconds / max(len(errors), 1), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="lists of each case (default: 10)")
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.seeds = 2
    simulated = scenes()
    rows = [judged(simulated, pairs, in_frame, arguments.seeds) for pairs, in_frame in CASES]
    report("Registration of two channels", rows, arguments)


if __name__ == "__main__":
    main()
