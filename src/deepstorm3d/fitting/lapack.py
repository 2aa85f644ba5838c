"""Factors and inverses of several matrices: together on a GPU, one after the other on the processor."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["of_each"]

_SMALL = 32  # unknowns up to which LAPACK uses one thread


def of_each(function: Callable[[Tensor], Tensor], matrices: Tensor) -> Tensor:
    """What a function of LAPACK makes of matrices (…, n, n): as many of this size.

    Of several matrices of some hundred unknowns PyTorch's threads each call LAPACK, which uses threads as well:
    once `torch.set_num_threads` was called in a process, it reports errors or never returns (PyTorch 2.13 with
    MKL, two cores; `tests/fitting/test_fitting_lapack.py`).
    """
    if matrices.is_cuda or matrices.dim() == 2 or matrices.shape[-1] <= _SMALL:
        return function(matrices)
    each = matrices.flatten(0, -3)
    return torch.stack([function(matrix) for matrix in each]).view_as(matrices) if len(each) else matrices
