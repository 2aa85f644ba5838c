"""The layers of DESIGN, held over the syntax tree of every module; and what every module must show a reader."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "deepstorm3d"
SOURCE = ROOT / "src" / PACKAGE

# From the ground up. A module may import what stands in a lower layer, and its own package.
LAYERS = (
    (
        *("errors", "watch", "spec", "kinds", "noise", "emitters", "columns", "field", "extent", "chip"),
        *("channels", "complaints", "draws", "front_door", "streams", "maxima", "psf_volume", "supergaussian"),
        *("numba_cache", "devices", "brief", "arguments", "file_lock"),
    ),
    ("camera", "optics", "io", "analysis", "rendering", "pixels"),
    ("simulation", "localizer", "fitting"),
    ("experiment", "frames"),
    ("training", "localizing", "plot"),
    ("calibration",),
    ("jobs",),
    ("api",),
    ("cli", "__main__", "studio"),
)
# Neighbours that may know each other: the foundation, and the edges.
OPEN_LAYERS = (0, len(LAYERS) - 1)
# The lists of public names: whichever layer a name is from, its module is loaded when the name is asked for.
DOORS = {PACKAGE, f"{PACKAGE}.plot"}
# Slow to import, and needed only when a file is read or a picture drawn: imported inside functions.
EDGE_LIBRARIES = {"matplotlib", "tifffile", "h5py", "distributed", "nd2", "ndstorage", "zarr"}
# Imports matplotlib when it is imported, for a class of its own; so it counts as such a library itself.
LATE_MODULES = {f"{PACKAGE}.plot.picture"}
LONGEST_FILE = 400
MOST_PARAMETERS = 7


class Import(NamedTuple):
    """One import statement's target: a module of the package, or an attribute of the package itself."""

    target: str
    line: int


