"""The life of a list: filter, link, correct the drift, measure the resolution, render.

What happens after the localization needs no images, only the list. Here the list is made from molecules on
filaments that blink while the specimen creeps away by a third of a micrometre.
"""

from dataclasses import replace

import torch

import deepstorm3d as ds
from deepstorm3d.emitters import Localizations

# 1. Blinking molecules on filaments, from the simulator; the frames themselves are not needed. Each position
# gets the error of a real localization: 15 nm in x and y, 30 nm in z.
experiment = ds.preset("quickstart")
_, truth = ds.simulate(
    experiment,
    frames=600,
    emitters=10,
    specimen=ds.Specimen(structure="filaments", drift_um=(0.3, 0.2, 0.05)),
    seed=2,
)
sigma = torch.tensor([0.015, 0.015, 0.030]).expand(len(truth), 3)
noise = torch.randn(len(truth), 3, generator=torch.Generator().manual_seed(3))
raw = Localizations.proposals(truth.xyz + sigma * noise, truth.frame, torch.ones(len(truth)))
raw = replace(raw, sigma_xyz=sigma, photons=truth.photons, sigma_source="fit")
print(raw)

# 2. Filter by what the columns say, here the depth: the ends of its range are left out. Conditions are read
# as in the command `filter`.
kept = ds.filter(raw, "z_nm > 250 & z_nm < 950 & sigma_z_nm < 40")
print(f"{len(kept):,} of {len(raw):,} rows kept")

# 3. Estimate the drift from the list itself, and take it away.
drift = ds.drift(kept, frames=600)
fixed = drift.apply(kept)
ds.plot.drift(drift.curve, title="Drift, estimated from the list").savefig("drift.png")

# 4. Link: a molecule that shines through several frames becomes one row.
linked = ds.link(fixed)
print(linked)

# 5. What does the list resolve? Fourier ring correlation of two halves, in x–y and in the planes with z.
report = ds.resolution(fixed, block_frames=50)
for plane, correlation in report.correlations.items():
    print(f"{plane}: {1000 * correlation.resolution_um:.0f} nm")

# 6. Before and after.
ds.plot.rendering(kept, title="As localized").savefig("before.png")
ds.plot.rendering(linked, title="Corrected and linked").savefig("after.png")
