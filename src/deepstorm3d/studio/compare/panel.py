"""The panel "Compare": figures of a list against the truth, and its matched, missed and false rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nicegui import ui

from ...analysis.evaluation import TOLERANCE_NM
from ..desk import Desk
from ..offered import is_list, is_movie
from ..parts.choose import FileInput
from ..parts.follow import follow
from ..parts.frame_view import FrameView
from ..parts.icon_button import icon_button
from ..parts.notices import explained, guarded, say
from ..parts.props import with_props
from ..parts.same import same_by_command
from .charts import MOST_IN_3D, depth_chart, figures_table
from .marks import COLOURS, LABELS, frame_marks
from .outcome import FATES, Fate, Outcome
from .same import command_line, python_lines
from .space_view import SpaceView

__all__ = ["compare_panel"]

_LOOK = Path(__file__).parents[1] / "web" / "compare.css"
_VIEWS = {"frame": "This frame in 3D", "all": "All in 3D", "depth": "Errors by depth"}
_SIGNS: dict[Fate, str] = {"matched": "○", "missed": "□", "false": "×", "ignored": "+"}


def compare_panel(desk: Desk) -> ui.keyboard:
    """Build the panel for one tab; returns its keys."""
    return _ComparePanel(desk).build()


class _ComparePanel:
    """The elements of the panel in one tab of the browser."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.look = desk, desk.compare
        self._drawn: dict[str, object] = {}
        self._filling = False

    def build(self) -> ui.keyboard:
        ui.add_css(_LOOK.read_text(encoding="utf-8"))
        with ui.element("div").classes("ds-panel"):
            with ui.element("div").classes("ds-side"):
                self._build_files()
                self._build_rule()
                self._build_saving()
            with ui.element("div").classes("ds-main ds-compare"):
                with ui.element("div").classes("ds-column ds-fill"):
                    self.seen = FrameView("Frame", unit="ADU").props("data-test=compare-view")
                    self._build_scrubber()
                with ui.element("div").classes("ds-column ds-fill"):
                    self._build_figures()
        follow(lambda: self.look.changes, self._refresh)
        return ui.keyboard(self._key, ignore=["input", "select", "button", "textarea"])

    # The column of controls.

    def _build_files(self) -> None:
        with ui.element("div").classes("ds-section"):
            ui.label("Lists")
            same_by_command(
                lambda: command_line(self.look.asked, self.desk.folder),
                python=lambda: python_lines(self.look.asked, self.desk.folder),
            )
        self.found = self._list_input("List", "found", "Localizations: HDF5 or CSV of any known program")
        ui.button("That of the panel Result", on_click=guarded(self._take_list)).props(
            "flat dense no-caps size=sm data-test=compare-result"
        ).tooltip("The file that is open there, all of its rows")
        self.truth = self._list_input(
            "Truth, or second list", "truth", "What the list is compared with: true molecules, or another list"
        )
        ui.label("Movie under the marks").classes("ds-section")
        self.movie = FileInput(
            self.desk.folder,
            "Movie",
            self._open_movie,
            wanted=is_movie,
            folders=True,
            help="Not needed for the figures",
        ).props("data-test=compare-movie")
        ui.button("That of the panel Movie", on_click=guarded(self._take_movie)).props(
            "flat dense no-caps size=sm"
        )

    def _list_input(self, label: str, role: str, help: str) -> FileInput:
        def take(name: str) -> None:
            before = self.look.asked
            self.look.use(**{role: self.desk.folder.existing(name) if name.strip() else None})
            if self.look.asked == before:
                self.look.again()  # the file has changed

        entry = FileInput(self.desk.folder, label, take, wanted=is_list, help=help)
        return with_props(entry, data_test=f"compare-{role}")

    def _build_rule(self) -> None:
        changed = guarded(self._use_rule)
        ui.label("Matching, frame by frame").classes("ds-section")
        self.tolerance = (
            ui.number("Tolerance in 3D, nm", value=TOLERANCE_NM, format="%.6g", on_change=changed)
            .props("dense outlined debounce=500 data-test=compare-tolerance")
            .tooltip(f"A hit lies within this distance of a true molecule; empty: {TOLERANCE_NM:g} nm")
        )
        self.challenge = (
            ui.checkbox("as the SMLM challenge 2016", on_change=changed)
            .props("dense")
            .tooltip("Within 250 nm laterally and 500 nm axially, without the outer 450 nm of the field")
        )
        self.register = (
            ui.checkbox("shift the list onto the truth first", on_change=changed)
            .props("dense data-test=compare-register")
            .tooltip("As one body in x, y and z; the shift is reported")
        )
        self.dim = (
            ui.number("Least photons that count", value=0, format="%.6g", on_change=changed)
            .props("dense outlined debounce=500")
            .tooltip("True molecules with fewer photons count neither as found nor as missed")
        )
        self.pixel = (
            ui.number("Pixel in the sample, nm", format="%.6g", on_change=changed)
            .props("dense outlined clearable debounce=500 data-test=compare-pixel")
            .tooltip("Only for lists that do not name it")
        )

    def _build_saving(self) -> None:
        ui.label("Save").classes("ds-section")
        with ui.element("div").classes("ds-row"):
            self.out = (
                ui.input("Picture", value="comparison.png")
                .props("dense outlined data-test=compare-out")
                .tooltip(".png, .pdf or .svg; the figures go beside it as .json")
            )
            save = icon_button(
                "save", "Write picture and figures as the command evaluate does", guarded(self._save)
            )
            save.props("data-test=compare-save")
        self.progress = ui.linear_progress(value=0, show_value=False).props("size=4px indeterminate")
        self.state = ui.label().classes("ds-words").props("data-test=compare-state")
        self.problem = ui.label().classes("ds-error").props("data-test=compare-problem")

    # The frame, the figures, the space.

    def _build_scrubber(self) -> None:
        with ui.element("div").classes("ds-row"):
            icon_button("chevron_left", "Frame before (key ←)", lambda: self._step(-1))
            self.scrubber = (
                ui.slider(min=0, max=1, step=1, value=0)
                .props("dense label data-test=compare-scrubber")
                .classes("col")
                .on("update:model-value", lambda event: self.look.show(int(event.args)), throttle=0.05)
            )
            icon_button("chevron_right", "Next frame (key →)", lambda: self._step(1))
            self.place = ui.label().classes("ds-number").props("data-test=compare-place")
        # In a narrow window the buttons go under the counts.
        with ui.element("div").classes("ds-row ds-wrap"):
            signs: dict[Fate, ui.label] = {}
            self.counts: dict[Fate, ui.label] = {}
            for fate in FATES:
                signs[fate] = ui.label(_SIGNS[fate]).style(f"color: {COLOURS[fate]}; font-weight: 700")
                count = ui.label().classes("ds-number").style("white-space: nowrap")
                self.counts[fate] = with_props(count, data_test=f"compare-count-{fate}")
            # Shown only where some rows do not count.
            self.uncounted = (signs["ignored"], self.counts["ignored"])
            ui.space()
            for fate in ("missed", "false"):
                self._build_jump(fate, -1)
                self._build_jump(fate, 1)

    def _build_jump(self, fate: Fate, direction: int) -> None:
        later = direction > 0
        button = ui.button(LABELS[fate], on_click=lambda: self._jump(fate, direction)).props(
            "flat dense no-caps no-wrap size=sm"
        )
        button.props("icon-right=navigate_next" if later else "icon=navigate_before")
        with_props(button, data_test=f"jump-{fate}-{'next' if later else 'before'}").tooltip(
            f"{'Next' if later else 'Earlier'} frame with a {LABELS[fate]} one "
            f"(key {'' if later else 'shift '}{LABELS[fate][0]})"
        )

    def _build_figures(self) -> None:
        with ui.element("div").classes("ds-card ds-scroll"):
            self.table = ui.html("", sanitize=False).props("data-test=compare-table")
            self.summary = ui.label().classes("ds-words").props("data-test=compare-summary")
        self.view = ui.toggle(_VIEWS, value="frame", on_change=self._draw_view).props(
            "dense no-caps unelevated spread data-test=compare-3d"
        )
        with ui.element("div").classes("ds-card ds-fill"):
            self.space = SpaceView().props("data-test=compare-space")
            self.space.bind_visibility_from(self.view, "value", backward=lambda view: view != "depth")
            self.depth = ui.echart(depth_chart(None)).classes("ds-chart").props("data-test=compare-depth")
            self.depth.bind_visibility_from(self.view, "value", value="depth")

    # What the user does.

    def _open_movie(self, name: str) -> None:
        self.look.open_movie(self.desk.folder.existing(name) if name.strip() else None)

    def _take_list(self) -> None:
        opened = self.desk.result.opened
        if opened is None:
            say("no list is open on the panel Result", "warning")
        else:
            self.look.use(found=opened.path)
            if self.desk.result.conditions.parts:
                say("The whole list is compared. To compare what the filter leaves, export it first.")

    def _take_movie(self) -> None:
        movie = self.desk.movie.movie
        if movie is None:
            say("no movie is open on the panel Movie", "warning")
        else:
            self.look.open_movie(movie.path)

    def _use_rule(self) -> None:
        if self._filling:
            return
        tolerance = self.tolerance.value
        self.look.use(
            tolerance_nm=TOLERANCE_NM if tolerance is None else float(tolerance),
            challenge=bool(self.challenge.value),
            register=bool(self.register.value),
            min_photons=float(self.dim.value or 0.0),
            pixel_nm=self.pixel.value or None,
        )

    def _save(self) -> None:
        picture = self.desk.folder.path(self.out.value or "comparison.png")
        figures = picture.with_suffix(".json")
        self.look.save(figures, picture)
        say(f"wrote {self._shown(picture)} and {self._shown(figures)}", "positive")

    def _step(self, by: int) -> None:
        self.look.show(self.look.frame + by)

    def _jump(self, fate: Fate, direction: int) -> None:
        if not self.look.jump((fate,), 1 if direction > 0 else -1):
            say(f"no {'later' if direction > 0 else 'earlier'} frame has a {LABELS[fate]} one")

    def _key(self, event: Any) -> None:
        if not event.action.keydown:
            return
        direction = -1 if event.modifiers.shift else 1
        if event.key.arrow_left or event.key.arrow_right:
            self._step((-1 if event.key.arrow_left else 1) * (10 if event.modifiers.shift else 1))
        elif str(event.key.name).lower() == "m":
            self._jump("missed", direction)
        elif str(event.key.name).lower() == "f":
            self._jump("false", direction)

    # What is shown.

    def _refresh(self) -> None:
        look, outcome = self.look, self.look.outcome
        self._fill()
        error = look.error
        self.problem.set_text("" if error is None else explained(error))
        self.progress.set_visibility(look.work.busy)
        self.state.set_text(self._words(outcome))
        frames = look.frames
        with_props(self.scrubber, max=max(1, frames - 1))
        self.scrubber.set_value(look.frame)
        self.place.set_text(f"frame {look.frame:,} (0 to {frames - 1:,})" if frames else "")
        name = f"{id(outcome)}-{look.movie}" if look.movie is None else str(hash(look.movie))
        self.seen.show(f"/data/compare/counts/{min(look.frame, frames - 1)}?v={name}" if frames else "")
        self.seen.entitle("Frame" if look.movie is not None else "Frame (no movie is open)")
        if self._changed("figures", id(outcome)):
            self.table.set_content(figures_table(None if outcome is None else outcome.evaluation))
            self.summary.set_text("" if outcome is None else _summary(outcome))
        if self._changed("marks", (id(outcome), look.frame)):
            self.seen.mark_places(*([] if outcome is None else frame_marks(outcome, look.frame)))
            for fate, label in self.counts.items():
                number = 0 if outcome is None else len(outcome.places[fate].at(look.frame))
                label.set_text(f"{number} {LABELS[fate]}")
            for part in self.uncounted:
                part.set_visibility(outcome is not None and len(outcome.places["ignored"]) > 0)
        self._draw_view()

    def _draw_view(self) -> None:
        """Draw the points or the curves, where what they show has changed."""
        outcome, view = self.look.outcome, self.view.value
        if view == "depth":
            if self._changed("depth", id(outcome)):
                self.depth.options.clear()
                self.depth.options.update(depth_chart(None if outcome is None else outcome.depth))
                self.depth.update()
        elif outcome is None:
            self.space.show("", 1.0)
        elif view == "frame":
            self.space.show(f"/data/compare/points/{self.look.frame}?v={id(outcome)}", 4.0)
        else:
            self.space.show(f"/data/compare/points?v={id(outcome)}", 1.0)

    def _fill(self) -> None:
        """Show what is asked for, as another tab may have changed it."""
        asked, shown = self.look.asked, self._shown
        if not self._changed("asked", (asked, self.look.movie)):
            return
        self._filling = True
        for field, path in (
            (self.found, asked.found),
            (self.truth, asked.truth),
            (self.movie, self.look.movie),
        ):
            field.show(shown(path))
        self.tolerance.set_value(asked.rule.tolerance_nm)
        self.tolerance.set_enabled(not asked.rule.challenge)
        self.challenge.set_value(asked.rule.challenge)
        self.register.set_value(asked.register)
        self.dim.set_value(asked.rule.min_photons)
        self.pixel.set_value(asked.pixel_nm)
        self._filling = False

    def _words(self, outcome: Outcome | None) -> str:
        asked, work = self.look.asked, self.look.work
        if asked.found is None or asked.truth is None:
            return "Choose a list, and the truth or a second list."
        if work.busy:
            return f"{work.note or 'waiting'} …"
        if outcome is None:
            return ""
        most = max(len(rows) for rows in outcome.places.values())
        thinned = f" In 3D an even sample of {MOST_IN_3D:,}." if most > MOST_IN_3D else ""
        return f"{outcome.evaluation.conditions['matching']}.{thinned}"

    def _changed(self, part: str, now: object) -> bool:
        """Whether a part of the page must be drawn again."""
        changed = part not in self._drawn or self._drawn[part] != now
        self._drawn[part] = now
        return changed

    def _shown(self, path: Path | None) -> str:
        return "" if path is None else self.desk.folder.shown(path)


def _summary(outcome: Outcome) -> str:
    """What stands below the figures: counts, the shift, and what a reader should know."""
    evaluation = outcome.evaluation
    score = evaluation.score
    words = [f"{score.tp:,} matched, {score.fn:,} missed, {score.fp:,} false."]
    if "shift_nm" in evaluation.conditions:
        x, y, z = evaluation.conditions["shift_nm"]
        words.append(f"The list was shifted by {x:g}, {y:g}, {z:g} nm in x, y, z.")
    if score.ignored_truth or score.ignored_found:
        words.append(f"Not counted: {score.ignored_truth:,} true, {score.ignored_found:,} localized.")
    return " ".join([*words, *(f"{note[0].upper()}{note[1:].rstrip('.')}." for note in evaluation.notes)])
