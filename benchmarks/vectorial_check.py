"""The vectorial PSF against psf-generator (an independent program, MIT), by reciprocity.

psf-generator 0.1.0 computes the field E(r) at the focus of a lens into which a beam of uniform polarization
falls (Richards & Wolf 1959). By reciprocity the amplitude that a dipole p at r sends through a polarizer along
x to the middle of the image is E(r)·p, where E is the focus of a beam polarized along x. Without an interface,

  |E_x|² + |E_y|² + |E_z|² of the x beam   is a freely turning dipole's image behind a polarizer along x,
  |E_z|² of the x beam and of the y beam   together that of a dipole along the axis without a polarizer,

and so on for other dipoles, at any depth (a flat mask's image is its own at 180°). Each image is scaled to a
sum of 1 over the patch, and the greatest difference given in parts of the peak. Without an interface the
critical angle is not tested: that is done by radial integrals in tests/physics/test_physics_vectorial.py.

Needs psf-generator: pip install --no-deps psf-generator zernikepy
"""

from __future__ import annotations

import argparse

import torch
from psf_generator.propagators.vectorial_cartesian_propagator import VectorialCartesianPropagator
from psf_generator.propagators.vectorial_spherical_propagator import VectorialSphericalPropagator
from torch import Tensor

from deepstorm3d.optics.masks import ZeroMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.vectorial import DipoleSpec, VectorialPSF
from harness import arguments_of, report

SIDE, INDEX = 41, 1.518
DEPTHS = (0.0, 0.3, 0.8)
ALONG_AXIS, ALONG_X, ALONG_Y = (0.0, 0.0), (90.0, 0.0), (90.0, 90.0)
# Magnification so large that the sine condition on the camera's side changes nothing.
OPTICS = Microscope(
    n_immersion=INDEX, n_sample=INDEX, magnification=500.0, camera_pitch=55.0, focal_length=7.5e5, focus=0.0
)
# Name of the molecules; which of |E_x|², |E_y|², |E_z|² of which beams make their image.
CASES: dict[str, tuple[DipoleSpec, str, list[int]]] = {
    "free, no polarizer": (DipoleSpec(), "xy", [0, 1, 2]),
    "free, polarizer x": (DipoleSpec(polarizer="x"), "x", [0, 1, 2]),
    "free, polarizer y": (DipoleSpec(polarizer="y"), "y", [0, 1, 2]),
    "along the axis": (DipoleSpec(dipole=ALONG_AXIS), "xy", [2]),
    "along x": (DipoleSpec(dipole=ALONG_X), "xy", [0]),
    "along y, polarizer x": (DipoleSpec(dipole=ALONG_Y, polarizer="x"), "x", [1]),
}


def focal_intensity(propagator: type, beam: str, depth_um: float, pupil_px: int) -> Tensor:
    """|E_x|², |E_y|², |E_z|² at a distance from the focus: (3, side, side), rows down."""
    ready = propagator(
        n_pix_pupil=pupil_px,
        n_pix_psf=SIDE,
        wavelength=1000 * OPTICS.wavelength,
        na=OPTICS.na,
        pix_size=1000 * OPTICS.pixel_um * (SIDE - 1) / SIDE,  # its first and last pixel lie on the edges
        n_i=INDEX,
        n_i0=INDEX,
        apod_factor=True,
        defocus_step=1000 * depth_um,
        n_defocus=2,  # at −depth and depth
        e0x=float(beam == "x"),
        e0y=float(beam == "y"),
    )
    return ready.compute_focus_field()[1].abs().square().double()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments = arguments_of(parser)
    samples, oversampling = (101, 1) if arguments.quick else (801, 5)
    mask = ZeroMask().build(OPTICS)
    rows = []
    for name, (molecules, beams, components) in CASES.items():
        psf = VectorialPSF(OPTICS, mask, molecules, patch_px=SIDE, oversampling=oversampling)
        psf.chunk = 1
        for depth in DEPTHS:
            ours = psf(torch.tensor([[0.0, 0.0, depth]], dtype=torch.float64)).values[0]
            row: dict[str, object] = {"molecules": name, "depth µm": depth}
            for way in (VectorialCartesianPropagator, VectorialSphericalPropagator):
                parts = [focal_intensity(way, beam, depth, samples)[components].sum(0) for beam in beams]
                theirs = sum(parts[1:], parts[0])
                difference = ours / ours.sum() - theirs / theirs.sum()
                row[way.get_name()] = float(difference.abs().max() / (ours / ours.sum()).max())
            rows.append(row)
    report("Vectorial PSF against psf-generator: greatest difference over the peak", rows, arguments)


if __name__ == "__main__":
    main()
