"""Retrieve a phase mask from a stack of beads.

The mask in the microscope is never quite the design: lenses and the mask itself have aberrations. A z-stack of
beads shows what the phase really is. Here the stack is simulated, so that the phase found can be compared with
the true one.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import deepstorm3d as ds
from deepstorm3d.calibration.beads.simulated import BeadScene, aberrated_mask, draw_stack
from deepstorm3d.optics.masks import AstigmaticMask
from deepstorm3d.optics.scalar import ScalarPSFSpec

# 1. A set-up with an astigmatic mask of few pixels, which keeps this example short. The true mask is that
# design with random aberrations of 40 nm rms added.
base = ds.preset("quickstart")
experiment = base.with_(
    microscope=base.microscope.with_(mask_pitch=120.0),
    mask=AstigmaticMask(),
    psf=ScalarPSFSpec(patch_px=21, blur_px=0.9),
)
true_mask = aberrated_mask(experiment, rms_um=0.04, seed=3)

# 2. Two beads of 200 nm on the coverslip; the objective moves from -1 µm to 1 µm in 17 slices.
slices, first_um, step_um = 17, -1.0, 0.125
places_um = experiment.microscope.pixel_um * torch.tensor([[20.2, 20.7], [55.4, 22.1]])
photons = torch.tensor([10_000.0, 8_000.0]).expand(slices, 2)
focus_um = first_um + step_um * torch.arange(slices)
scene = BeadScene(focus_um, places_um, photons, size=(42, 76), blur_px=0.9)
stack = draw_stack(experiment, true_mask, scene, seed=1).numpy().astype(np.uint16)
print(f"stack (slices, height, width) {stack.shape}, up to {stack.max()} counts")

# 3. Retrieve the mask. The design in the experiment is the initial guess; how the stack was recorded is said by
# `ds.BeadSettings`.
recorded = ds.BeadSettings(step_um=step_um, first_um=first_um, bead_um=0.2)
found = ds.retrieve_mask(stack, experiment, recorded)
figures = found.figures
print(f"beads: {figures['beads']}, images used: {figures['images_used']} of {figures['images']}")
print(f"deviance over that of the noise alone: {figures['deviance_over_noise']:.2f} (1 is perfect)")
print(f"the phase differs from the design by {figures['phase_over_design_nm_rms']:.0f} nm rms")

# 4. The picture that `deepstorm3d retrieve-mask` writes. Below on the right each slice is localized with the
# phase found; the black line should stay within a few nm of 0.
ds.plot.retrieval(found).savefig("retrieval.png")

# 5. Beads tell a phase but for a constant and a tilt, which only moves the images. Without those two, what is
# left of the aberrations?
truth, phase = true_mask().detach().numpy(), found.phase.numpy()
row, column = np.indices(truth.shape) - (len(truth) - 1) / 2
scope = experiment.microscope
inside = scope.mask_pitch * np.hypot(row, column) <= scope.aperture_radius
plane = np.stack([np.ones(inside.sum()), row[inside], column[inside]], axis=1)


def without_tilt(difference):
    """A phase difference inside the aperture without its constant and tilt, NaN outside."""
    flat = np.full(truth.shape, np.nan)
    flat[inside] = difference[inside] - plane @ np.linalg.lstsq(plane, difference[inside], rcond=None)[0]
    return flat


design = ds.mask(experiment)
before, after = without_tilt(design - truth), without_tilt(phase - truth)
print(f"rms phase error of the design {np.sqrt(np.nanmean(before**2)):.2f} rad, ", end="")
print(f"of the mask found {np.sqrt(np.nanmean(after**2)):.2f} rad")

# 6. The errors of both phases on one scale.
figure, panels = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
for axes, error, name in zip(panels, (before, after), ("design", "mask found"), strict=True):
    axes.imshow(error, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set(title=f"{name} − true mask", xlabel="column (mask px)", ylabel="row (mask px)")
figure.colorbar(panels[0].images[0], ax=panels, label="phase (rad)")
figure.savefig("errors.png")
