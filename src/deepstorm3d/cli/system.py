"""What a report of a problem should say of the computer: versions, and what torch can compute on."""

from __future__ import annotations

import os
import platform
import re

from .. import __version__

__all__ = ["system_lines"]


def system_lines() -> list[str]:
    """One ``name: value`` a line: program, Python, system, libraries, devices of torch, compiled code."""
    facts = {
        "deepstorm3d": __version__,
        "Python": platform.python_version(),
        "system": f"{platform.platform()}, {os.cpu_count()} processors",
        **_library_versions(),
        **_devices(),
        "joint fit on the cpu": _fit(),
    }
    return [f"{name}: {value}" for name, value in facts.items()]


def _library_versions() -> dict[str, str]:
    """Versions of what the program declares to need; of optional libraries those that are there."""
    from importlib import metadata

    try:
        needs = metadata.requires("deepstorm3d") or []
    except metadata.PackageNotFoundError:  # run from its source, not installed
        needs = ["torch", "numpy"]
    versions: dict[str, str] = {}
    for need in needs:
        if "'dev'" in need:
            continue
        name, optional = re.split(r"[^\w.-]", need)[0], "extra ==" in need
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            if not optional:
                versions[name] = "missing"
    return versions


def _devices() -> dict[str, str]:
    """What torch can compute on; its own words where it cannot even be imported."""
    try:
        import torch
    except (ImportError, OSError) as problem:
        return {"devices": f"torch cannot be imported: {problem}"}
    cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    found = {
        f"cuda:{index}": f"{card.name}, {card.total_memory / 2**30:.0f} GiB" for index, card in enumerate(cards)
    }
    if torch.version.cuda:
        found["CUDA of torch"] = torch.version.cuda
    if torch.backends.mps.is_available():
        found["mps"] = "available"
    return {**found, "cpu": f"{torch.get_num_threads()} threads"}


def _fit() -> str:
    """What does the joint fit on the CPU, and where its compiled code is kept."""
    try:
        from ..numba_cache import cache_folder, is_compiled_already
    except ImportError as problem:
        return f"PyTorch (Numba cannot be imported: {problem})"
    state = "compiled" if is_compiled_already("fitting") else "to be compiled at the first fit"
    return f"Numba, {state}, kept in {cache_folder()}"
