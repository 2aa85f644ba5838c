"""The pages of the site that do not lie in docs/, and the links between all of them.

README's first part becomes the landing page; CHANGELOG, CONTRIBUTING and the measured figures become pages;
so do the examples, as docs/gallery/make_gallery.py left them in build/gallery/. Links are written so that
they lead somewhere in the repository; here they are turned to the same pages of the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "build" / "gallery"
# File of the repository: page of the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/RESULTS.md": "results.md",
}
# Copied as they are, for the pages above name them.
COPIED = ("LICENSE", "CITATION.cff")
# README up to here is the landing page; the rest has pages of its own.
LANDING_ENDS = "## Your own microscope"
LINK = re.compile(r"(?<=\]\()([^)#\s:]+)(?=[)#])")


def on_config(config: Any) -> Any:
    """Called by mkdocs with what mkdocs.yml says: the gallery's pages join the menu."""
    names = sorted(path.name for path in GALLERY.glob("*.md"))
    for entry in config.nav:
        if "Gallery" in entry:
            entry["Gallery"] = ["gallery/index.md", *(f"gallery/{name}" for name in names)]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Called by mkdocs with the files of docs/: the others join them."""
    for source, page in PAGES.items():
        content = (ROOT / source).read_text(encoding="utf-8")
        if source == "README.md":
            content = content.partition(LANDING_ENDS)[0] + (ROOT / "docs/landing.md").read_text(
                encoding="utf-8"
            )
        files.append(File.generated(config, page, content=content))
    for name in COPIED:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for path in sorted(GALLERY.rglob("*")):
        if path.suffix in (".md", ".png"):
            place = f"gallery/{path.relative_to(GALLERY).as_posix()}"
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs with each page's text: its links are turned."""
    place = page.file.src_uri
    if place == "gallery/index.md" and (GALLERY / "cards.html").exists():
        cards = (GALLERY / "cards.html").read_text(encoding="utf-8")
        markdown += f'\n<div class="gallery">\n{cards}</div>\n'
    source = next((path for path, name in PAGES.items() if name == place), f"docs/{place}")

    def turned(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[0]))
        shown = PAGES.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(shown, posixpath.dirname(place) or ".")

    return LINK.sub(turned, markdown)
