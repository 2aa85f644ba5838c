"""CUDA's rules about devices, held on a machine without a GPU.

    with pretended_cuda():
        pipeline = load_pipeline(find_model("tetrapod"), device="cuda")
        found = pipeline.localize(photons.to("cuda"))     # DeviceMismatch where CUDA would refuse

Tensors made with device="cuda" say that they lie on cuda:0; their numbers lie on the CPU (`inner`), where each
operation is carried out once it is known that CUDA would do it. Tensors of two devices never meet, but for CPU
tensors of 0 dimensions in pointwise operations and index_put, CPU indices into CUDA tensors, and copies; the
generator of a draw lies on its device; there is no .numpy(). Results equal the CPU's to the bit where no code
asks for the kind of device. What this cannot tell: kernels that CUDA lacks, its rounding, races, memory, time.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import __future__ as future
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["DeviceMismatch", "pretended_cuda", "set_up"]

_CPU, _CUDA = torch.device("cpu"), torch.device("cuda", 0)
_PACKAGE = f"{os.sep}deepstorm3d{os.sep}"
_aten = torch.ops.aten
_INDEXED = {
    _aten.index.Tensor,
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
}
_COPIES = {_aten.copy_.default, _aten._to_copy.default, _aten.lift_fresh.default, _aten.fill_.Tensor}
_AUTOCAST = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCUDA)
# Number of the devices in torch's table of device guards.
_GUARD_OF_CUDA, _GUARD_OF_PRIVATE, _GUARDS = 1, 20, 21
# What torch.cuda answers; a card with 64 GB.
_ANSWERS = {
    **dict.fromkeys(("_lazy_init", "current_device", "empty_cache", "synchronize", "set_device"), 0),
    **{"is_available": True, "is_bf16_supported": True, "device_count": 1},
    **{"mem_get_info": (2**36, 2**36), "get_device_name": "pretended", "device": contextlib.nullcontext()},
}
# Devices of generators by the address of what they hold: operations get them under another Python object.
_places: dict[int, torch.device] = {}


class DeviceMismatch(RuntimeError):
    """What CUDA would have refused."""


class _OnCuda(torch.Tensor):
    """A tensor that says it lies on cuda:0; to C++ on torch's private device, which every build knows."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> _OnCuda:
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=torch.device("privateuseone", 0),
            _extra_dispatch_keys=_AUTOCAST,
        )
        self.inner = inner
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: _CUDA)
    is_cuda = property(lambda self: _CUDA.type == "cuda")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _carry_out(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
        return self.detach().cpu().numpy()

    def untyped_storage(self) -> Any:
        return self.inner.untyped_storage()

    def __deepcopy__(self, memo: dict[int, Any]) -> _OnCuda:
        return memo.setdefault(id(self), self.detach().clone().requires_grad_(self.requires_grad))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.inner.detach().__reduce_ex__(protocol)


class _Generator(torch.Generator):
    """A generator with a device in name."""

    def __new__(cls, device: Any = "cpu") -> _Generator:
        self = super().__new__(cls, device="cpu")
        _places[self._cdata] = _CPU if torch.device(device).type == "cpu" else _CUDA
        return self

    device = property(lambda self: _places[self._cdata])


def _on(tensor: torch.Tensor) -> torch.device:
    return _CUDA if isinstance(tensor, _OnCuda) else _CPU


def _leaves(args: Any, kwargs: Any) -> Iterator[Any]:
    """All that an operation is given; lists, as of tensors to join, hold no lists."""
    for each in (*args, *kwargs.values()):
        if isinstance(each, (list, tuple)):
            yield from each
        else:
            yield each


def _changed(given: Any, change: Callable[[Any], Any]) -> Any:
    """The same with each leaf changed."""
    if isinstance(given, (list, tuple)):
        return type(given)([_changed(each, change) for each in given])
    return change(given)


def _caller() -> str:
    """The innermost line of the package on the stack."""
    frame = sys._getframe(1)
    while frame and _PACKAGE not in frame.f_code.co_filename:
        frame = frame.f_back
    return f"{frame.f_code.co_filename.rpartition(_PACKAGE)[2]}:{frame.f_lineno}" if frame else "elsewhere"


def _checked(func: Any, args: Any, kwargs: Any, given: list[torch.Tensor]) -> torch.device:
    """Where the result of an operation on tensors lies; raises DeviceMismatch where CUDA would refuse it."""
    asked = kwargs.get("device") and (_CPU if kwargs["device"].type == "cpu" else _CUDA)
    if func in _COPIES or not given:
        return asked or (_on(given[0]) if given else _CPU)
    indices = [each for each in args[1] if each is not None] if func in _INDEXED else []
    if indices:
        given = [each for each in (args[0], *args[2:3]) if isinstance(each, torch.Tensor)]
        if _on(args[0]) == _CPU and any(_on(each) == _CUDA for each in indices):
            raise DeviceMismatch(f"{func}: indices on cuda:0 into a tensor on the CPU, at {_caller()}")
    places = {_on(each) for each in given}
    if len(places) > 1 and not func.__name__.startswith("_foreach"):
        lenient = torch.Tag.pointwise in func.tags or bool(indices)
        stray = any(_on(each) == _CPU and not (lenient and each.dim() == 0) for each in given)
        if stray or (func._schema.is_mutable and _on(given[0]) == _CPU):
            shapes = ", ".join(f"{tuple(each.shape)} {_on(each).type}" for each in given)
            raise DeviceMismatch(f"{func}: tensors of two devices ({shapes}), at {_caller()}")
    return asked or (_CUDA if _CUDA in places else _CPU)


def _carry_out(func: Any, args: Any, kwargs: Any) -> Any:
    """One operation, on the CPU; its result on the device where CUDA would have it."""
    leaves = list(_leaves(args, kwargs))
    here = _checked(func, args, kwargs, [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)])
    for leaf in leaves:
        if isinstance(leaf, torch._C.Generator) and _places.get(leaf._cdata, _CPU) != here:
            raise DeviceMismatch(f"{func}: a generator of another device for {here}, at {_caller()}")
    outer = {id(leaf.inner): leaf for leaf in leaves if isinstance(leaf, _OnCuda)}
    if here == _CPU and not outer:
        return func(*args, **kwargs)
    args = [_changed(each, _inner) for each in args]
    kwargs = {name: _changed(each, _inner) for name, each in kwargs.items()}
    if kwargs.get("device") is not None:
        kwargs["device"] = _CPU
    # Lazy conjugates are carried out: below the dispatcher's own handling of them nobody would look at the bit.
    out = _aten.conj_physical(*args) if func is _aten._conj.default else func(*args, **kwargs)
    if here == _CPU:
        return out

    def outside(leaf: Any) -> Any:
        # What was changed in place is handed back as the same tensor.
        if isinstance(leaf, torch.Tensor) and id(leaf) not in outer:
            outer[id(leaf)] = _OnCuda(leaf)
        return outer.get(id(leaf), leaf)

    return _changed(out, outside)


