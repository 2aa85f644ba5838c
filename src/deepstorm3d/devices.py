"""Devices, and what of the work each can do: an Apple GPU (MPS) has no double precision."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import torch

from .errors import InputError

__all__ = ["chosen_device", "default_device", "free_bytes", "needs_double_precision", "of_image_model"]

_MEMORY_REPORT = Path("/proc/meminfo")  # of Linux
_CONTAINER = Path("/sys/fs/cgroup")  # its version 2, where it tells what a container may use


def default_device() -> str:
    """The device where none was chosen: a GPU of NVIDIA if there is one, else the processor."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def chosen_device(text: str | None) -> str:
    """The device to compute on, None: `default_device`; raises InputError where it is unknown or missing."""
    if text is None:
        return default_device()
    kind, _, number = text.partition(":")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in there or (kind == "cpu" and text != kind) or not (number or "0").isdecimal():
        raise InputError(f"there is no device '{text}' (`device`)", "use cpu, cuda or mps")
    if not there[kind] or (number and kind == "cuda" and int(number) >= torch.cuda.device_count()):
        name = {"cuda": f"CUDA device{' ' if number else ''}{number}", "mps": "Apple GPU (mps)"}[kind]
        raise InputError(f"this machine has no {name} (`device`) that torch {torch.__version__} can use")
    return text


def free_bytes(device: torch.device) -> int | None:
    """Free memory of a device, bytes; None if the system does not report it (for the CPU only Linux does)."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    with suppress(OSError, ValueError, IndexError):
        # What the system can give, memory that only keeps copies of files among it.
        report = _MEMORY_REPORT.read_text()
        return int(min(1024 * int(report.partition("MemAvailable:")[2].split()[0]), _left_to_container()))
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _left_to_container() -> float:
    """Memory that a container (cgroup 2) may still use, bytes; infinite where there is no limit."""
    with suppress(OSError, ValueError, IndexError):
        most, used = (int((_CONTAINER / name).read_text()) for name in ("memory.max", "memory.current"))
        files = int((_CONTAINER / "memory.stat").read_text().partition("inactive_file ")[2].split()[0])
        return max(0, most - used + files)
    return float("inf")


def of_image_model(device: torch.device | str) -> torch.device:
    """Where frames are simulated and molecules fitted if the network is on this device: there too.

    Of an Apple GPU it is the processor: simulation, fit and bounds compute in double precision in places.
    """
    place = torch.device(device)
    return torch.device("cpu") if place.type == "mps" else place


def needs_double_precision(device: torch.device | str, work: str) -> None:
    """Raise InputError if this device has no double precision; work: what needs it, "the design of a mask"."""
    if torch.device(device).type == "mps":
        raise InputError(
            f"{work} needs double precision, which Apple's GPUs (mps) do not have", "choose `device=cpu`"
        )