def module_name(path: Path) -> str:
    """``src/deepstorm3d/optics/psf.py`` is ``deepstorm3d.optics.psf``; an ``__init__`` is its folder."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def package_imports(tree: ast.AST, name: str, *, is_package: bool, modules: Set[str]) -> Iterator[Import]:
    """Every import from this package, at whatever depth of the tree, relative ones resolved."""
    home = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == PACKAGE:
                    yield Import(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(home[: len(home) + 1 - node.level]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            if source.split(".")[0] != PACKAGE:
                continue
            for alias in node.names:
                target = f"{source}.{alias.name}"
                # `from .. import io` names a module, `from .. import __version__` something inside one.
                yield Import(target if target in modules or source == PACKAGE else source, node.lineno)


def layer_of(part: str) -> int | None:
    return next((height for height, parts in enumerate(LAYERS) if part in parts), None)


def complaint(name: str, target: str) -> str | None:
    """Why `name` may not import `target`; None where it may."""
    if target == f"{PACKAGE}.__version__" or name in DOORS:
        return None
    part, other = (module.split(".")[1] if "." in module else "" for module in (name, target))
    if part == other:
        return None
    here, there = layer_of(part), layer_of(other)
    if here is None or there is None:
        unknown = name if here is None else target
        return f"{unknown} stands in no layer; give it one in LAYERS"
    if there > here:
        return f"{part} (layer {here}) may not know {other} (layer {there}), which stands above it"
    if there == here and here not in OPEN_LAYERS:
        return f"{part} and {other} are neighbours in layer {here}: neither may know the other, join them above"
    return None


def complaints(tree: ast.AST, name: str, *, is_package: bool, modules: Set[str]) -> list[str]:
    found = package_imports(tree, name, is_package=is_package, modules=modules)
    return [
        f"{name}, line {line}, imports {target}: {why}"
        for target, line in found
        if (why := complaint(name, target)) is not None
    ]


def test_a_list_of_public_names_imports_none_of_them_by_itself():
    early = [
        f"{name}, line {node.lineno}"
        for name in DOORS
        for node in imports_at_import_time(parse(name).body)
        if modules_of(node, name)
    ]
    assert not early, "load these when their names are used:\n" + "\n".join(early)


@cache
def parse(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"), filename=str(MODULES[name]))


def is_package(name: str) -> bool:
    return MODULES[name].name == "__init__.py"


def test_every_module_belongs_to_a_layer():
    homeless = [name for name in MODULES if name != PACKAGE and layer_of(name.split(".")[1]) is None]
    assert not homeless, f"give these a layer in LAYERS: {', '.join(homeless)}"


def test_modules_import_only_from_lower_layers():
    wrong = [
        line
        for name in MODULES
        for line in complaints(parse(name), name, is_package=is_package(name), modules=MODULES.keys())
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_simulation_localizer_and_fitting_do_not_know_each_other():
    layer = LAYERS[2]
    assert {"simulation", "localizer", "fitting"} <= set(layer)
    for one in layer:
        for other in layer:
            refused = complaint(f"{PACKAGE}.{one}.a", f"{PACKAGE}.{other}.b") is not None
            assert refused == (one != other)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("optics.psf", "from ..jobs.training.train import train_model"),
        ("optics.psf", "from ..emitters import Emitters\nfrom .. import jobs"),
        ("optics.psf", f"import {PACKAGE}.training.loop"),
        ("optics.psf", f"from {PACKAGE}.camera import Camera"),
        ("optics", "from ..io.masks import read_mask"),
        ("analysis.matching", "def late():\n    from ..io import tables"),
        ("simulation.simulator", "if TYPE_CHECKING:\n    from ..localizer.network import NetworkSpec"),
        ("fitting.photometry", "from ..simulation import Simulator"),
        ("spec", "from .camera import Camera"),
        ("jobs.training.train", "from ...cli import main"),
        ("training.loop", "from .. import Anything"),
        ("somewhere.new", "from ..errors import InputError"),
    ],
)
def test_a_wrong_import_is_noticed_wherever_it_hides(name: str, code: str):
    package = name == "optics"
    found = complaints(ast.parse(code), f"{PACKAGE}.{name}", is_package=package, modules=MODULES.keys())
    assert len(found) == 1, found


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("optics.psf", "from ..spec import Spec\nfrom .pupil import sample_pupil\nimport torch"),
        ("spec", "from .errors import InputError"),
        ("jobs.demo", "from .. import __version__\nfrom ..training import loop\nfrom .experiment import x"),
        ("__main__", "from .cli import main"),
        ("simulation.simulator", "from ..camera import Camera\nfrom ..optics.psf import PSF"),
    ],
)
def test_a_right_import_passes(name: str, code: str):
    found = complaints(ast.parse(code), f"{PACKAGE}.{name}", is_package=False, modules=MODULES.keys())
    assert not found


def test_optics_takes_plain_tensors_never_tables():
    knows = [
        name
        for name in MODULES
        if name.startswith(f"{PACKAGE}.optics")
        for target, _ in package_imports(parse(name), name, is_package=is_package(name), modules=MODULES.keys())
        if target == f"{PACKAGE}.emitters"
    ]
    assert not knows, f"optics computes from positions, not from tables: {knows}"


def test_libraries_for_files_and_pictures_are_imported_where_they_are_used():
    early = [
        f"{name}, line {node.lineno}: {library}"
        for name in MODULES.keys() - LATE_MODULES
        for node in imports_at_import_time(parse(name).body)
        for library in (libraries(node) & EDGE_LIBRARIES) | (modules_of(node, name) & LATE_MODULES)
    ]
    assert not early, "import these inside the functions that need them:\n" + "\n".join(early)


def test_what_a_panel_knows_and_does_needs_no_page():
    """In the studio only what builds a page imports NiceGUI, and only pages import such a module."""
    studio = f"{PACKAGE}.studio"
    pages = {
        name
        for name in MODULES
        if name.startswith(studio)
        and any("nicegui" in libraries(node) for node in imports_at_import_time(parse(name).body))
    }
    assert f"{studio}.page" in pages
    wrong = [
        f"{name}, line {line}: {target}"
        for name in MODULES.keys() - pages
        if name.startswith(studio)
        for target, line in package_imports(
            parse(name), name, is_package=is_package(name), modules=MODULES.keys()
        )
        if target in pages
    ]
    assert not wrong, "these are no pages, but import one:\n" + "\n".join(wrong)


def imports_at_import_time(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements that run when the module is imported: not in functions, not under TYPE_CHECKING."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imports_at_import_time(node.orelse)
        else:
            for field in ("body", "orelse", "finalbody", "handlers"):
                yield from imports_at_import_time(getattr(node, field, []))


def libraries(node: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return {(node.module or "").split(".")[0]} if node.level == 0 else set()


def modules_of(node: ast.Import | ast.ImportFrom, name: str) -> set[str]:
    tree = ast.Module([node], [])
    found = package_imports(tree, name, is_package=is_package(name), modules=MODULES.keys())
    return {each.target for each in found}


PUBLIC = [name for name in MODULES if not any(part.startswith("_") for part in name.split(".")[1:])]


def test_every_module_says_in_its_first_line_what_it_is_for():
    first = {name: (ast.get_docstring(parse(name)) or "").partition("\n")[0] for name in PUBLIC}
    wrong = [f"{name}: {line!r}" for name, line in first.items() if not line.endswith((".", ":"))]
    assert not wrong, "the docstring's first line is no whole sentence, or is not there:\n" + "\n".join(wrong)


def test_every_module_lists_what_it_offers():
    offered = {name: public_names(parse(name), is_package=is_package(name)) for name in PUBLIC}
    wrong = [f"{name}: {sorted(names)}" for name, names in offered.items() if names and "__all__" not in names]
    assert not wrong, "these offer names but have no __all__:\n" + "\n".join(wrong)


def public_names(tree: ast.Module, *, is_package: bool) -> set[str]:
    """What a module defines for others, and in a package what it hands on; and ``__all__`` if it is there."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and is_package and node.module != "__future__":
            names |= {alias.asname or alias.name for alias in node.names}
    return {name for name in names if name == "__all__" or not name.startswith("_")}


