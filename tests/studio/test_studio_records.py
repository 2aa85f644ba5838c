"""Records of the studio that hold arrays are compared by identity: equality of arrays is no yes or no."""

from __future__ import annotations

import ast
from pathlib import Path

import deepstorm3d

SOURCE = Path(deepstorm3d.__file__).parent
# What the pages keep, and compare with what they have drawn.
KEPT = [*sorted((SOURCE / "studio").rglob("*.py")), SOURCE / "calibration" / "beads" / "survey.py"]


def compared_by_value(source: str) -> list[str]:
    """Names of dataclasses with a comparison that would ask an array whether it is true."""
    classes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef))
    return [
        each.name
        for each in classes
        if any(map(compares, each.decorator_list)) and any(map(is_array, each.body))
    ]


def compares(decorator: ast.expr) -> bool:
    text = ast.unparse(decorator)
    return text.startswith("dataclass") and "eq=False" not in text


def is_array(field: ast.stmt) -> bool:
    if not isinstance(field, ast.AnnAssign) or "compare=False" in ast.unparse(field):
        return False
    return any(word in ast.unparse(field.annotation) for word in ("Tensor", "NDArray"))


def test_what_is_looked_for_is_found() -> None:
    body = "\n".join(["class A:", "    x: NDArray[Any]"])
    assert compared_by_value(f"@dataclass(frozen=True)\n{body}") == ["A"]
    assert compared_by_value(f"@dataclass(frozen=True)\n{body} = field(compare=False)") == []
    assert compared_by_value(f"@dataclass(frozen=True, eq=False)\n{body}") == []


def test_records_with_arrays_are_compared_by_identity() -> None:
    found = {
        path.name: names for path in KEPT if (names := compared_by_value(path.read_text(encoding="utf-8")))
    }
    assert not found, f"dataclass(frozen=True, eq=False): {found}"
