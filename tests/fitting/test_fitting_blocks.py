"""Small matrices of very unlike entries: inverted in single precision as well as in double."""

from __future__ import annotations

import torch

from deepstorm3d.fitting.blocks import pseudo_inverse

# Information per µm² about x, y, z and per photon² about the photons, as a bright molecule gives it.
UNLIKE = torch.tensor([8e4, 6e4, 5e3, 8e-6], dtype=torch.float64)


def unlike_blocks(eigenvalues: list[float]) -> torch.Tensor:
    """Symmetric matrices (20, 4, 4) with these eigenvalues, then scaled to the entries of `UNLIKE`."""
    turned, _ = torch.linalg.qr(torch.randn(20, 4, 4, generator=torch.Generator().manual_seed(0)).double())
    scale = UNLIKE.sqrt()
    return (turned * torch.tensor(eigenvalues).double()) @ turned.mT * scale[:, None] * scale


def test_the_photons_are_not_dropped_in_single_precision() -> None:
    blocks = unlike_blocks([1.5, 1.2, 0.8, 0.2])
    exact = torch.linalg.inv(blocks)
    found = pseudo_inverse(blocks.float()).double()
    scale = exact.diagonal(dim1=1, dim2=2).sqrt()
    error = (found - exact) / scale[:, :, None] / scale[:, None]
    assert float(error.abs().max()) < 1e-4


def test_a_direction_without_information_is_left_out() -> None:
    blocks = unlike_blocks([1.5, 1.2, 0.8, 0.0])
    for given, accuracy in ((blocks, 1e-9), (blocks.float(), 1e-3)):
        found = pseudo_inverse(given)
        again = (given @ found @ given).double()
        scale = UNLIKE.sqrt()
        error = (again - blocks) / scale[:, None] / scale
        assert float(error.abs().max()) < accuracy
    assert not bool(pseudo_inverse(torch.zeros(2, 4, 4)).any())
