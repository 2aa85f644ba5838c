"""What the loader of napari-storm reads, without napari and Qt; its pixels, and nm where it says so."""

import json
import sys

import numpy as np
from napari_storm.localization_dataset_types.storm_class import StormDataClass


def read(path):
    table = StormDataClass()
    table = table.load_csv(path, "t")[0] if path.endswith(".csv") else table.load_hdf5(path, "t")
    rows = table.locs_all
    columns = {name: np.asarray(rows[name]).astype(float).tolist() for name in rows.dtype.names}
    return columns | {"pixel_nm": float(table.pixelsize_nm)}


print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
