"""The report is one page that loads nothing, says all that the list records, and works for every list."""

from __future__ import annotations

import base64
import dataclasses
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.drift import DriftCurve
from deepstorm3d.analysis.linking import LinkRule
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import TableHeader, write_list, write_table
from deepstorm3d.jobs.filter import filter_table
from deepstorm3d.jobs.link import link_table
from deepstorm3d.jobs.report import Overlays, write_report
from factories import tiny_experiment, untrained_model, write_movie

pytestmark = pytest.mark.usefixtures("coarse_pictures")

ALWAYS = ["At a glance", "Conditions", "Picture", "Quality", "Steps", "How it was made"]
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would find on the page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.anchors: list[str] = []
        self.headings: list[str] = []
        self.pictures: list[bytes] = []
        self.scripts = 0
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == [], "elements that nothing closes"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.scripts += tag == "script"
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action"):
                self.addresses.append(value or "")
            if name == "id":
                self.anchors.append(value or "")
            assert not name.startswith("on")
        if tag == "img":
            kind, _, data = (dict(attrs)["src"] or "").partition(";base64,")
            assert kind == "data:image/png"
            self.pictures.append(base64.b64decode(data))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        if not {"style", "pre"} & set(self.open):
            self.text += data


def page_of(path: Path) -> Page:
    """The page, after what holds for each: nothing is loaded, every entry of the contents leads somewhere."""
    page = Page(path)
    assert page.scripts == 0
    links = [address for address in page.addresses if not address.startswith("data:")]
    assert links == [f"#{anchor}" for anchor in page.anchors]
    assert all(picture.startswith(b"\x89PNG") for picture in page.pictures)
    raw = path.read_text(encoding="utf-8")
    assert "http://" not in raw
    assert "https://" not in raw
    assert "url(" not in raw
    assert "@import" not in raw
    return page


