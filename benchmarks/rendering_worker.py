"""One renderer in a process of its own, for `rendering_speed.py`: renders once for every line it is sent.

Run by the Python of the environment that has the renderer. It answers each line with one line of JSON: seconds
on the clock and of the processor, peak memory of the process so far (bytes), and the sum of the image; on "save
PATH" it writes the last image there.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CAMERA_PIXEL_NM = 100.0


def ours(name: str, points: np.ndarray, pixel_nm: float, field_um: float) -> Callable[[], Any]:
    """A renderer of this package: the view from above, without colours."""
    from deepstorm3d.rendering.canvas import Canvas
    from deepstorm3d.rendering.gaussians import Gaussians
    from deepstorm3d.rendering.histograms import ShiftedHistogram
    from deepstorm3d.rendering.sections import Cloud

    xyz = np.zeros((len(points), 3))
    sigma = np.zeros((len(points), 3), np.float32)
    xyz[:, :2], sigma[:, :2] = points[:, :2], points[:, 2:]
    method = {
        "histogram": ShiftedHistogram(1),
        "average shifted histogram": ShiftedHistogram(2),
        "gaussian, each its own": Gaussians(),
        "gaussian, one for all": Gaussians(blur_um=float(np.median(points[:, 2:]))),
    }[name]
    canvas, palette = Canvas.over((0, 0, field_um, field_um), pixel_nm / 1000), np.ones((1, 1), np.float32)
    return lambda: method.draw(canvas, Cloud(xyz, sigma).blocks(("y", "x"), palette), 1)[0]


def picassos(name: str, points: np.ndarray, pixel_nm: float, field_um: float) -> Callable[[], Any]:
    """Picasso's renderer, as its own window calls it."""
    import pandas
    from picasso import render

    camera = CAMERA_PIXEL_NM / 1000
    size = round(field_um / camera)
    columns = (points / camera).astype(np.float32).T
    locs = pandas.DataFrame(dict(zip(("x", "y", "lpx", "lpy"), columns, strict=True)))
    locs["frame"] = np.zeros(len(locs), np.uint32)
    info = [{"Width": size, "Height": size, "Frames": 1, "Pixelsize": CAMERA_PIXEL_NM}]
    blur = {"None": None}.get(name, name)
    return lambda: render.render(
        locs,
        info,
        disp_px_size=pixel_nm,
        viewport=((0, 0), (size, size)),
        blur_method=blur,
        min_blur_width=0.5 * pixel_nm / CAMERA_PIXEL_NM,
    )[1]


def peak_memory() -> int:
    """Most memory that this process has held, bytes.

    Linux counts in `getrusage` what the parent held when it started the process, so its own account comes
    first.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (each for each in status.read_text().splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    program, name, data, threads, pixel_nm, field_um = sys.argv[1:]
    points = np.load(data)
    if program == "deepstorm3d":
        import torch

        torch.set_num_threads(int(threads))
    make = {"deepstorm3d": ours, "picasso": picassos}[program]
    work = make(name, points, float(pixel_nm), float(field_um))
    image = np.zeros(0)
    for line in sys.stdin:
        if line.startswith("save "):
            np.save(Path(line[5:].strip()), image)
            print("{}", flush=True)
            continue
        wall, processor = time.perf_counter(), time.process_time()
        image = work()
        said = {
            "seconds": time.perf_counter() - wall,
            "processor": time.process_time() - processor,
            "peak": peak_memory(),
            "sum": float(image.sum(dtype=float)),
        }
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
