"""A PSF and a camera of your own.

Each is a record with a `kind`, which answers for itself. Once it is registered, from outside the package, it is
read from experiment files and works in every verb: simulate, train, localize.
"""

import math
from typing import Literal

import torch

import deepstorm3d as ds
from deepstorm3d.camera import CAMERAS, CameraSpec, Noise, poisson
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.optics.psf import Patches, patch_corner
from deepstorm3d.optics.psf_kinds import PSF_KINDS
from deepstorm3d.optics.psf_spec import PSFSpec
from deepstorm3d.spec import quantity


# 1. A PSF says how the image of a molecule is computed: a patch of pixels for each position (N, 3) in µm, and
# where in the frame it lies. This one is a Gaussian that widens with depth.
class Spot:
    def __init__(self, spec, pixel_um, patch_px):
        self.spec, self.pixel_um, self.patch_px = spec, pixel_um, patch_px

    def __call__(self, xyz, blur_px=None):
        blur = torch.full_like(xyz[:, 0], self.spec.blur_px) if blur_px is None else blur_px
        corner, offset = patch_corner(xyz, self.pixel_um, self.patch_px)
        width = self.spec.waist_um / self.pixel_um * (1 + (xyz[:, 2] / self.spec.range_um).square()).sqrt()
        sigma = (width.square() + blur.square()).sqrt()[:, None, None]
        edges = torch.arange(self.patch_px + 1, dtype=xyz.dtype) - self.patch_px / 2
        below = torch.erf((edges - offset[:, :, None]) / (math.sqrt(2) * sigma)) / 2
        across, down = below.diff(dim=2).unbind(1)
        values = down[:, :, None] * across[:, None]
        return Patches(values, corner, values.sum((1, 2)))


# 2. Its record. Each number has a default, a unit, a meaning and a range, which files and messages show.
@PSF_KINDS.register
class SpotSpec(PSFSpec):
    """A spot without a mask."""

    kind: Literal["spot"] = "spot"
    waist_um: float = quantity(0.12, "µm", "Gaussian σ at the coverslip", gt=0)
    range_um: float = quantity(0.5, "µm", "depth at which it is wider by √2", gt=0)

    def images(self, microscope, source, *, patch_px=None, blur_px=None):
        return Spot(self, microscope.pixel_um, patch_px or self.patch_px)


# 3. A camera says what it records, how many photons that means, and how noisy its pixels are. This one leaks:
# each pixel adds electrons of its own at random.
@CAMERAS.register
class LeakyCamera(CameraSpec):
    """A camera that counts each photo-electron, with others of its own."""

    kind: Literal["warm"] = "warm"
    leak: float = quantity(4.0, "e-", "electrons of its own in each pixel, mean", ge=0)
    saturation: float = quantity(65535.0, "counts", "greatest count a pixel can give", gt=0)

    def expose(self, expected, generator, maps=None):
        return poisson(expected + self.leak, generator)

    def to_photons(self, counts, maps=None):
        return counts.float() - self.leak

    def pixel_noise(self, maps=None):
        return Noise(read_variance=self.leak)


# 4. An experiment with both, written to a file and read again.
experiment = ds.preset("quickstart").with_(psf=SpotSpec(patch_px=21), camera=LeakyCamera(leak=9.0))
ds.write_experiment(experiment, "mine.yaml")
experiment = ds.read_experiment("mine.yaml", ["camera.leak=6", "psf.waist_um=0.13"])
print(repr(experiment.psf), repr(experiment.camera), sep="\n")

# 5. Simulate, and train a small network: two steps, which teach nothing. Localizing by pursuit then relies on
# the image model alone: it fits one molecule after the other to what the others leave.
movie, truth = ds.simulate(experiment, frames=8, emitters=4, seed=3)
training = experiment.training.with_(batch=2, crop_px=24, validation_crops=4)
network = CoarseSpec(channels=8, skip=8, dilations=(1,))
model = ds.train(experiment.with_(network=network, training=training), steps=2, device="cpu")
found = model.localize(movie, method="pursuit")
print(ds.evaluate(found, truth))

# 6. A frame with what was found, and the truth.
picture = ds.plot.overlay(
    movie[0],
    found[found.frame == 0],
    pixel_um=experiment.microscope.pixel_um,
    truth=truth[truth.frame == 0],
    title="Your own PSF and camera",
)
picture.savefig("frame.png")
