"""What smappy reads and writes; nm."""

import json
import sys

import numpy as np
from smappy.io import formats
from smappy.io.calibration import load_spline_calibration, save_spline_calibration
from smappy.psf import SplinePSF


def read(path):
    locs, info = formats.load(path)
    columns = {name: np.asarray(locs[name]).astype(float).tolist() for name in locs.columns}
    return columns | {"pixel_nm": info.pixelsize_nm}


def rewrite(path, out):
    locs, _ = formats.load(path)
    formats.save(locs, out)
    return len(locs)


def fit_spline(spots, calibration):
    """Spline fit of spots (N, h, w) in photons: x, y in pixels from the spot's first, z in nm, photons."""
    spline = load_spline_calibration(calibration)
    model = SplinePSF(spline)
    found = model.unpack(model.fit(np.ascontiguousarray(np.load(spots), np.float32), 100, 1))
    return {"pixel_um": np.ravel(spline.pixelsize_um).tolist() if spline.pixelsize_um is not None else []} | {
        name: found[column].astype(float).tolist()
        for name, column in (("x", "x_roi"), ("y", "y_roi"), ("z", "z_nm"), ("photons", "photons"))
    }


def resave_spline(path, out):
    save_spline_calibration(out, load_spline_calibration(path))
    return out


print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
