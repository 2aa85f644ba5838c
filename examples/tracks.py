"""Moving molecules: trajectories and diffusion.

Forty molecules diffuse through 60 frames, and each is localized with an error. Following them from frame to
frame tells the diffusion coefficient and the error, without knowing either.
"""

from dataclasses import replace

import torch

import deepstorm3d as ds

# 1. Free diffusion at 0.05 µm²/s, a frame every 50 ms, localized with an error of 20 nm in x and y and 40 nm
# in z.
diffusion, interval = 0.05, 0.05
generator = torch.Generator().manual_seed(1)
step = (2 * diffusion * interval) ** 0.5
start = torch.rand(40, 1, 3, generator=generator) * torch.tensor([16.0, 16.0, 2.0])
walk = start + (step * torch.randn(40, 60, 3, generator=generator)).cumsum(1)
sigma = torch.tensor([0.02, 0.02, 0.04])
seen = (walk + sigma * torch.randn(40, 60, 3, generator=generator)).reshape(-1, 3)
frame = torch.arange(60).repeat(40)
found = ds.Localizations.proposals(seen, frame, torch.ones(len(seen)))
found = replace(found, sigma_xyz=sigma.expand(len(seen), 3), sigma_source="fit").sort()

# 2. Follow them. The search range is taken from the list itself.
tracked = ds.track(found, timing=ds.FrameTiming(interval))
result = tracked.diffusion
print(tracked.localizations)
print(f"D = {result.coefficient:.4f} ± {result.coefficient_error:.4f} µm²/s (true: {diffusion})")
for name, axis in zip("xyz", result.axes, strict=True):
    print(f"{name}: D = {axis.coefficient:.4f} µm²/s, error of a position {1000 * axis.sigma_um:.0f} nm")

# 3. Trajectories, coloured by time, and how far the molecules get.
ds.plot.tracks(tracked.localizations, interval_s=interval, title="Free diffusion").savefig("tracks.png")
