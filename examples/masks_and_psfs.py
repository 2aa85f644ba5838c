"""Phase masks and their PSFs through depth.

A mask in the Fourier plane makes the image of a molecule change its shape with depth. Here are some of the
masks that an experiment can name, each with its phase and the PSF at seven depths.
"""

import matplotlib.pyplot as plt
import numpy as np

import deepstorm3d as ds
from deepstorm3d.optics.masks import AstigmaticMask, DoubleHelixMask, TetrapodMask, ZeroMask

# 1. One microscope for all, its focal plane in the middle of the depths. An experiment and all that is in it
# are records: `with_` gives a changed copy.
experiment = ds.preset("telomeres")
scope = experiment.microscope.with_(focus=2.5)
experiment = experiment.with_(microscope=scope)
print(f"camera pixel {1000 * scope.pixel_um:.0f} nm, NA {scope.na}, light of {1000 * scope.wavelength:.0f} nm")

# 2. `ds.mask` gives the phase of a mask on its own pixels, `ds.psf` the image of a molecule at each depth, as
# fractions of its photons.
kinds = {
    "no mask": ZeroMask(),
    "astigmatic": AstigmaticMask(),
    "double helix": DoubleHelixMask(),
    "Tetrapod": TetrapodMask(),
}
depths = np.linspace(0.4, 3.6, 7)
phases, planes = {}, {}
for name, kind in kinds.items():
    setup = experiment.with_(mask=kind)
    phases[name], planes[name] = ds.mask(setup), ds.psf(setup, depths)
    brightest = ", ".join(f"{100 * plane.max():.1f}" for plane in planes[name])
    print(f"{name:12} {brightest} % of the light in the brightest pixel")

# 3. Each row is a mask; the square root of the light shows the faint parts too.
figure, rows = plt.subplots(4, 8, figsize=(10, 5.4), layout="constrained")
for row, name in zip(rows, kinds, strict=True):
    row[0].imshow(np.angle(np.exp(1j * phases[name])), cmap="twilight", vmin=-np.pi, vmax=np.pi)
    row[0].set_ylabel(name)
    for axes, plane in zip(row[1:], planes[name], strict=True):
        axes.imshow(np.sqrt(plane[24:-24, 24:-24].clip(0)), cmap="inferno")
for axes, depth in zip(rows[0, 1:], depths, strict=True):
    axes.set_title(f"z = {depth:.2f} µm", fontsize=9)
for axes in rows.flat:
    axes.set(xticks=[], yticks=[])
figure.savefig("psfs.png")

# 4. The mask alone; `ds.write_mask` writes it for MATLAB, Python or a modulator.
ds.write_mask("tetrapod.mat", phases["Tetrapod"])
ds.plot.mask(phases["Tetrapod"], pitch_um=scope.mask_pitch, title="Tetrapod mask").savefig("phase.png")
