"""Steps from a list to another list, a measurement or a file: the jobs of the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ...analysis.linking import LinkRule
from ...analysis.resolution import ResolutionReport
from ...analysis.trajectories import FrameTiming, TrackRule
from ...io.tables import FORMATS
from ...io.tables.formats import format_to_write
from ...jobs.convert import convert_table
from ...jobs.drift import correct_drift
from ...jobs.filter import filter_table
from ...jobs.link import link_table
from ...jobs.report import write_report
from ...jobs.resolution import measure_resolution
from ...jobs.track import track_table
from ...plot.correlations import resolution
from ...plot.panels import figure_png
from ...watch import Watcher
from .opened import Wanted

__all__ = [
    "DriftStep",
    "ExportStep",
    "LinkStep",
    "Outcome",
    "ReportStep",
    "ResolutionStep",
    "Step",
    "TrackStep",
    "Words",
    "endings",
    "take_step",
]


Words = tuple[str, ...]
"""A command and its arguments."""


@dataclass(frozen=True)
class Outcome:
    """What a step gave.

    lines: its result in words;  warnings: what speaks against it;  picture: a PNG, b"" for none;
    written: files;  made: the list that can be opened next, None where there is none.
    """

    lines: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    picture: bytes = b""
    written: tuple[Path, ...] = ()
    made: Path | None = None


class Step(Protocol):
    """One step: its command lines, and the work."""

    @property
    def commands(self) -> tuple[Words, ...]:
        """The command lines that do the same, paths as they are."""
        ...

    def run(self, watch: Watcher) -> Outcome:
        """Do it; raises InputError as the job does."""
        ...


def take_step(step: Step, watch: Watcher) -> Outcome:
    """Run a step."""
    return step.run(watch)


@dataclass(frozen=True)
class DriftStep:
    """Subtract the drift that the list itself tells.  segments: of the curve; None: as many as it bears."""

    source: Wanted
    out: Path
    segments: int | None = None

    @property
    def commands(self) -> tuple[Words, ...]:
        more = () if self.segments is None else ("--segments", f"{self.segments}")
        return (_words("drift", self.source, "--out", str(self.out), *more),)

    def run(self, watch: Watcher) -> Outcome:
        done = correct_drift(
            self.source.path, self.out, segments=self.segments, pixel_nm=self.source.pixel_nm, watch=watch
        )
        x, y, z = done.drift.reach_nm
        sx, sy, sz = done.drift.sigma_nm
        lines = (
            f"drift over the movie: {x:.0f} nm in x, {y:.0f} nm in y, {z:.0f} nm in z",
            f"σ of the curve: {sx:.1f} · {sy:.1f} · {sz:.1f} nm; {done.drift.segments} segments",
        )
        written = (self.out, done.curve_csv, done.picture)
        return Outcome(lines, done.notes, done.picture.read_bytes(), written, self.out)


@dataclass(frozen=True)
class LinkStep:
    """Join rows of one molecule.  radius_nm: None: 3 σ of the difference;  dark: frames it may be missing."""

    source: Wanted
    out: Path
    radius_nm: float | None = None
    dark: int = 1

    @property
    def commands(self) -> tuple[Words, ...]:
        more = () if self.radius_nm is None else ("--radius-nm", f"{self.radius_nm:g}")
        return (_words("link", self.source, "--out", str(self.out), *more, "--dark", f"{self.dark}"),)

    def run(self, watch: Watcher) -> Outcome:
        radius = None if self.radius_nm is None else self.radius_nm / 1000
        done = link_table(
            self.source.path, self.out, LinkRule(radius, radius, self.dark), pixel_nm=self.source.pixel_nm
        )
        lines = [f"{done.molecules:,} molecules of {done.rows:,} localizations, {done.seen_once:,} seen once"]
        if done.spread_over_sigma is not None:
            x, y, z = done.spread_over_sigma
            lines.append(f"scatter within molecules over σ: {x:.2f} in x, {y:.2f} in y, {z:.2f} in z (1: true)")
        return Outcome(tuple(lines), tuple(done.warnings), b"", (self.out,), self.out)


@dataclass(frozen=True)
class TrackStep:
    """Follow moving molecules.  interval: time from frame to frame, s; None: not known."""

    source: Wanted
    out: Path
    interval: float | None = None
    gap: int = 1
    least: int = 3

    @property
    def picture(self) -> Path:
        """Where its picture goes."""
        return self.out.with_name(f"{self.out.stem}.png")

    @property
    def commands(self) -> tuple[Words, ...]:
        more = () if self.interval is None else ("--interval", f"{self.interval:g}")
        rule = ("--gap", f"{self.gap}", "--least", f"{self.least}")
        files = ("--out", str(self.out), "--picture", str(self.picture))
        return (_words("track", self.source, *files, *rule, *more),)

    def run(self, watch: Watcher) -> Outcome:
        rule = TrackRule(gap=self.gap, least=self.least, timing=FrameTiming(self.interval))
        done = track_table(
            self.source.path,
            self.out,
            rule,
            picture=self.picture,
            pixel_nm=self.source.pixel_nm,
            watch=watch,
        )
        lines = [f"{done.tracks:,} trajectories with {done.kept:,} of {done.rows:,} rows"]
        if done.diffusion is not None:
            per = "s" if self.interval is not None else "frame"
            d, error = done.diffusion.coefficient, done.diffusion.coefficient_error
            lines.append(f"D = {d:.4g} ± {error:.2g} µm²/{per}")
        written = (self.out, self.picture)
        return Outcome(tuple(lines), tuple(done.warnings), self.picture.read_bytes(), written, self.out)


@dataclass(frozen=True)
class ResolutionStep:
    """What the list resolves."""

    source: Wanted

    @property
    def commands(self) -> tuple[Words, ...]:
        return (_words("resolution", self.source),)

    def run(self, watch: Watcher) -> Outcome:
        report = measure_resolution(self.source.path, pixel_nm=self.source.pixel_nm, watch=watch)
        png = figure_png(resolution(report, title=f"Resolution of {self.source.path.name}"))
        return Outcome(_resolved(report), report.notes, png)


def _resolved(report: ResolutionReport) -> tuple[str, ...]:
    lines = [
        f"{name}: {each.status if each.resolution_um is None else f'{1000 * each.resolution_um:.0f} nm'}"
        for name, each in report.correlations.items()
    ]
    if report.precision is not None:
        told = " · ".join(f"{1000 * each.sigma_um:.1f}" for each in report.precision)
        lines.append(f"σ of x · y · z from adjacent frames: {told} nm")
    return tuple(lines)


@dataclass(frozen=True)
class ReportStep:
    """One page that says what the list is and how good it is."""

    source: Wanted
    out: Path

    @property
    def commands(self) -> tuple[Words, ...]:
        return (_words("report", self.source, "--out", str(self.out)),)

    def run(self, watch: Watcher) -> Outcome:
        heard = _Heard(watch)
        titles = write_report(self.source.path, self.out, pixel_nm=self.source.pixel_nm, watch=heard)
        return Outcome((f"sections: {', '.join(titles)}",), tuple(heard.messages), b"", (self.out,))


@dataclass(frozen=True)
class ExportStep:
    """Write the list, or the rows of it that meet a condition, in a format of its own or another program's.

    to: name of the format (`FORMATS`);  expression: "" for all rows.
    """

    source: Wanted
    out: Path
    to: str
    expression: str = ""

    @property
    def commands(self) -> tuple[Words, ...]:
        if not self.expression:
            return (_words("convert", self.source, str(self.out), "--to", self.to),)
        usual = format_to_write(self.out, None).name == self.to
        first = self.out if usual else self.out.with_name(f"{self.out.stem}.filtered.hdf5")
        kept = _words("filter", self.source, self.expression, "--out", str(first))
        return (kept,) if usual else (kept, _words("convert", Wanted(first), str(self.out), "--to", self.to))

    def run(self, watch: Watcher) -> Outcome:
        if self.expression:
            done = filter_table(
                self.source.path, self.expression, self.out, to=self.to, pixel_nm=self.source.pixel_nm
            )
            line = f"{done.after:,} of {done.before:,} rows written"
            return Outcome((line,), tuple(done.warnings), b"", (self.out,), self.out)
        heard = _Heard(watch)
        rows = convert_table(self.source.path, self.out, to=self.to, pixel_nm=self.source.pixel_nm, watch=heard)
        return Outcome((f"{rows:,} rows written",), tuple(heard.messages), b"", (self.out,), self.out)


def endings() -> dict[str, tuple[str, str]]:
    """The title and the usual ending of each format that can be written, by its name."""
    return {kind.name: (kind.title, kind.endings[0]) for kind in FORMATS if kind.writes}


def _words(command: str, source: Wanted, *more: str) -> Words:
    pixel = () if source.pixel_nm is None else ("--pixel-nm", f"{source.pixel_nm:g}")
    return (command, str(source.path), *more, *pixel)


@dataclass
class _Heard(Watcher):
    """Passes on progress, and keeps what was said."""

    watch: Watcher
    messages: list[str] = field(default_factory=list)

    def progress(self, done: int, total: int, note: str = "") -> None:
        self.watch.progress(done, total, note)

    def message(self, text: str) -> None:
        self.messages.append(text.removeprefix("warning: "))

    @property
    def stopped(self) -> bool:
        return self.watch.stopped
