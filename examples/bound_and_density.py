"""What a crowd costs: the limit of a set-up against light and density.

Where images overlap, each molecule's position is harder to tell, however good the program is. The joint bound
counts that: all molecules of a frame and its background are estimated together.
"""

import deepstorm3d as ds

# 1. The set-up of the quick start: an astigmatic lens, 5,000 photons over 20 per pixel, 64×64 pixels. `Sweep`
# says at how many depths, and for how many molecules in a frame, the bound is computed.
experiment = ds.preset("quickstart")
report = ds.limit(experiment, sweep=ds.Sweep(depths=21, emitters=(2, 5, 10, 20, 40), molecules=80))

# 2. The median bound of the molecules in a frame, alone and in the crowd.
bounds = report.masks[0]
alone = bounds.depth.sigma_nm
print(f"alone: σ from {alone.min():.0f} to {alone.max():.0f} nm over the depth")
for density, (x, y, z) in zip(bounds.median.at, bounds.median.sigma_nm, strict=True):
    print(f"{density:4.2f} per µm²: σ of x, y, z {x:3.0f}, {y:3.0f}, {z:3.0f} nm in the crowd")

# 3. All of it in one picture.
ds.plot.limit(report).savefig("limit.png")
