"""The rules of Apple's GPUs (MPS), held on any machine, upon those that `pretended_cuda` holds about devices.

    with pretended_mps():
        model = load_model("tetrapod", device="mps")
        found = model.localize(frames)     # NotOnMPS where MPS would refuse

Besides: no tensor of double precision lies on the device, and each operation must have a kernel there, by the
list of kernels that comes with torch itself (torchgen). What this cannot tell: rounding, races, memory, time.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
import torchgen

import pretended_cuda

__all__ = ["NotOnMPS", "pretended_mps"]

_MPS = torch.device("mps", 0)
_DOUBLE = {torch.float64, torch.complex128}
# Number of the device in torch's table of device guards.
_GUARD_OF_MPS = 13
_FOR_ALL = re.compile(r"^    [\w, ]*\b(MPS|Composite\w+)\b[\w, ]*:", re.MULTILINE)
_DELEGATE = re.compile(r"^  structured_delegate: (\S+)", re.MULTILINE)


class NotOnMPS(RuntimeError):
    """What MPS would have refused."""


@functools.cache
def _kernels() -> set[str]:
    """Operations, as "add.Tensor", that have a kernel for MPS or are made of others that have."""
    folder = os.path.join(os.path.dirname(torchgen.__file__), "packaged", "ATen", "native")
    with open(os.path.join(folder, "native_functions.yaml"), encoding="utf-8") as file:
        parts = re.split(r"^- func: ", file.read(), flags=re.MULTILINE)[1:]
    entries = {part.partition("(")[0]: part for part in parts}

    def has(name: str) -> bool:
        delegate = _DELEGATE.search(entries[name])
        if delegate:
            return has(delegate[1])
        # What has no list of kernels is made of other operations.
        return "\n  dispatch:" not in entries[name] or _FOR_ALL.search(entries[name]) is not None

    return {name for name in entries if has(name)}


def _name(func: Any) -> str:
    name = func._schema.name.partition("::")[2]
    return f"{name}.{func._overloadname}" if func._overloadname != "default" else name


def _tensors(given: Any) -> list[torch.Tensor]:
    return [each for each in pretended_cuda._leaves((given,), {}) if isinstance(each, pretended_cuda._OnCuda)]


@functools.cache
def _set_up() -> None:
    """A guard that does nothing, where a build without MPS has none."""
    folder = os.path.join(os.path.dirname(torch.__file__), "lib")
    library = ctypes.CDLL(os.path.join(folder, "libc10.so"))
    guards = (ctypes.c_void_p * pretended_cuda._GUARDS).in_dll(
        library, "_ZN3c104impl26device_guard_impl_registryE"
    )
    guards[_GUARD_OF_MPS] = guards[_GUARD_OF_MPS] or guards[pretended_cuda._GUARD_OF_PRIVATE]


@contextlib.contextmanager
def pretended_mps() -> Iterator[None]:
    """Pretend that there is one MPS device and none of CUDA, in this thread and in those that it starts."""
    _set_up()
    carry_out = pretended_cuda._carry_out

    def checked(func: Any, args: Any, kwargs: Any) -> Any:
        out = carry_out(func, args, kwargs)
        there = _tensors(out)
        if there or _tensors([*args, *kwargs.values()]):
            if any(each.dtype in _DOUBLE for each in there):
                raise NotOnMPS(f"{func}: double precision, at {pretended_cuda._caller()}")
            if func.namespace == "aten" and _name(func) not in _kernels():
                raise NotOnMPS(f"{func}: no kernel, at {pretended_cuda._caller()}")
        return out

    no_cuda = {"is_available": False, "device_count": 0}
    with contextlib.ExitStack() as stack:
        stack.enter_context(pretended_cuda.pretended_cuda())
        for name, answer in no_cuda.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, lambda *_, answer=answer: answer))
        stack.enter_context(mock.patch.object(torch.backends.mps, "is_available", lambda: True))
        stack.enter_context(mock.patch.object(pretended_cuda, "_CUDA", _MPS))
        stack.enter_context(mock.patch.object(pretended_cuda, "_carry_out", checked))
        yield
