"""Molecules added to frames by compiled code, and when that code can take the place of PyTorch."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .tabulated import TabulatedPSF

if TYPE_CHECKING:
    from .compiled import Array, Molecules
    from .compiled_spline import Spline
    from .psf import Images

__all__ = ["add_molecules", "can_compile", "molecules_of"]

_HAS_NUMBA = importlib.util.find_spec("numba") is not None


def can_compile(psf: Images, *values: Tensor | None) -> bool:
    """Whether compiled code can compute with these values: tabulated PSF, single precision, CPU, no gradients.

    Numba is installed with the program; where it cannot be, PyTorch does the work.
    """
    known = [value for value in values if value is not None]
    plain = all(value.device.type == "cpu" and value.dtype == torch.float32 for value in known)
    learning = torch.is_grad_enabled() and any(value.requires_grad for value in known)
    return _HAS_NUMBA and plain and not learning and isinstance(psf, TabulatedPSF)


def molecules_of(psf: Images, xyz: Tensor, photons: Tensor, blur_px: Tensor | None) -> tuple[Spline, Molecules]:
    """The compiled form of a tabulated PSF, and of molecules: xyz (N, 3) µm, photons, blur (N,), px or None."""
    from .compiled import Molecules
    from .compiled_spline import spline_of

    assert isinstance(psf, TabulatedPSF)
    weights = psf.position_weights(xyz)
    shares = np.ones((len(xyz), 1)) if weights is None else weights.double().numpy()
    blur = torch.full_like(photons, psf.own_blur_px) if blur_px is None else blur_px
    places = torch.cat([xyz, photons[:, None], blur[:, None]], 1).double().numpy()
    return spline_of(psf), Molecules(places, shares)


def add_molecules(spline: Spline, molecules: Molecules, frame: Tensor, begin: Array, images: Tensor) -> None:
    """Add molecules to images (B, H, W), in place, in as many threads as PyTorch uses.

    frame: (N,) int64;  begin: (B, 2) column and row of each frame's first pixel, where positions are measured.
    A frame is drawn by one thread in the order of its molecules: the image does not depend on the threads.
    """
    from .compiled import expected_frames

    order = torch.argsort(frame, stable=True)
    sorted_frames, rows = frame[order].numpy(), order.numpy()
    places, shares = molecules.places[rows], molecules.shares[rows]
    threads = min(torch.get_num_threads(), len(images))
    ends = (
        np.searchsorted(sorted_frames, np.linspace(0, len(images), threads + 1)[1:])
        if threads > 1
        else [len(rows)]
    )

    def draw(first: int, last: int) -> None:
        part = type(molecules)(places[first:last], shares[first:last])
        expected_frames(spline, part, sorted_frames[first:last], begin, images.numpy())

    starts = [0, *ends[:-1]]
    if threads <= 1:
        draw(0, len(rows))
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(draw, starts, ends))
