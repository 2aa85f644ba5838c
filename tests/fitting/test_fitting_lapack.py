"""Several matrices at a time, after PyTorch was told a number of threads: right, and at an end."""

from __future__ import annotations

import subprocess
import sys

import torch

from deepstorm3d.fitting.lapack import of_each

_LARGE = """
import torch
from deepstorm3d.fitting.lapack import of_each
from deepstorm3d.fitting.matrices import damped_steps
torch.set_num_threads(2)
some = torch.randn(3, 160, 160, generator=torch.Generator().manual_seed(0)).double()
matrices = some @ some.mT / 160 + torch.eye(160).double()
for _ in range(20):
    inverse = of_each(lambda each: torch.linalg.inv_ex(each).inverse, matrices)
    assert float((inverse @ matrices - torch.eye(160)).abs().max()) < 1e-9
    step = damped_steps(matrices.clone(), some[:, 0], torch.zeros(3))
    assert float(((matrices @ step[:, :, None])[..., 0] - some[:, 0]).abs().max()) < 1e-3
"""


def test_large_matrices_after_a_number_of_threads_was_set() -> None:
    # In a process of its own, which is ended if it does not come to an end.
    subprocess.run([sys.executable, "-c", _LARGE], check=True, timeout=120, capture_output=True)


def test_it_is_what_the_function_makes_of_all() -> None:
    def inverse(each: torch.Tensor) -> torch.Tensor:
        return torch.linalg.inv_ex(each).inverse

    for shape in [(5, 5), (40, 40), (0, 40, 40), (2, 3, 40, 40), (4, 6, 6)]:
        some = torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()
        matrices = some @ some.mT + torch.eye(shape[-1])
        torch.testing.assert_close(of_each(inverse, matrices), inverse(matrices))