def found(n: int = 60) -> Localizations:
    g = torch.Generator().manual_seed(1)
    xyz = 0.5 + torch.rand(n, 3, generator=g) * torch.tensor([4.0, 3.0, 0.5])
    table = Localizations.proposals(xyz, torch.arange(n) // 10, torch.rand(n, generator=g))
    return dataclasses.replace(
        table,
        photons=5000 + 100 * torch.rand(n, generator=g),
        sigma_xyz=0.01 + 0.01 * torch.rand(n, 3, generator=g),
        sigma_source="fit",
    )


def provenance(**more: object) -> dict[str, object]:
    experiment = tiny_experiment()
    return {
        "program": "deepstorm3d 0.0.9",
        "movie": "cells & <b>more</b>.tif",
        "frames": [0, 6],
        "roi": [0, 0, 48, 40],
        "threshold": 0.4,
        "refined": True,
        "camera": experiment.camera.to_mapping(),
        "experiment": experiment.to_mapping(),
        **more,
    }


def write(path: Path, table: Localizations, made: dict[str, object] | None = None) -> Path:
    write_list(path, table, TableHeader(pixel_um=0.11, frames=6, shape=(40, 48), provenance=made or {}))
    return path


def test_a_report_has_every_section_and_loads_nothing(tmp_path: Path):
    command = ["deepstorm3d", "localize", "my movie.tif", "--model", "tetrapod"]
    source = write(tmp_path / "a.hdf5", found(), provenance(command=command))
    assert write_report(source, tmp_path / "r.html", resolution=False) == ALWAYS
    page = page_of(tmp_path / "r.html")
    assert page.headings == ALWAYS
    assert len(page.pictures) == 2
    for words in ("60", "deepstorm3d 0.0.9", "numerical aperture", "SHA-256", "of the joint fit", "sigma_z_nm"):
        assert words in page.text
    raw = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "deepstorm3d localize &#39;my movie.tif&#39; --model tetrapod" in raw


def test_whatever_a_file_says_is_text_and_nothing_else(tmp_path: Path):
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    made = provenance(command=[evil], note=evil, steps=[{"step": evil, "k": {evil: evil}}])
    source = write(tmp_path / "a.hdf5", found(), made)
    write_report(source, tmp_path / "r.html", resolution=False)
    page = page_of(tmp_path / "r.html")
    assert "<script>alert(1)" in page.text
    assert len(page.pictures) == 2


def test_steps_are_shown(tmp_path: Path):
    source = write(tmp_path / "a.hdf5", found(), provenance())
    filter_table(source, "photons > 5020", tmp_path / "b.hdf5")
    link_table(tmp_path / "b.hdf5", tmp_path / "c.hdf5", LinkRule(dark=3))
    write_report(tmp_path / "c.hdf5", tmp_path / "r.html", resolution=False)
    page = page_of(tmp_path / "r.html")
    assert "photons > 5020" in page.text
    assert "dark: 3" in page.text


def test_drift_and_resolution_are_shown_or_it_is_said_why_not(tmp_path: Path):
    steps = [{"step": "drift", "curve": "../b.drift.csv"}, {"step": "drift", "curve": "gone.csv"}]
    source = write(tmp_path / "a.hdf5", found(), provenance(steps=steps))
    curve = DriftCurve(np.arange(6), np.linspace(0, 0.1, 18).reshape(6, 3), np.zeros((6, 3)))
    (tmp_path / "b.drift.csv").write_text(curve.to_csv())
    titles = write_report(source, tmp_path / "r.html")
    assert titles == [*ALWAYS[:4], "Drift", "Resolution", *ALWAYS[4:]]
    page = page_of(tmp_path / "r.html")
    assert len(page.pictures) == 4
    assert "from b.drift.csv" in page.text
    write_report(write(tmp_path / "e.hdf5", Localizations.empty(), provenance()), tmp_path / "e.html")
    assert "a resolution needs thousands" in page_of(tmp_path / "e.html").text


def test_an_empty_list_says_so(tmp_path: Path):
    source = write(tmp_path / "a.hdf5", Localizations.empty(), provenance())
    assert write_report(source, tmp_path / "r.html", resolution=False) == ALWAYS
    page = page_of(tmp_path / "r.html")
    assert page.pictures == []
    assert page.text.count("The list holds no localization.") == 3


def test_a_list_of_another_program_has_no_conditions(tmp_path: Path):
    bare = tmp_path / "foreign.csv"
    rows = "\n".join(f"{k + 1},{500 + 90 * k},{900 + 40 * k},{50 + k}" for k in range(30))
    bare.write_text(f'"frame","x [nm]","y [nm]","z [nm]"\n{rows}\n', encoding="utf-8")
    with pytest.raises(InputError, match="`pixel_um`"):
        write_report(bare, tmp_path / "r.html", resolution=False)
    write_report(bare, tmp_path / "r.html", pixel_nm=100.0, resolution=False)
    page = page_of(tmp_path / "r.html")
    assert page.headings == ALWAYS
    assert "another program wrote it" in page.text
    assert "not recorded; the rows reach to 32 × 21 px" in page.text
    assert "not recorded; the rows reach to 30" in page.text and "field (to the last row)" in page.text
    assert "does not record its command" in page.text
    assert "The list has no σ" in page.text


def test_an_experiment_of_another_version_is_shown_as_it_stands(tmp_path: Path):
    made = provenance(experiment={"microscope": {"warp": 9.5, "wavelength": 0.6}}, camera={"kind": "film"})
    write_report(write(tmp_path / "a.hdf5", found(), made), tmp_path / "r.html", resolution=False)
    page = page_of(tmp_path / "r.html")
    assert "warp" in page.text
    assert "film" in page.text


def test_frames_are_drawn_beside_their_images(tmp_path: Path):
    model = untrained_model(tiny_experiment(), 0.5)
    g = torch.Generator().manual_seed(0)
    write_movie(tmp_path / "m.tif", torch.poisson(torch.full((6, 40, 48), 90.0), generator=g))
    source = write(tmp_path / "a.hdf5", found(), provenance())
    overlays = Overlays(tmp_path / "m.tif", model, count=2)
    titles = write_report(source, tmp_path / "r.html", overlays=overlays, resolution=False)
    assert titles[-2] == "Frames beside their regenerated images"
    page = page_of(tmp_path / "r.html")
    assert len(page.pictures) == 4
    assert "Frame 1: 10 localizations" in page.text
    assert "Frame 4: 10 localizations" in page.text
    link_table(source, tmp_path / "linked.hdf5", LinkRule())
    write_report(tmp_path / "linked.hdf5", tmp_path / "l.html", overlays=overlays, resolution=False)
    assert "no longer lie where the frames show the molecules (link)" in page_of(tmp_path / "l.html").text
    write_table(tmp_path / "long.hdf5", found(), pixel_um=0.11, frames=90, shape=(40, 48))
    with pytest.raises(InputError, match="give the movie that was localized"):
        write_report(tmp_path / "long.hdf5", tmp_path / "x.html", overlays=overlays, resolution=False)
    assert not (tmp_path / "x.html").exists()


def test_a_wrong_name_or_a_name_that_is_taken_is_refused(tmp_path: Path):
    source = write(tmp_path / "a.hdf5", found())
    with pytest.raises(InputError, match=r"HTML page, not '\.pdf'"):
        write_report(source, tmp_path / "r.pdf", resolution=False)
    (tmp_path / "r.html").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="overwrite=True"):
        write_report(source, tmp_path / "r.html", resolution=False)
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == "mine"
