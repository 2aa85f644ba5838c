"""Recognition of out-of-memory errors, whose form differs between libraries."""

from __future__ import annotations

import re

import torch

__all__ = ["is_out_of_memory"]

# torch has an exception class only for its own allocations on a GPU. Errors of CUDA's libraries (cuBLAS, cuFFT,
# cuDNN, cuSOLVER) are plain RuntimeErrors, and a failed initialization of one usually means a lack of memory.
# The CPU's allocator has two messages, one of them on Windows.
_MESSAGES = re.compile(
    r"out of memory|outofmemory|can't allocate memory|not enough memory|alloc(ation)?_failed|memory_?allocation"
    r"|cublascreate|status_not_initialized|unable to find an engine|unable to find a valid cudnn algorithm",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error was caused by a lack of memory, on the CPU or on a GPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and _MESSAGES.search(str(error)) is not None
