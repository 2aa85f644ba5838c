"""The folder of the fit's machine code, under the name that `fitting/compiled.py` imports."""

from __future__ import annotations

from ..numba_cache import is_compiled_already

__all__ = ["is_compiled_already"]
