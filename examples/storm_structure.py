"""A STORM movie of mitochondria: simulated, localized, rendered.

Molecules on the membranes of winding tubes blink through 40 frames. The network alone localizes them in
seconds; the rendering shows the tubes, coloured by depth.
"""

import deepstorm3d as ds

# 1. Put the molecules on a structure, and let them blink. Each molecule is bright for some frames, then dark.
model = ds.load_model("tetrapod", device="cpu")
experiment = model.experiment.with_(scenes={"bright": model.experiment.scene("bright")})
movie, truth = ds.simulate(experiment, frames=40, emitters=30, specimen="mitochondria", seed=4)
print(truth)

# 2. Localize without the joint fit: fast enough to look at every frame as it is recorded.
found = model.localize(movie, refine=False)
print(found)
print(ds.evaluate(found, truth))

# 3. Render: hue is depth, brightness the density of localizations.
ds.plot.rendering(found, pixel_nm=40, title="Found by the network").savefig("rendering.png")

# 4. The list in nine panels: what was measured, how well, how deep, how crowded.
ds.plot.quality(found).savefig("quality.png")
