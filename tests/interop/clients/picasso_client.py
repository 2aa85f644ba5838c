"""What Picasso reads and writes; positions in its pixels, z and lpz in nm."""

import json
import sys

import numpy as np
import pandas
from picasso import gausslq, io, localize


def columns(locs):
    return {name: np.asarray(locs[name]).astype(float).tolist() for name in locs.columns}


def read(path):
    locs, info = io.load_locs(path)
    return columns(locs) | {"pixel_nm": [part["Pixelsize"] for part in info if "Pixelsize" in part][-1]}


def read_thunderstorm(path, pixel_nm):
    return columns(io.import_ts(path, float(pixel_nm))[0])


def rewrite(path, out):
    """Load a table and save it as Picasso does."""
    locs, info = io.load_locs(path)
    io.save_locs(out, locs, info)
    return len(locs)


def export_thunderstorm(path, out):
    locs, info = io.load_locs(path)
    io.export_thunderstorm(out, locs, info)
    return len(locs)


def fit(movie):
    """Gaussian least squares on spots of frames (N, H, W) in photons: column and row in pixels."""
    frames = np.load(movie)
    camera = {"Gain": 1, "Sensitivity": 1, "Baseline": 0, "Qe": 1}
    found = localize.identify(frames, 1000, 11, threaded=False, return_info=False)
    spots = localize.get_spots(frames, found, 11, camera)
    theta = gausslq.fit_spots(spots)
    return columns(gausslq.locs_from_fits(found, theta, 11, False))


def fit_spline(spots, calibration):
    """Spline fit of spots (N, h, w) in photons: x, y in pixels from the spot's first, z in nm, photons."""
    spots, spline = np.load(spots), io.load_spline_calibration(calibration)
    theta = localize.fit_spots_spline(spots.astype(np.float32), spline, mle=True, use_gpu=False)
    box, nothing = spots.shape[1], np.zeros(len(spots))
    where = {"frame": np.arange(len(spots)), "x": nothing + box // 2, "y": nothing + box // 2}
    found = pandas.DataFrame(where | {"net_gradient": nothing})
    return columns(localize.locs_from_fits_spline(found, theta, box, False, spline, mle=True))


print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
