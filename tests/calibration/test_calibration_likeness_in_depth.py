"""A bead on the coverslip, seen at another focus, stands for a molecule at a depth."""

from __future__ import annotations

import torch

from deepstorm3d.calibration.beads.stage_range import travel_for_depths
from deepstorm3d.calibration.measured_psf.depth_matching import depths_that_look_alike
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.exact import ExactPSF

BEAD_UM = 0.05


def set_up(n_sample: float) -> tuple[ExactPSF, torch.Tensor, torch.Tensor]:
    """PSF, focal planes, and the depths that they stand for by defocus alone."""
    base = preset("quickstart")
    optics = base.microscope.with_(n_sample=n_sample, mask_pitch=72.0)
    psf = build_psf(base.psf, optics, experiment_mask(base.with_(microscope=optics)), patch_px=31)
    low, high = travel_for_depths(optics, (0.0, 1.0), BEAD_UM, "objective")
    depth = torch.linspace(-0.1, 1.2, 27, dtype=torch.float64)
    return psf, optics.focus - (high - low) * (depth - BEAD_UM), depth


def test_with_one_index_throughout_the_objective_s_way_is_the_depth() -> None:
    psf, focus, depth = set_up(1.515)
    found = depths_that_look_alike(psf, focus, BEAD_UM, depth, 1.0)
    # Found on a grid of 20 nm, and smoothed.
    assert float((found - depth).abs().max()) < 0.012


def test_in_water_a_molecule_at_the_depth_found_is_more_like_the_bead() -> None:
    psf, focus, depth = set_up(1.33)
    found = depths_that_look_alike(psf, focus, BEAD_UM, depth, 1.0)
    # What spherical aberration does: measured, 0.1 µm at 1 µm.
    at_one = int((depth - 1.0).abs().argmin())
    assert 0.04 < float(found[at_one] - depth[at_one]) < 0.25

    def images(z: torch.Tensor, focus: torch.Tensor | None = None) -> torch.Tensor:
        xyz = torch.nn.functional.pad(z.float()[:, None], (2, 0))
        return psf(xyz, focus_um=None if focus is None else focus.float()).values.flatten(1)

    beads = images(torch.full_like(depth, BEAD_UM), focus)
    alike = [torch.nn.functional.cosine_similarity(images(z), beads) for z in (depth, found)]
    deep = depth > 0.5
    assert float((alike[1] - alike[0])[deep].min()) > -1e-3
    assert float((alike[1] - alike[0])[deep].mean()) > 0.003


def test_a_way_that_would_turn_back_is_left_as_it_was_guessed() -> None:
    psf, focus, depth = set_up(1.33)
    # Slices said to stand for depths in the reverse order resemble nothing where they are looked for.
    turned = depth.flip(0) * 0.02 + 0.5
    found = depths_that_look_alike(psf, focus, BEAD_UM, turned, 1.0)
    assert torch.equal(found, turned)
