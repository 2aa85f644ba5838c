"""Check that each public name is explained: on one page of the reference, and whole in its own docstring.

A function's docstring names every parameter; so do those of the public methods of a public class.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import deepstorm3d as ds

PAGES = Path(__file__).with_name("api")


def public() -> dict[str, Any]:
    """Every public name with its value: of the package, and of its pictures."""
    names = {f"deepstorm3d.{name}": getattr(ds, name) for name in ds.__all__}
    names |= {f"deepstorm3d.plot.{name}": getattr(ds.plot, name) for name in ds.plot.__all__}
    return {name: value for name, value in names.items() if callable(value)}


def misplaced(names: set[str], pages: Path = PAGES) -> list[str]:
    """Names that are not on exactly one page, and entries of pages that are no public names."""
    entries = [
        entry
        for page in sorted(pages.glob("*.md"))
        for entry in re.findall(r"^::: (\S+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    wrong = [
        f"{name} stands {entries.count(name)} times on the pages of docs/api, once is right"
        for name in sorted(names)
        if entries.count(name) != 1
    ]
    return wrong + [f"{entry} in docs/api is no public name" for entry in sorted(set(entries) - names)]


def unexplained(name: str, value: Any) -> Iterator[str]:
    """What the docstring of a name, or of its public methods, leaves out."""
    text = own_docstring(value)
    if not text:
        yield f"{name} has no docstring"
        return
    if inspect.isclass(value):
        for method, function in vars(value).items():
            if inspect.isfunction(function) and not method.startswith("_"):
                yield from unexplained_parameters(f"{name}.{method}", function)
    else:
        yield from unexplained_parameters(name, value)


def own_docstring(value: Any) -> str:
    """The docstring of the value itself, not of a class above it."""
    return inspect.cleandoc(vars(value).get("__doc__") or "" if inspect.isclass(value) else value.__doc__ or "")


def unexplained_parameters(name: str, function: Callable[..., Any]) -> Iterator[str]:
    """A function without a docstring, or the parameters that it does not name."""
    text = own_docstring(function)
    if not text:
        yield f"{name} has no docstring"
    elif "Parameters\n" in text:
        for parameter in inspect.signature(function).parameters:
            if parameter not in ("self", "cls") and not re.search(rf"\b{parameter}\b", text):
                yield f"{name}: its docstring does not say what {parameter} is"


def troubles() -> list[str]:
    """All that is wrong, one sentence each."""
    names = public()
    return misplaced(set(names)) + [line for name, value in names.items() for line in unexplained(name, value)]


if __name__ == "__main__":
    found = troubles()
    sys.exit("\n".join(found) if found else 0)
