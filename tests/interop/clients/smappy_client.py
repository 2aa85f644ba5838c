"""What smappy reads and writes; nm."""

import json
import sys

import numpy as np
from smappy.io import formats


def read(path):
    locs, info = formats.load(path)
    columns = {name: np.asarray(locs[name]).astype(float).tolist() for name in locs.columns}
    return columns | {"pixel_nm": info.pixelsize_nm}


def rewrite(path, out):
    locs, _ = formats.load(path)
    formats.save(locs, out)
    return len(locs)


print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
