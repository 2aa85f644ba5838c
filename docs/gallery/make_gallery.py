"""Run the examples and write a page for each, with what it printed and drew: ``make_gallery.py FOLDER``.

An example is a plain script in examples/. Its docstring is the page's title and introduction; each comment at
the margin that begins with a number (``# 1. …``) is text; what stands below it is run, and its output and the
pictures (PNG) that it wrote follow it. A page stays as it is while neither the script nor the package changed.
"""

from __future__ import annotations

import ast
import contextlib
import html
import io
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NUMBERED = re.compile(r"^# (\d+)\. ")


@dataclass(frozen=True)
class Step:
    """A part of a script: text, and the code below it, which begins on a line (from 1) of the file."""

    text: str
    code: str
    line: int


def title_and_text(source: str) -> tuple[str, str]:
    """The first line of a script's docstring without its full stop, and the rest."""
    head, _, rest = (ast.get_docstring(ast.parse(source)) or "").partition("\n")
    return head.rstrip("."), rest.strip()


def steps(source: str) -> Iterator[Step]:
    """The numbered parts of a script, before them the part that has no number."""
    lines = source.splitlines()
    first = ast.parse(source).body[0].end_lineno or 0
    starts = [first, *(number for number, line in enumerate(lines) if NUMBERED.match(line)), len(lines)]
    for begin, end in pairwise(starts):
        part = lines[begin:end]
        words = 0
        while begin != first and words < len(part) and part[words].startswith("#"):
            words += 1
        text = " ".join(line.lstrip("# ") for line in part[:words])
        code = "\n".join(part[words:]).strip("\n")
        if text or code:
            yield Step(re.sub(r"^(\d+)\. ", r"**\1.** ", text), code, begin + words + 1)


def run(step: Step, script: Path, scope: dict[str, Any]) -> tuple[str, list[Path]]:
    """What a step prints, and the pictures that it writes into the current folder, oldest first."""
    before = set(Path.cwd().glob("*.png"))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile("\n" * (step.line - 1) + step.code, str(script), "exec", dont_inherit=True), scope)
    drawn = sorted(set(Path.cwd().glob("*.png")) - before, key=lambda path: path.stat().st_mtime_ns)
    return printed.getvalue().rstrip(), drawn


def page(script: Path, folder: Path) -> str:
    """Run a script in a folder and give its page; the pictures stay in the folder."""
    source = script.read_text(encoding="utf-8")
    title, introduction = title_and_text(source)
    # Code and pictures take the room of the table of contents, which would be empty.
    parts = ["---\nhide: [toc]\n---", f"# {title}", introduction]
    scope: dict[str, Any] = {"__name__": "__main__"}
    folder.mkdir(parents=True)
    with contextlib.chdir(folder):
        begin = time.perf_counter()
        for step in steps(source):
            parts.append(step.text)
            if step.code:
                parts.append(f"```python\n{step.code}\n```")
                printed, drawn = run(step, script, scope)
                parts += [f"```text\n{printed}\n```"] if printed else []
                parts += [f"![{path.stem}]({folder.name}/{path.name})" for path in drawn]
        seconds = time.perf_counter() - begin
    parts.append(f"*`examples/{script.name}`, run in {max(1, round(seconds))} s when this page was built.*")
    return "\n\n".join(part for part in parts if part) + "\n"


def card(script: Path, folder: Path) -> str:
    """The entry of an example on the gallery's first page: its last picture, title and first sentence."""
    title, text = title_and_text(script.read_text(encoding="utf-8"))
    pictures = sorted(folder.glob("*.png"), key=lambda path: path.stat().st_mtime_ns)
    image = f'<img src="{folder.name}/{pictures[-1].name}" alt="">' if pictures else ""
    sentence = re.split(r"(?<=\.)\s", text.replace("\n", " ").replace("`", ""))[0]
    return f'<a href="{script.stem}.html">{image}<b>{html.escape(title)}</b><br>{html.escape(sentence)}</a>'


def main(out: Path) -> None:
    """Write the pages that are not up to date, and the cards of all."""
    package = max(path.stat().st_mtime for path in (ROOT / "src").rglob("*.py"))
    package = max(package, Path(__file__).stat().st_mtime)
    out.mkdir(parents=True, exist_ok=True)
    scripts = sorted(EXAMPLES.glob("*.py"))
    for stale in out.glob("*.md"):
        if stale.stem not in {script.stem for script in scripts}:
            stale.unlink()
            shutil.rmtree(out / stale.stem, ignore_errors=True)
    for script in scripts:
        written, folder = out / f"{script.stem}.md", out / script.stem
        if written.exists() and written.stat().st_mtime > max(package, script.stat().st_mtime):
            continue
        print(f"examples/{script.name}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        written.write_text(page(script, folder), encoding="utf-8")
    cards = [card(script, out / script.stem) for script in scripts]
    (out / "cards.html").write_text("\n".join(cards) + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "agg")
    main(Path(sys.argv[1]).resolve())
