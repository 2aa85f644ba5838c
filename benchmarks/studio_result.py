"""The studio's panel "Result" with long lists: time to the first points and to all, turning, memory, redraws.

Filaments in a field of 60 × 60 × 4 µm, each row with its σ. Chromium without a window draws in software, on the
processor that the studio also uses; times are wall times, the load of the machine before each list is told.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import sync_playwright

from deepstorm3d.emitters import Localizations
from deepstorm3d.io.tables import TableHeader, write_list
from harness import arguments_of, report

CHROMIUM = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    "--enable-unsafe-swiftshader",
)
FIELD_UM = (60.0, 60.0, 4.0)
FILAMENTS = 400
FRAMES = 50_000
# Zoom of each step in, and how many steps: from the whole field to single molecules.
ZOOMS = (2.0, 2.0, 2.0, 4.0, 4.0)
# Seconds that the cloud turns.
TURNS_S = 12.0
LONG_MS = 900_000


def filaments(rows: int) -> Localizations:
    """Rows along straight filaments, scattered by their own σ of 5 to 30 nm."""
    g = torch.Generator().manual_seed(1)
    field = torch.tensor(FIELD_UM)
    start, end = (torch.rand(FILAMENTS, 3, generator=g) * field for _ in range(2))
    which = torch.randint(0, FILAMENTS, (rows,), generator=g)
    along = torch.rand(rows, 1, generator=g)
    sigma = 0.005 + 0.025 * torch.rand(rows, 3, generator=g)
    xyz = torch.lerp(start[which], end[which], along) + sigma * torch.randn(rows, 3, generator=g)
    one = torch.ones(rows)
    return Localizations(
        xyz=xyz,
        frame=torch.arange(rows) * FRAMES // rows,
        photons=torch.exp(7.5 + 0.6 * torch.randn(rows, generator=g)),
        background=20 * one,
        probability=torch.rand(rows, generator=g),
        sigma_xyz=sigma,
        sigma_photons=50 * one,
        sigma_background=one,
        fit_quality=1 + 0.1 * torch.randn(rows, generator=g),
        sigma_source="fit",
    )


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """The address of a studio over a folder, and the number of its process."""
    command = [sys.executable, "-m", "deepstorm3d", "studio", str(folder), "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.wait()


def memory_gb(process: int, named: str = "") -> float:
    """Memory of its own of a process and of those that it started, whose names begin so."""
    total, waiting = 0.0, [process]
    while waiting:
        place = Path(f"/proc/{waiting.pop()}")
        try:
            _, resident, shared, *_ = map(int, (place / "statm").read_text().split())
            if (place / "comm").read_text().startswith(named):
                total += (resident - shared) * os.sysconf("SC_PAGE_SIZE") / 1e9
            for task in (place / "task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except FileNotFoundError:
            continue
    return total


def in_picture(page: Any, script: str) -> Any:
    return page.evaluate(f"(() => {{ const host = document.querySelector('.ds-picture'); {script} }})()")


def whole(page: Any) -> None:
    page.wait_for_function("document.querySelector('.ds-picture')?.dataset.whole > 0", timeout=LONG_MS)


def redraws(page: Any, at: tuple[float, float]) -> list[tuple[float, float, int]]:
    """Seconds to the first look and to the whole picture after each zoom to a place, and the rows there."""
    times = []
    for zoom in ZOOMS:
        first = in_picture(
            page,
            f"""const view = host.view, begun = performance.now();
            host.begun = begun; host.first = 0; host.last = 0;
            view.$el.seen = new Promise((done) => {{
              const look = () => {{
                if (view.shown !== host.old && !host.first) host.first = performance.now() - begun;
                if (host.dataset.whole) {{ host.last = performance.now() - begun; done(); }}
                else setTimeout(look, 5);
              }};
              host.old = view.shown;
              delete host.dataset.whole;
              view.zoom(1 / {zoom}, {at[0]}, {at[1]});
              look();
            }});
            return host.seen.then(() => [host.first / 1000, host.last / 1000, view.inside]);""",
        )
        times.append(tuple(first))
    return times


def measured(folder: Path, name: str, rows: int, at: tuple[float, float]) -> dict[str, Any]:
    """All figures of one list."""
    found: dict[str, Any] = {"rows": f"{rows:,}", "load": round(os.getloadavg()[0], 1)}
    with served(folder) as (address, server), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{address}&tab=Result")
        page.wait_for_function("window.did_handshake === true")
        field = page.locator("input[data-test=result-file]")
        field.fill(name)
        begun = time.perf_counter()
        field.press("Enter")
        page.locator("[data-test=result-facts]").filter(has_text=f"{rows:,} rows").wait_for(timeout=LONG_MS)
        found["list opened, s"] = round(time.perf_counter() - begun, 1)
        whole(page)
        found["whole picture, s"] = round(time.perf_counter() - begun, 1)
        page.locator("[data-test=histogram-photons]").wait_for(timeout=LONG_MS)
        page.wait_for_function(
            "document.querySelector('[data-test=histogram-photons] .ds-histogram-kept')?.getAttribute('d')",
            timeout=LONG_MS,
        )
        found["histograms, s"] = round(time.perf_counter() - begun, 1)
        for k, (first, last, inside) in enumerate(redraws(page, at)):
            found[f"zoom {k + 1}: rows"] = f"{inside:,}"
            found[f"zoom {k + 1}: first look, s"] = round(first, 2)
            found[f"zoom {k + 1}: whole, s"] = round(last, 2)
        found |= turned(page)
        found["browser, GB"] = round(memory_gb(os.getpid(), "chrom"), 2)
        found["server, GB"] = round(memory_gb(server), 2)
        browser.close()
    return found


def turned(page: Any) -> dict[str, Any]:
    """The cloud: time to its points, and how fast it turns with 2 million of them and with fewer."""
    page.get_by_role("button", name="Cloud", exact=True).click()
    page.wait_for_function("document.querySelector('.ds-cloud')?.view.times?.all > 0", timeout=LONG_MS)
    times = page.evaluate("document.querySelector('.ds-cloud').view.times")
    found: dict[str, Any] = {
        "first points, s": round(times["first"], 2),
        "all points, s": round(times["all"], 2),
    }
    for most in (2_000_000, 500_000):
        paces = []
        for _ in range(2):
            page.evaluate(f"document.querySelector('.ds-cloud').view.budget = {most}")
            pace = page.evaluate(f"document.querySelector('.ds-cloud').view.pace({TURNS_S / 2})")
            paces.append(pace["frames"] / pace["seconds"])
        found[f"frames a second, {pace['points']:,} points"] = round(max(paces), 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    arguments = arguments_of(parser)
    rows = []
    for number in [100_000] if arguments.quick else arguments.rows:
        with tempfile.TemporaryDirectory() as scratch:
            header = TableHeader(0.1, FRAMES, (600, 600))
            table = filaments(number)
            write_list(Path(scratch) / "list.hdf5", table, header)
            x, y, _ = table.xyz[number // 2].tolist()
            del table
            rows.append(measured(Path(scratch), "list.hdf5", number, (x, y)))
    report("studio_result", rows, arguments)


if __name__ == "__main__":
    main()
