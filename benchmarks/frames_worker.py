"""One tree's `localize` in a process of its own, for `frames_speed.py`: a pass over the frames for each line.

Run with PYTHONPATH set to the `src` of that tree. Arguments: file of frames (npz: "photons" or "counts", the
model file as "model", its mask as "mask", "" for none), threads, frames at a time. Each line it is sent is
answered with JSON: seconds a frame of the network (`Pipeline.propose`) and of all (`Pipeline.localize`), and
the number of molecules; on "save PATH" the last list (frame, x, y, z in µm) is written there.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.pipeline import load_pipeline


@torch.no_grad()
def main() -> None:
    data, threads, at_once = np.load(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    mask = Path(str(data["mask"])) if str(data["mask"]) else None
    pipeline = load_pipeline(load_model_file(Path(str(data["model"]))), mask=mask, refine=True)
    frames = torch.from_numpy(data["photons"] if "photons" in data else data["counts"]).float()
    photons = frames if "photons" in data else pipeline.to_photons(frames)
    rows = np.zeros((0, 4))
    for line in sys.stdin:
        if line.startswith("save "):
            np.save(line[5:].strip(), rows)
            print("{}", flush=True)
            continue
        seen = whole = 0.0
        lists = []
        for first in range(0, len(photons), at_once):
            part = photons[first : first + at_once]
            start = time.perf_counter()
            pipeline.propose(part)
            middle = time.perf_counter()
            found = pipeline.localize(part)
            seen, whole = seen + middle - start, whole + time.perf_counter() - middle
            lists.append(torch.cat([found.frame[:, None].double() + first, found.xyz.double()], 1))
        rows = torch.cat(lists).numpy()
        said = {"network": seen / len(photons), "all": whole / len(photons), "molecules": len(rows)}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
