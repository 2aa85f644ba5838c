"""One fitter in a process of its own, for `single_emitter.py`: fits all windows once for every line it is sent.

Run by the Python of the environment that has the fitter. It first says its version, or what is missing; then it
answers each line with one line of JSON: seconds on the clock and of the processor; on "save PATH" it writes the
places found there, (N, 3) µm from the middle of the window.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

Fit = Callable[[], np.ndarray]


def ours(windows: np.ndarray, about: dict[str, Any], threads: int) -> Fit:
    """The fit of `localize --method mle`, the window being the frame; the brightest spot of each."""
    import torch

    from deepstorm3d.experiment.optics import experiment_mask
    from deepstorm3d.fitting.likelihood import Likelihood
    from deepstorm3d.fitting.refine import Bounds
    from deepstorm3d.fitting.single import SingleFit
    from deepstorm3d.localizer.modelfile import load_model_file
    from deepstorm3d.localizing.pipeline import experiment_of

    torch.set_num_threads(threads)
    model, side = load_model_file(Path(about["model"])), about["side"]
    experiment = experiment_of(model)
    (low, high), blur = experiment.z_um, sum(experiment.blur_px) / 2
    z_um, blurs = (low - 0.2, high + 0.2), (blur, blur)
    mask = experiment_mask(experiment, phase=model.mask)
    psf = experiment.psf.with_(patch_px=side).tabulate(experiment.microscope, mask, z_um, blurs)
    fit = SingleFit(psf, Bounds(z_um, blur_px=blurs), experiment.z_um, apart_px=side)
    frames = torch.from_numpy(windows)
    middle = side // 2 * about["pixel_um"]

    def found() -> np.ndarray:
        table = fit(Likelihood(frames))
        table = table.select(torch.argsort(table.photons))
        places = np.full((len(frames), 3), np.nan)
        places[table.frame.numpy()] = table.xyz.numpy() - (middle, middle, 0.0)  # the brightest comes last
        return places

    return found


def picassos(windows: np.ndarray, images: np.ndarray, about: dict[str, Any], threads: int, starts: int) -> Fit:
    """Picasso's spline fit: the template is cut to the windows."""
    from picasso import localize, spline

    data = np.ascontiguousarray(images.transpose(2, 1, 0))  # x, y, z
    calibration = {
        "model": "spline-3d",
        "coefficients": spline.spline_coefficients(data),
        "n_intervals": [length - 1 for length in data.shape],
        "n_data": list(data.shape),
        "box": data.shape[0],
        "z_init": data.shape[2] / 2,
    }

    def found() -> np.ndarray:
        fitted = localize.fit_spots_splinefit(
            windows, calibration, mle=True, n_z_starts=starts, multiprocess=threads > 1
        )
        x, y, z = fitted[:, 1], fitted[:, 2], -fitted[:, 3]  # shifts from the template
        pixel, plane = about["pixel_um"], about["plane_um"]
        return np.stack([pixel * x, pixel * y, about["first_um"] + plane * z], 1)

    return found


def smappys(windows: np.ndarray, images: np.ndarray, about: dict[str, Any], threads: int, starts: int) -> Fit:
    """smappy's spline fit from several depths; of each window the likeliest."""
    from smappy.calibrate.core import spline_coefficients
    from smappy.io.calibration import SplineCalibration
    from smappy.psf import SplinePSF

    plane_nm, planes = 1000 * about["plane_um"], len(images)
    calibration = SplineCalibration(spline_coefficients(images), plane_nm, 0.0)
    depths = np.linspace(0.0, planes - 1, starts + 2)[1:-1] if starts > 1 else np.array([planes / 2])
    models = [SplinePSF(calibration, z_start_nm=float(calibration.z_index_to_nm(depth))) for depth in depths]
    middle = (windows.shape[1] - 1) / 2

    def found() -> np.ndarray:
        fits = [model.fit(windows, n_threads=threads) for model in models]
        best = np.argmax([fit.logl for fit in fits], 0)
        fitted = np.stack([fit.theta for fit in fits])[best, np.arange(len(windows))]
        place = about["pixel_um"] * (fitted[:, :2] - middle)
        return np.column_stack([place, about["first_um"] + about["plane_um"] * fitted[:, 4]])

    return found


def main() -> None:
    program, folder, threads, starts = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    about, arrays = json.loads((folder / "about.json").read_text()), np.load(folder / "windows.npz")
    windows, images = arrays["windows"], arrays["images"]
    if program == "deepstorm3d":
        from deepstorm3d import __version__

        fit, version = ours(windows, about, threads), f"deepstorm3d {__version__}"
    else:
        make, package = {"picasso": (picassos, "picassosr"), "smappy": (smappys, "smappy-smlm")}[program]
        fit, version = make(windows, images, about, threads, starts), f"{package} {metadata.version(package)}"
    print(json.dumps({"version": version}), flush=True)
    places = np.zeros((0, 3))
    for line in sys.stdin:
        if line.startswith("save "):
            np.save(Path(line[5:].strip()), places)
            print("{}", flush=True)
            continue
        wall, processor = time.perf_counter(), time.process_time()
        places = fit()
        said = {"seconds": time.perf_counter() - wall, "processor": time.process_time() - processor}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
