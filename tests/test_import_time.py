"""Importing the package, or asking for help, must not wait for the libraries that only the work needs."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "scipy", "numba", "matplotlib", "h5py", "tifffile")


def loaded_after(code: str) -> set[str]:
    """The heavy libraries that a fresh interpreter holds after running `code`."""
    report = f"{code}\nimport sys\nprint('\\nloaded:', *(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].removeprefix("loaded:").split())


def test_the_measure_itself_notices_a_heavy_library():
    assert loaded_after("import h5py") == {"h5py"}


def test_importing_the_package_loads_no_heavy_library():
    assert loaded_after("import deepstorm3d") == set()


def test_asking_the_command_line_for_help_loads_no_heavy_library():
    code = """
from deepstorm3d.cli import app
for words in (["--help"], ["localize", "--help"], ["models", "--help"]):
    try:
        app(words, prog_name="deepstorm3d")
    except SystemExit as end:
        assert not end.code, words
"""
    assert loaded_after(code) == set()
