"""The part "Design" of the panel: start a design, and watch the mask learn."""

from __future__ import annotations

from nicegui import ui

from ..desk import Desk
from ..parts.follow import follow
from ..parts.notices import explained, guarded, told
from ..parts.props import with_props
from ..parts.same import same_by_command
from .curves import chart, learning_chart
from .same import design_command
from .strip import mask_strip, phase_bar

__all__ = ["DesignPanel"]

_STARTS = {
    "": "the experiment's mask",
    **{kind: kind for kind in ("zero", "astigmatic", "tetrapod", "double_helix")},
}
_WAYS = {"fisher": "Fisher bound", "network": "Network"}
# Seconds between looks at what the run has written.
_EVERY_S = 1.0
_STATES = {
    "running": "at work",
    "stopping": "is asked to stop",
    "finished": "finished",
    "stopped": "stopped",
    "failed": "failed",
    "lost": "ended without a word",
}


class DesignPanel:
    """The controls, and the view beside them, in one tab of the browser."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.look = desk, desk.design
        self._drawn: object = None

    def build_controls(self) -> None:
        """Build the column of controls in the current slot."""
        settings = self.look.settings
        with ui.element("div").classes("ds-section"):
            ui.label("Design")
            same_by_command(lambda: design_command(self.look.settings, self.desk.limits.source))
        self.by = ui.toggle(_WAYS, value=settings.by, on_change=self._use).props(
            "dense no-caps unelevated spread data-test=design-by"
        )
        ui.label(
            "Fisher bound: the mask of the least error, of one molecule or of a crowd. Network: "
            "mask and network learn together, and molecules must be found too; it costs a training."
        ).classes("ds-words")
        self.out = (
            ui.input("Mask to write", value=settings.out, on_change=self._use)
            .props("dense outlined debounce=400 data-test=design-out")
            .tooltip(".npy, rad; log, pictures and network are written next to it")
        )
        self.start = (
            ui.select(_STARTS, value=settings.start, label="Start from", on_change=self._use)
            .props("dense outlined")
            .classes("w-full")
        )
        self.steps = (
            ui.number("Steps", value=settings.steps, format="%d", on_change=self._use)
            .props("dense outlined clearable debounce=400 data-test=design-steps")
            .tooltip("Empty: as the experiment says (design.fisher_steps, training.steps)")
        )
        self.density = (
            ui.number("Density, molecules per µm²", value=settings.density, on_change=self._use)
            .props("dense outlined clearable debounce=400")
            .tooltip("Whose joint bound is minimised (design.fisher_density); 0: one molecule alone")
            .bind_visibility_from(self.by, "value", value="fisher")
        )
        with ui.element("div").classes("ds-row"):
            ui.button("Start", on_click=guarded(self._begin)).props(
                "unelevated dense no-caps data-test=design-start"
            ).classes("col")
            self.stop = ui.button("Stop", on_click=guarded(lambda: self.look.stop(self._named))).props(
                "outline dense no-caps data-test=design-stop"
            )
            self.resume = ui.button("Resume", on_click=guarded(self._resume)).props(
                "outline dense no-caps data-test=design-resume"
            )
        ui.button("Watch the mask named above", on_click=guarded(self._watch)).props(
            "flat dense no-caps size=sm"
        ).tooltip("Look at what a design has written beside this file, also one that was started elsewhere")
        self.state = ui.label().classes("ds-words").props("data-test=design-state")
        self.others = ui.label().classes("ds-words ds-doubt").props("data-test=design-others")
        self.problem = ui.label().classes("ds-error").props("data-test=design-problem")
        self.warned = ui.label().classes("ds-words ds-doubt").props("data-test=design-warned")

    def build_view(self) -> None:
        """Build what is watched in the current slot."""
        with ui.element("div").classes("ds-row"):
            self.title = ui.label().classes("ds-heading").props("data-test=design-title")
            ui.space()
            self.place = ui.label().classes("ds-number").props("data-test=design-place")
        self.progress = ui.linear_progress(show_value=False).props("size=4px")
        with ui.element("div").classes("ds-card"):
            phase_bar()
            self.strip = ui.element("div").props("data-test=design-strip")
        with ui.element("div").classes("ds-row"):
            ui.label("step by step").classes("ds-faint").style("white-space: nowrap")
            self.slider = (
                ui.slider(min=0, max=1, step=1, value=0)
                .props("dense data-test=design-slider")
                .classes("col")
                .on("update:model-value", lambda event: self.look.go_to(int(event.args)), throttle=0.1)
            )
            ui.button("newest", on_click=lambda: self.look.go_to(None)).props("flat dense no-caps size=sm")
        with ui.element("div").classes("ds-card").style("flex: 1; min-height: 0"):
            self.chart = ui.echart(chart("step", "", [])).classes("ds-chart").props("data-test=design-chart")
        with told():
            if self.look.watched is None:
                self.look.watch_newest()
        ui.timer(_EVERY_S, self.look.look)
        follow(lambda: self.look.changes, self._refresh)

    # What the user does.

    @guarded
    def _use(self) -> None:
        self._enter()

    def _enter(self) -> None:
        """Take over what is entered; raises InputError where no run can have it."""
        self.look.use(
            by=self.by.value,
            out=(self.out.value or "").strip(),
            start=self.start.value,
            steps=None if self.steps.value is None else int(self.steps.value),
            density=self.density.value,
        )

    def _begin(self) -> None:
        self._enter()
        self.desk.folder.path(self.look.settings.out)
        limits = self.desk.limits
        self.look.start(limits.source, limits.experiment)

    def _resume(self) -> None:
        self.look.resume(self._named)
        if self.look.watched != self.desk.folder.path(self._named):
            self._watch()

    @property
    def _named(self) -> str:
        """The mask file that the form of this window names."""
        return (self.out.value or "").strip()

    def _watch(self) -> None:
        self._enter()
        self.look.watch(self.desk.folder.path(self.look.settings.out), self.desk.limits.experiment)

    # What is shown.

    def _refresh(self) -> None:
        look, shown = self.look, self.look.shown
        run = look.run_of(self._named)
        self._refresh_run()
        error = look.error
        self.problem.set_text(explained(error) if error is not None else run.reason if run is not None else "")
        if look.watched is None:
            self.title.set_text("Start a design, or watch one: its mask appears here.")
        else:
            self.title.set_text(self.desk.folder.shown(look.watched))
        mark = (
            look.watched,
            None if shown is None else (shown.index, shown.learned.step, len(shown.learned.steps)),
        )
        if mark == self._drawn:
            return
        self._drawn = mark
        self.strip.clear()
        if shown is None:
            self.place.set_text("" if look.watched is None else "nothing is written yet")
            return
        learned = shown.learned
        if shown.picture is not None:
            token = f"?v={look.changes}"
            with self.strip:
                mask_strip(
                    shown.picture,
                    f"/data/limits/design/mask/now.png{token}",
                    f"/data/limits/design/psf/now.png{token}",
                    height=110,
                )
            self.place.set_text(
                f"mask after step {learned.steps[shown.index]:,}; step {learned.step:,} reached"
            )
            with_props(self.slider, max=max(1, len(learned.steps) - 1))
            self.slider.set_value(shown.index)
        self.chart.options.clear()
        self.chart.options.update(learning_chart(learned))
        self.chart.update()

    def _refresh_run(self) -> None:
        run = self.look.run_of(self._named)
        self.others.set_text(self._told_of_others())
        self.stop.set_visibility(run is not None and run.alive)
        self.resume.set_visibility(run is not None and run.resumable)
        self.progress.set_visibility(run is not None and run.alive)
        self.warned.set_text("" if run is None else " ".join(run.warnings))
        if run is None:
            self.state.set_text("")
            return
        words = [f"{run.title}: {_STATES[run.state]}"]
        if run.told is not None and run.told.total:
            self.progress.set_value(run.told.done / run.told.total)
            words.append(f"{run.told.done:,} of {run.told.total:,} {run.told.unit}")
            if run.alive and run.told.seconds_left is not None:
                words.append(f"{_duration(run.told.seconds_left)} left")
            if run.told.note:
                words.append(run.told.note)
        self.state.set_text(" · ".join(words))

    def _told_of_others(self) -> str:
        """Which other mask is drawn, and which others are being designed."""
        watched, told = self.look.watched, []
        if watched is not None and watched != self.look.place_of(self._named):
            shown = self.desk.folder.shown(watched)
            told.append(f"What is drawn is the design of {shown}, not of the mask named above.")
        titles = [str(run.output) for run in self.look.others(self._named)]
        if titles:
            told.append(f"Also at work: {', '.join(titles)} (in Train and run, or enter its name above).")
        return " ".join(told)


def _duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
