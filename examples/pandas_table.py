"""From a pandas table to any format.

Every localization program writes its own table. deepstorm3d reads them all, converts origin, axes and units,
and writes them back: a table made by hand is enough.
"""

import numpy as np
import pandas as pd

import deepstorm3d as ds

# 1. A table of your own: name the unit in each column's name, and any column order will do.
rng = np.random.default_rng(0)
angle = rng.uniform(0, 2 * np.pi, 3000)
table = pd.DataFrame(
    {
        "frame": np.arange(1, 3001),
        "x [nm]": 3000 + 1500 * np.cos(angle) + rng.normal(0, 15, 3000),
        "y [nm]": 3000 + 1500 * np.sin(angle) + rng.normal(0, 15, 3000),
        "z [nm]": 400 + 300 * np.sin(3 * angle) + rng.normal(0, 30, 3000),
        "intensity [photon]": rng.gamma(3.0, 1000.0, 3000),
    }
)
table.to_csv("mine.csv", index=False)
print(table.head(3))

# 2. Read it. A table with such names is taken for one of ThunderSTORM, which counts from the corner of the
# first pixel and from frame 1; here the centre of the first pixel is 0, and so is the first frame. A file in
# nm does not say how large a camera pixel is: say so.
found = ds.read_table("mine.csv", pixel_um=0.1)
print(found)

# 3. Write it for Picasso, smappy and ThunderSTORM; `format` names one where the ending does not say enough.
for name in ("found.hdf5", "found.h5", "found.csv"):
    ds.write_table(name, found, pixel_um=0.1, frames=3000, shape=(64, 64))
    again = ds.read_table(name, pixel_um=0.1)
    print(
        f"{name:11} {len(again):,} rows, x differs by {abs(again['x_nm'] - found['x_nm']).max():.3f} nm at most"
    )

# 4. And back to pandas, where each column has its unit in its name.
frame = found.to_pandas()
print(frame[["frame", "x_nm", "y_nm", "z_nm", "photons"]].describe().round(1))
ds.plot.rendering(found, title="A table made by hand").savefig("rendering.png")
