"""The panel "Beads": a stack with its beads, a gallery to choose from, and the mask that they show."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from nicegui import ui

from ...calibration.beads.survey import BeadSurvey
from ...cli import bead_options
from ...errors import InputError
from ..desk import Desk
from ..marks import Marks
from ..offered import is_movie
from ..parts.choose import FileInput
from ..parts.follow import follow
from ..parts.frame_view import FrameView
from ..parts.notices import explained, guarded, say, told, without_names
from ..parts.props import with_props
from ..parts.same import same_by_command
from ..parts.working import work_lines
from .choice import BeadEntry
from .panel_gallery import Gallery
from .panel_result import ResultView
from .recording import RECORDING, RecordingField
from .same import command_line, python_lines

__all__ = ["beads_panel"]

_LOOK = Path(__file__).parents[1] / "web" / "setup.css"
_TAKEN = "#58c27d"
_LEFT = "#f2a65a"
_DEFOCUS = {"mask": "stays in the mask", "focus": "becomes a change of focus"}


def beads_panel(desk: Desk) -> None:
    """Build the panel for one tab."""
    ui.add_css(_LOOK.read_text(encoding="utf-8"))
    _BeadsPanel(desk).build()


class _BeadsPanel:
    """The elements of the panel in one tab of the browser."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.bench = desk, desk.beads
        self._stack = 0
        self._drawn: object = None

    def build(self) -> None:
        with ui.element("div").classes("ds-panel"):
            with ui.element("div").classes("ds-side ds-broad"):
                self._build_stacks()
                self._build_retrieval()
            with ui.element("div").classes("ds-main"), ui.element("div").classes("ds-halves"):
                with ui.element("div").classes("ds-half"):
                    self._build_stack_view()
                with ui.element("div").classes("ds-half"):
                    self._build_right()
        follow(lambda: (self.bench.changes, self.desk.setup.draft.changes), self._refresh)

    # Stacks.

    def _build_stacks(self) -> None:
        with ui.element("div").classes("ds-section"):
            ui.label("Stacks of beads")
            same_by_command(lambda: self._same(command_line), python=lambda: self._same(python_lines))
        self.file = FileInput(
            self.desk.folder,
            "Stack",
            lambda names: self.bench.open(names),
            wanted=is_movie,
            folders=True,
            help="Raw counts, one slice after the other, one bead or many in each; several stacks with commas",
        ).props("data-test=bead-file")
        self.setup = ui.label().classes("ds-words")
        with ui.element("div").classes("ds-settings"):
            self.moves = ui.select({"objective": "the objective", "depth": "the beads"}, label="What moved")
            self.moves.props("dense outlined options-dense").tooltip(_said(bead_options.Stack))
            self.moves.on_value_change(lambda event: self._record(moves=event.value))
            self.positions = FileInput(
                self.desk.folder,
                "Positions, in place of step",
                lambda name: self._record(positions=self.desk.folder.existing(name) if name.strip() else None),
                help=_said(bead_options.Positions),
            ).props("stack-label")
            self.numbers = {field.name: self._number(field) for field in RECORDING}
        self.problem = ui.label().classes("ds-error").props("data-test=bead-problem")

    def _number(self, field: RecordingField) -> ui.input:
        entry = ui.input(field.label).props("dense outlined stack-label debounce=500")
        with_props(entry, data_test=f"bead-{field.name}")
        entry.tooltip(field.help).without_auto_validation()

        def take() -> None:
            entry.error = None
            try:
                value = field.read(entry.value or "")
                if value != getattr(self.bench.settings, field.name):
                    self.bench.record(**{field.name: value})
            except Exception as error:
                entry.error = explained(error)

        entry.on_value_change(take)
        return entry

    # The retrieval.

    def _build_retrieval(self) -> None:
        ui.label("Mask").classes("ds-section")
        self.defocus = ui.select(_DEFOCUS, label="Defocus of the mask", value="mask")
        self.defocus.props("dense outlined options-dense").classes("w-full")
        self.defocus.tooltip(
            "Beads cannot distinguish a defocus of the mask from a wrong zero of the positions"
        )
        self.defocus.on_value_change(lambda event: self.bench.find(defocus=event.value))
        with ui.element("div").classes("ds-row"):
            self.amplitude = (
                ui.switch("Amplitude")
                .props("dense data-test=bead-amplitude")
                .tooltip(
                    "Also fit the distribution of light over the pupil: for bright beads that the phase alone "
                    "does not explain"
                )
            )
            self.amplitude.on_value_change(lambda event: self.bench.find(amplitude=bool(event.value)))
            self.free = (
                ui.switch("Positions")
                .props("dense")
                .tooltip("Also fit the position of each slice: for a stage whose steps are uneven or uncertain")
            )
            self.free.on_value_change(lambda event: self.bench.find(positions=bool(event.value)))
            ui.space()
            self.button = ui.button("Find the mask", on_click=self._retrieve).props(
                "unelevated dense no-caps data-test=retrieve"
            )
            self.button.tooltip("When a stack is open and its beads are found")
        work_lines(self.bench.work)
        with ui.element("div").classes("ds-settings"):
            self.mask = ui.input("Mask file", value="mask.npy").props("dense outlined data-test=mask-name")
            self.experiment = ui.input("Experiment file", value="found.yaml").props("dense outlined")
            self.experiment.props("data-test=found-name")
        with ui.element("div").classes("ds-row"):
            self.again = ui.checkbox("Replace files").props("dense data-test=mask-again")
            ui.space()
            self.keep = ui.button("Save", icon="save", on_click=self._save).props(
                "unelevated dense no-caps size=sm data-test=save-mask"
            )
            self.keep.tooltip("Mask, picture, figures, and the experiment, which goes on in the panel Set-up")

    @guarded
    def _save(self) -> None:
        files = self.bench.write(
            self.mask.value or "", self.experiment.value or "", overwrite=bool(self.again.value)
        )
        say("wrote " + ", ".join(self.desk.folder.shown(path) for path in files), "positive")

    @guarded
    def _retrieve(self) -> None:
        self.bench.retrieve(self._design())

    def _design(self) -> str:
        """Name of the experiment's file, as a command would be given it."""
        written, start = self.desk.setup.written, self.desk.setup.draft.start
        if written is not None:
            return self.desk.folder.shown(written)
        return "experiment.yaml" if start.startswith("preset ") else start

    def _same(self, lines: Any) -> str:
        return lines(self.bench, self.bench.design or self._design(), self.mask.value or "mask.npy")

    # The stack and its beads.

    def _build_stack_view(self) -> None:
        with ui.element("div").classes("ds-row"):
            self.which = ui.select({0: ""}, value=0, label="Stack").props("dense outlined options-dense")
            self.which.classes("col").on_value_change(lambda event: self._show(event.value))
            self.count = ui.label().classes("ds-number").props("data-test=bead-count")
            self.spinner = ui.spinner(size="18px")
        with ui.element("div").classes("ds-card").props("data-test=beads-first") as self.first:
            ui.label("Open a stack of beads on the left").classes("ds-heading")
            ui.label(
                "Bright, isolated beads on the coverslip, an image at each of ten or more positions of the "
                "objective, or of the beads, through the depths. Give the step between two slices, and "
                "describe the microscope in the panel Set-up. Beads are found by themselves: leave out or add "
                "some by clicks, then find the mask."
            ).classes("ds-words")
        self.view = FrameView("Mean of all slices", unit="photons").props("data-test=view-beads")
        self.view.on_pick(self._pick)
        ui.label("click: take a bead, leave it out, or add one").classes("ds-faint")

    def _build_right(self) -> None:
        with ui.tabs().props("dense no-caps align=left") as self.tabs:
            ui.tab("beads", "Beads")
            self.found = ui.tab("mask", "Mask found").props("data-test=tab-mask")
        with ui.tab_panels(self.tabs, value="beads").classes("ds-right"):
            with ui.tab_panel("beads"):
                self.gallery = Gallery(self.bench.turn)
                self.doubts = ui.element("div")
            with ui.tab_panel("mask"):
                self.result = ResultView()

    @guarded
    def _pick(self, column: float, row: float) -> None:
        self.bench.click(self._stack, column, row)

    def _show(self, stack: int | None) -> None:
        if stack is not None and stack != self._stack:
            self._stack = stack
            self._refresh()

    def _record(self, **changes: Any) -> None:
        with told():
            self.bench.record(**changes)

    # What is shown.

    def _refresh(self) -> None:
        bench = self.bench
        survey, settings = bench.survey, bench.settings
        draft = self.desk.setup.draft
        self.setup.set_text(f"Set-up: {draft.start}; its mask ({draft.experiment.mask.kind}) is the design")
        problem = bench.problem
        try:
            bench.look()
        except InputError as error:
            problem = error
        if bench.stacks:
            self.file.show(", ".join(bench.folder.shown(path) for path in bench.stacks))
        self.moves.set_value(settings.moves)
        for field in RECORDING:
            entry = self.numbers[field.name]
            if not entry.error and _differs(field, entry.value or "", settings):
                entry.set_value(field.shown(settings))
        self.spinner.set_visibility(bench.surveyed.busy)
        self.problem.set_text("" if problem is None else explained(problem))
        self.problem.set_visibility(problem is not None)
        self.button.set_enabled(not bench.work.running and survey is not None)
        self.keep.set_enabled(bench.retrieval is not None)
        self._refresh_beads(survey)
        if self.result.show(bench.retrieval):
            self.tabs.set_value("beads" if bench.retrieval is None else "mask")

    def _refresh_beads(self, survey: BeadSurvey | None) -> None:
        entries = self.bench.entries
        taken = sum(entry.taken for entry in entries)
        self.count.set_text(f"{taken} of {len(entries)} beads used" if survey else "")
        key = (survey, self._stack, tuple(entries))
        if key == self._drawn:
            return
        self._drawn = key
        self.doubts.clear()
        self.first.set_visibility(not self.bench.stacks)
        if survey is None:
            self.gallery.show(None, [])
            self.view.show("")
            self.view.mark_places()
            return
        self._stack = min(self._stack, len(survey.stacks) - 1)
        self.which.set_options({k: stack.name for k, stack in enumerate(survey.stacks)}, value=self._stack)
        self.view.show(f"/data/beads/mean/{self._stack}?v={id(survey)}")
        here = [entry for entry in entries if entry.place[0] == self._stack]
        self.view.mark_places(
            _marks([entry for entry in here if entry.taken], "square", _TAKEN),
            _marks([entry for entry in here if not entry.taken], "cross", _LEFT),
        )
        self.gallery.show(survey, here)
        with self.doubts:
            for text in survey.stacks[self._stack].doubts:
                ui.label(without_names(text)).classes("ds-words ds-doubt")


def _marks(entries: list[BeadEntry], shape: Any, colour: str) -> Marks:
    return Marks(
        shape,
        [float(entry.place[1]) for entry in entries],
        [float(entry.place[2]) for entry in entries],
        colour,
        tips=[entry.reason or entry.words for entry in entries],
        size=9,
    )


def _differs(field: RecordingField, text: str, settings: Any) -> bool:
    """Whether a field shows another value than the settings have."""
    try:
        return field.read(text) != getattr(settings, field.name)
    except ValueError:
        return True


def _said(option: Any) -> str:
    """What the command line says of an option."""
    return next(each.help for each in get_args(option) if hasattr(each, "help"))
