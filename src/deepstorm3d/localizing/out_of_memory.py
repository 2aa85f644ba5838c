"""How to tell that an error means a lack of memory: each library says it in its own way."""

from __future__ import annotations

import re

import torch

__all__ = ["is_out_of_memory"]

# torch has a class for its own allocations on a GPU only. Those of CUDA's libraries (cuBLAS, cuFFT, cuDNN,
# cuSOLVER) arrive as plain RuntimeErrors, and a library that cannot be set up lacks memory as a rule; the CPU's
# allocator has two wordings, one of them on Windows.
_WORDS = re.compile(
    r"out of memory|outofmemory|can't allocate memory|not enough memory|alloc(ation)?_failed|memory_?allocation"
    r"|cublascreate|status_not_initialized|unable to find an engine|unable to find a valid cudnn algorithm",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory was short, on the CPU or on a GPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and _WORDS.search(str(error)) is not None
