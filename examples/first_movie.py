"""A first movie: simulate, localize, evaluate, draw.

The built-in model `tetrapod` finds the molecules of two simulated frames. Each frame shows wide spots that
overlap; their shape tells the depth.
"""

import deepstorm3d as ds

# 1. A model knows the set-up that it was trained for: the mask, the light, the pixels and the depths.
# Simulate what its camera would record: 16-bit counts, and the molecules that are really there.
model = ds.load_model("tetrapod", device="cpu")
print(model)
experiment = model.experiment.with_(scenes={"bright": model.experiment.scene("bright")})
movie, truth = ds.simulate(experiment, frames=2, emitters=15, seed=1)
print(movie.shape, movie.dtype)
print(truth)

# 2. Localize. The network proposes molecules, and all molecules of a frame are fitted jointly; `refine=False`
# would leave out the fit, which is faster and less accurate. Each row has a position, photons, background and
# their σ.
found = model.localize(movie)
print(found)

# 3. Compare with the truth: a detection is a hit where it lies within 150 nm of a molecule in 3D.
result = ds.evaluate(found, truth)
print(result)
ds.plot.comparison(truth, found, frame=0).savefig("comparison.png")

# 4. The first frame with its localizations, coloured by depth, and the true molecules as open circles.
pixel_um = experiment.microscope.pixel_um
picture = ds.plot.overlay(
    movie[0], found[found.frame == 0], pixel_um=pixel_um, truth=truth[truth.frame == 0], title="Frame 0"
)
picture.savefig("frame.png")
