"""The panel "Result": a list with its filter on the left, and what is made of it on the right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nicegui import ui

from ...columns import WHOLE
from ...errors import MissingPixelSize
from ..desk import Desk
from ..offered import is_list
from ..parts.choose import FileInput
from ..parts.follow import follow
from ..parts.histogram import Histogram
from ..parts.icon_button import icon_button
from ..parts.notices import explained, guarded
from ..parts.props import with_props
from ..parts.same import same_by_command
from ..parts.shown import show
from .facts import facts
from .panel_cloud import CloudPart
from .panel_picture import PicturePart
from .panel_statistics import StatisticsPart
from .panel_steps import StepsPart
from .same import python_lines, shown_by_command

__all__ = ["result_panel"]

_LOOK = Path(__file__).parents[1] / "web" / "result.css"
_ORDER = ("photons", "sigma_xy_nm", "sigma_z_nm", "z_nm", "fit_quality", "probability", "frame", "background")
_PARTS = ("Picture", "Cloud", "Statistics", "Steps and export")


def result_panel(desk: Desk) -> None:
    """Build the panel for one tab."""
    ui.add_css(_LOOK.read_text(encoding="utf-8"))
    _ResultPanel(desk).build()


class _ResultPanel:
    """The elements of the panel in one tab of the browser."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.look = desk, desk.result
        self.histograms: dict[str, Histogram] = {}
        self.columns: object = None

    def build(self) -> None:
        with ui.element("div").classes("ds-panel"):
            with ui.element("div").classes("ds-side ds-result-side"):
                self._build_list()
                self._build_filter()
            with ui.element("div").classes("ds-main"):
                self.part = ui.toggle(list(_PARTS), value=_PARTS[0], on_change=self._switch).props(
                    "dense no-caps unelevated data-test=result-part"
                )
                self.places = [ui.element("div").classes("ds-result-part") for _ in _PARTS]
                kinds = (PicturePart, CloudPart, StatisticsPart, StepsPart)
                self.parts = []
                for place, kind in zip(self.places, kinds, strict=True):
                    with place:
                        self.parts.append(kind(self.desk))
        self._switch()
        follow(lambda: self.look.changes, self._refresh)

    def _build_list(self) -> None:
        with ui.element("div").classes("ds-section"):
            ui.label("List")
            same_by_command(
                lambda: shown_by_command(self.look, self.desk.folder),
                python=lambda: python_lines(self.look, self.desk.folder),
            )
        self.file = FileInput(
            self.desk.folder,
            "Localizations",
            self._open,
            wanted=is_list,
            help="Picasso, ThunderSTORM, SMAP, smappy, DECODE, challenge: any list that the program reads",
        ).props("data-test=result-file")
        self.pixel = (
            ui.number("Camera pixel (nm)", min=1, format="%.6g")
            .props("dense outlined data-test=result-pixel")
            .on("keydown.enter", self._open_with_pixel)
            .on("blur", self._open_with_pixel)
        )
        self.facts = ui.label().classes("ds-words").props("data-test=result-facts")
        self.problem = ui.label().classes("ds-error").props("data-test=result-problem")

    def _build_filter(self) -> None:
        with ui.element("div").classes("ds-section"):
            ui.label("Filter")
            with ui.element("div").classes("ds-row").style("width: auto; gap: 4px"):
                self.spinner = ui.spinner(size="14px")
                self.left = ui.label().classes("ds-number").props("data-test=rows-left")
                icon_button("restart_alt", "Keep all rows", self._keep_all).props("size=sm data-test=keep-all")
        self.words = (
            ui.input("Further condition", placeholder="sigma_z_nm < 40 | frame >= 500")
            .props("dense outlined data-test=condition")
            .tooltip("As the command filter takes it: < <= > >= == !=, & | ~, + - * /, abs sqrt log10 min max")
            .on("keydown.enter", self._say)
            .on("blur", self._say)
        )
        self.expression = ui.label().classes("ds-expression").props("data-test=expression")
        self.place = ui.element("div").classes("ds-histograms")

    # What the user does.

    def _open(self, name: str) -> None:
        if not name.strip():
            self.look.close()
            return
        path, opened = self.desk.folder.existing(name), self.look.opened
        if opened is not None and opened.path == path:  # again, since it has changed
            self.look.open(path, opened.wanted.pixel_nm)
            return
        self.pixel.set_value(None)
        self.look.open(path)

    @guarded
    def _open_with_pixel(self) -> None:
        answer = self.look.opening.answer
        asked = None if answer is None else answer.question
        if asked is not None and self.pixel.value and self.pixel.value != asked.pixel_nm:
            self.look.open(asked.path, float(self.pixel.value))

    @guarded
    def _say(self) -> None:
        words = (self.words.value or "").strip()
        if words != self.look.conditions.words:
            self.look.say(words)

    @guarded
    def _keep_all(self) -> None:
        self.look.keep_all()

    def _switch(self, _: Any = None) -> None:
        for place, name in zip(self.places, _PARTS, strict=True):
            place.set_visibility(self.part.value == name)

    # What is shown.

    def _refresh(self) -> None:
        look, opened = self.look, self.look.opened
        error = look.problem
        self.problem.set_text("" if error is None else explained(error))
        asked = opened.wanted.pixel_nm if opened is not None else None
        self.pixel.set_visibility(isinstance(error, MissingPixelSize) or asked is not None)
        busy = look.opening.busy or look.sieving.busy or look.counting.busy or look.binning.busy
        self.spinner.set_visibility(busy)
        self.facts.set_text(facts(look))
        if opened is None:
            self.left.set_text("")
        else:
            self.file.show(self.desk.folder.shown(opened.path))
            self.left.set_text("" if look.kept is None else f"{look.kept.rows:,} of {len(opened.table):,}")
        show(self.words, look.conditions.words)
        self.expression.set_text(look.conditions.expression)
        self._refresh_histograms()
        for part in self.parts:
            part.refresh()

    def _refresh_histograms(self) -> None:
        look = self.look
        if self.columns is not look.columns:
            self.columns, self.histograms = look.columns, {}
            self.place.clear()
            with self.place:
                for name in sorted(look.columns, key=_place):
                    self.histograms[name] = self._histogram(name)
        for name, histogram in self.histograms.items():
            shown = look.distributions.get(name)
            limits = look.conditions.ranges.get(name, (None, None))
            histogram.show([] if shown is None else shown.counts, limits)

    def _histogram(self, name: str) -> Histogram:
        column = self.look.columns[name]
        hint = f"{name} ({column.unit}): drag a handle to filter; double click: no limit"
        made = Histogram(
            name,
            (float(column.edges[0]), float(column.edges[-1])),
            column.counts().tolist(),
            unit=column.unit.split(",")[0],
            hint=hint,
            whole=name in WHOLE,
            most=column.most,
        )
        with_props(made, data_test=f"histogram-{name}")
        made.on_range(guarded(lambda limits, name=name: self.look.limit(name, limits)))
        return made


def _place(column: str) -> int:
    """What is filtered most often stands first."""
    return _ORDER.index(column) if column in _ORDER else len(_ORDER)