def _inner(leaf: Any) -> Any:
    return leaf.inner if isinstance(leaf, _OnCuda) else leaf


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _carry_out(func, args, kwargs or {})


class _Backend(backend_registration._DummyBackendModule):
    """To the rest of torch's Python, no device: `fork_rng` and others would ask it for its state."""

    def device_count(self) -> int:
        return 0

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


@functools.cache
def set_up() -> str | None:
    """Make ready, before the first backward pass of the process: why it cannot be done here, or None.

    C++ asks for a device guard where it makes a tensor on a device, or goes backward; these do nothing.
    """
    try:
        torch._C._rename_privateuse1_backend("privateuseone")
        backend_registration._setup_privateuseone_for_python_backend(backend_module=_Backend())
        folder = os.path.join(os.path.dirname(torch.__file__), "lib")
        library = ctypes.CDLL(os.path.join(folder, "libc10.so"))
        guards = (ctypes.c_void_p * _GUARDS).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
        # A build for the CPU has none for CUDA; one for CUDA, without a card, has one that torch replaces here.
        guards[_GUARD_OF_CUDA] = guards[_GUARD_OF_CUDA] or guards[_GUARD_OF_PRIVATE]
        torch._C._ensureCUDADeviceGuardSet()
    except (AttributeError, OSError, RuntimeError, ValueError) as error:
        return f"this build of torch cannot pretend a GPU: {error}"
    return None


@contextlib.contextmanager
def pretended_cuda() -> Iterator[None]:
    """Pretend that there is one CUDA device, in this thread and in those that it starts."""
    run = threading.Thread.run

    def run_pretending(thread: threading.Thread) -> None:
        with _Mode():
            run(thread)

    with contextlib.ExitStack() as stack:
        for name, answer in _ANSWERS.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, lambda *_, answer=answer, **__: answer))
        stack.enter_context(mock.patch.object(torch, "Generator", _Generator))
        stack.enter_context(mock.patch.object(threading.Thread, "run", run_pretending))
        for switch in (torch._C._set_only_lift_cpu_tensors, future.set_overwrite_module_params_on_conversion):
            switch(True)
            stack.callback(switch, False)
        stack.enter_context(_Mode())
        yield
