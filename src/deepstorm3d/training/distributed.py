"""Training on several GPUs: torchrun starts one process for each, and gradients are averaged between them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["is_main_process", "process_group", "share_gradients", "stop_together"]


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the process group if torchrun started one; yields this process's device."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        torch.distributed.destroy_process_group()


def rank() -> int:
    """Index of this process in its group; 0 without a group."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def is_main_process() -> bool:
    """Whether this process validates, writes files and reports to the user."""
    return rank() == 0


def share_gradients(module: nn.Module) -> nn.Module:
    """Wrap a module so that its gradients are averaged over the group; without a group return it unchanged."""
    # The image model's tables are equal in all processes; sending them would take longer than the step itself.
    parallel = partial(DistributedDataParallel, broadcast_buffers=False)
    return parallel(module) if torch.distributed.is_initialized() else module


def stop_together(stop: bool, device: torch.device) -> bool:
    """True in every process as soon as one of them stops, because the others would wait for it forever."""
    if not torch.distributed.is_initialized():
        return stop
    flag = torch.tensor(float(stop), device=device)
    torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
    return bool(flag)
