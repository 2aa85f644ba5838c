"""What locan reads and writes; as in the files, without conversion."""

import json
import sys

import locan
from locan.locan_io.locdata.decode_io import load_decode_file
from locan.locan_io.locdata.smap_io import load_SMAP_file, save_SMAP_csv
from locan.locan_io.locdata.thunderstorm_io import load_thunderstorm_file, save_thunderstorm_csv

LOAD = {"thunderstorm": load_thunderstorm_file, "decode": load_decode_file, "smap": load_SMAP_file}
SAVE = {"thunderstorm": save_thunderstorm_csv, "smap": save_SMAP_csv}


def read(kind, path):
    data = LOAD[kind](path).data
    return {name: data[name].astype(float).tolist() for name in data.columns}


def rewrite(kind, path, out_kind, out):
    table = LOAD[kind](path)
    SAVE[out_kind](table, out)
    return len(table)


assert locan.__version__
print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