def test_no_file_outgrows_its_subject():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES.values()}
    long = [f"{path.relative_to(ROOT)}: {count} lines" for path, count in lines.items() if count > LONGEST_FILE]
    assert not long, f"split these by subject, at most {LONGEST_FILE} lines each:\n" + "\n".join(long)


def test_no_function_outside_the_command_line_has_a_long_list_of_parameters():
    # A command of `cli` has one parameter for each option; elsewhere arguments of one thing are a record.
    long = [
        f"{name}, line {line}: {function} has {count}"
        for name in MODULES
        if name.split(".")[1:2] != ["cli"]
        for function, line, count in parameter_counts(parse(name))
        if count > MOST_PARAMETERS
    ]
    assert not long, f"more than {MOST_PARAMETERS} parameters; which of them belong together?\n" + "\n".join(
        long
    )


def parameter_counts(tree: ast.AST) -> Iterator[tuple[str, int, int]]:
    """Name, line and number of parameters, without self and cls, of each function and method."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            rest = [each for each in (given.vararg, given.kwarg) if each is not None]
            count = len(names) - (names[:1] in (["self"], ["cls"])) + len(rest)
            yield node.name, node.lineno, count


def test_parameters_are_counted_in_every_place_that_a_function_has_for_them():
    code = """
class A:
    def f(self, a, b=1, /, c=2, *args, d, **more): ...
    async def g(x): ...
"""
    assert list(parameter_counts(ast.parse(code))) == [("f", 3, 6), ("g", 4, 1)]


def test_each_constant_stands_on_a_line_of_its_own():
    # So that each has its own comment, with its unit.
    shared = [
        f"{name}, line {node.lineno}: {ast.unparse(node.targets[0])}"
        for name in MODULES
        for node in parse(name).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple)
    ]
    assert not shared, "one constant a line, each with a comment of its own:\n" + "\n".join(shared)


def test_nothing_names_a_folder_of_one_machine():
    # Preceded by a letter, dot or slash it is part of an address or of a relative path.
    pattern = re.compile(r"(?<![\w./])/(?:home|root|Users|work|tmp|mnt)/\w|\b[A-Z]:\\\\?\w")
    kinds = {".py", ".toml", ".txt", ".md", ".yaml", ".yml", ".json", ".cff", ""}
    folders = ("src", "tests", "docs", "benchmarks", "configs", "examples", ".ci")
    files = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    files += [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    found = [
        f"{path.relative_to(ROOT)}, line {number}: {line.strip()[:100]}"
        for path in sorted(files)
        if path.suffix in kinds and path.stat().st_size < 1_000_000
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, "these hold only on one machine:\n" + "\n".join(found)


def test_no_test_imports_from_the_benchmarks():
    measured = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} | {"benchmarks"}
    found = [
        f"{path.relative_to(ROOT)}, line {node.lineno}: {library}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for library in libraries(node) & measured
    ]
    assert not found, "move what these need into src/ or tests/:\n" + "\n".join(found)
