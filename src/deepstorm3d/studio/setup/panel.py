"""The panel "Set-up": the form, a simulated frame beside a real one, the PSF through depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nicegui import ui

from ...experiment.camera_sheets import CAMERA_SHEETS
from ...experiment.presets import PRESETS
from ..desk import Desk
from ..offered import is_experiment
from ..parts.choose import FileInput
from ..parts.follow import follow
from ..parts.frame_view import FrameView
from ..parts.icon_button import icon_button
from ..parts.notices import explained, guarded, told
from ..parts.props import with_props
from ..parts.same import same_by_command
from .dialogs import camera_dialog, estimate_dialog, file_dialog
from .histogram import histogram_options
from .look import ExperimentView
from .panel_form import ExperimentForm
from .same import command_lines, python_lines

__all__ = ["setup_panel"]

_LOOK = Path(__file__).parents[1] / "web" / "setup.css"


def setup_panel(desk: Desk) -> None:
    """Build the panel for one tab."""
    ui.add_css(_LOOK.read_text(encoding="utf-8"))
    _SetupPanel(desk).build()


class _SetupPanel:
    """The elements of the panel in one tab of the browser."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.setup = desk, desk.setup

    def build(self) -> None:
        with ui.element("div").classes("ds-panel"):
            with ui.element("div").classes("ds-side ds-broad"):
                self._build_start()
                self._build_tools()
                self.form = ExperimentForm(self.setup, self.desk.folder)
            with ui.element("div").classes("ds-main"):
                self._build_views()
        follow(
            lambda: (self.setup.changes, self.desk.movie.asked.frame, self.desk.movie.version), self._refresh
        )

    # Where to begin.

    def _build_start(self) -> None:
        with ui.element("div").classes("ds-section"):
            ui.label("Begin from")
            same_by_command(
                lambda: command_lines(self.setup.draft, self._written()),
                python=lambda: python_lines(self.setup.draft, self._written()),
            )
        with ui.element("div").classes("ds-settings"):
            self.preset = ui.select(list(PRESETS), label="Preset").props("dense outlined options-dense")
            self.preset.props("data-test=preset").on_value_change(self._take_preset)
            sheets = {name: sheet.title for name, sheet in CAMERA_SHEETS.items()}
            self.sheet = ui.select(sheets, label="Camera's data sheet", with_input=True).props(
                "dense outlined options-dense data-test=sheet"
            )
            self.sheet.tooltip("Figures of the data sheet, to start from; yours differs: measure it")
            self.sheet.on_value_change(self._take_sheet)
        self.file = FileInput(
            self.desk.folder,
            "Experiment file",
            self._read,
            wanted=is_experiment,
            help="A file that config, retrieve-mask or estimate wrote",
        ).props("data-test=experiment-file")

    def _build_tools(self) -> None:
        save, estimate, camera = (
            file_dialog(self.setup),
            estimate_dialog(self.setup, self.desk),
            camera_dialog(self.setup, self.desk.folder),
        )
        with ui.element("div").classes("ds-row"):
            ui.button("Undo", icon="undo", on_click=self._undo).props(
                "flat dense no-caps size=sm data-test=undo"
            )
            ui.button("Estimate", icon="insights", on_click=estimate).props(
                "flat dense no-caps size=sm data-test=estimate"
            ).tooltip("Light, density, background and noise from the movie that is open")
            ui.button("Camera", icon="photo_camera", on_click=camera).props(
                "flat dense no-caps size=sm data-test=camera-maps"
            ).tooltip("Baseline, gain and read noise of every pixel from dark and evenly lit movies")
            ui.space()
            ui.button("YAML, save", icon="save", on_click=save).props(
                "dense unelevated no-caps size=sm data-test=save"
            )
        self.state = ui.label().classes("ds-words").props("data-test=draft-state")
        self.working = ui.label().classes("ds-words").props("data-test=work")

    # What it looks like.

    def _build_views(self) -> None:
        with ui.element("div").classes("ds-row"):
            self.scene = (
                ui.select([""], label="Scene").props("dense outlined options-dense").style("width:150px")
            )
            self.scene.on_value_change(lambda event: self._choose(scene=event.value))
            self.seed = ui.number("Seed", value=0, min=0, step=1, format="%d").props(
                "dense outlined debounce=300"
            )
            self.seed.style("width:92px").props("data-test=look-seed")
            self.seed.on_value_change(lambda event: self._choose(seed=int(event.value or 0)))
            icon_button("casino", "Another draw", lambda: self._choose(seed=self.setup.seed + 1))
            self.light = ui.element("div").classes("ds-light").props("data-test=alike")
            self.words = ui.label().classes("ds-words col").props("data-test=view-words")
            self.spinner = ui.spinner(size="18px")
        self.problem = ui.label().classes("ds-error").props("data-test=view-problem")
        self.frames = ui.element("div").classes("ds-frames")
        with self.frames:
            self.simulated = FrameView("Simulated", unit="ADU").props("data-test=view-simulated")
            self.channels = ui.element("div").classes("ds-channels")
            self.real = FrameView("Real", unit="ADU").props("data-test=view-real")
        self.further: list[FrameView] = []
        self.strip = ui.element("div").classes("ds-planes")
        with self.strip:
            self.planes = FrameView("PSF through depth").props("data-test=view-planes")
        self.curve = ui.echart({}).classes("ds-curve").props("data-test=histogram")

    # What the user does.

    @guarded
    def _take_preset(self, event: Any) -> None:
        if event.value and self.setup.draft.start != f"preset {event.value}":
            self.setup.draft.take_preset(event.value)
            self.setup.look()

    @guarded
    def _take_sheet(self, event: Any) -> None:
        if event.value:
            self.setup.draft.take_camera(event.value)
            self.setup.look()
            self.sheet.set_value(None)

    def _read(self, name: str) -> None:
        if name.strip() and name != self.setup.draft.start:
            self.setup.read(name)
            self.setup.look()

    @guarded
    def _undo(self) -> None:
        self.setup.draft.undo()
        self.setup.look()

    def _choose(self, **what: Any) -> None:
        with told():
            self.setup.choose(**what)

    def _written(self) -> str:
        written = self.setup.written
        return "experiment.yaml" if written is None else self.desk.folder.shown(written)

    # What is shown.

    def _refresh(self) -> None:
        setup, draft = self.setup, self.setup.draft
        self.form.refresh()
        self.preset.set_value(
            draft.start.removeprefix("preset ") if draft.start.startswith("preset ") else None
        )
        self.file.show("" if draft.start.startswith("preset ") else draft.start)
        names = list(draft.experiment.scenes)
        self.scene.set_options(names, value=setup.scene if setup.scene in names else names[0])
        self.seed.set_value(setup.seed)
        self._refresh_state()
        self._ask()
        busy = setup.looked.busy
        self.spinner.set_visibility(busy)
        for view in (self.simulated, self.planes):
            # Of the numbers before, until those of the new ones are there.
            view.classes(add="ds-stale" if busy else "", remove="" if busy else "ds-stale")
        error = setup.problem
        self.problem.set_text("" if error is None else explained(error))
        self.problem.set_visibility(error is not None)
        if setup.view is not None:
            self._draw(setup.view)

    def _ask(self) -> None:
        try:
            self.setup.look()
        except Exception as error:  # a file of the experiment that cannot be used is told where it is shown
            self.words.set_text(explained(error))

    def _refresh_state(self) -> None:
        draft, work = self.setup.draft, self.setup.work
        count = len(draft.faults)
        wrong = f"{count} value is wrong" if count == 1 else f"{count} values are wrong"
        self.state.set_text(f"{wrong}: what is shown is the last experiment that was right" if count else "")
        self.state.set_visibility(bool(count))
        self.working.set_text(f"{work.name}: {work.note or work.state} {work.done} of {work.total}")
        self.working.set_visibility(work.running)

    def _draw(self, view: ExperimentView) -> None:
        height, width = view.frame.shape
        pixel = self.setup.draft.experiment.microscope.pixel_um
        self.simulated.entitle(f"Simulated: {view.molecules} molecules, {width} × {height} px")
        self.simulated.show(f"/data/setup/simulated?v={view.number}")
        there = "real" in view.histograms
        self.real.entitle(
            "Real: the frame of the panel Movie" if there else "Real: open a movie in the panel Movie"
        )
        self.real.show(f"/data/setup/real?v={view.number}" if there else "")
        self._draw_channels(view)
        side = view.planes.shape[1]
        rows = ", ".join(["first", *(channel.name for channel in view.further)])
        below = f" (from above: {rows})" if view.further else ""
        self.planes.entitle(
            f"PSF through depth{below}: {side} × {side} px of {1000 * pixel:.4g} nm, each over its peak, "
            "square root"
        )
        self.planes.show(f"/data/setup/planes?v={view.number}")
        self.planes.caption([f"z {depth:.2f} µm" for depth in view.depths])
        self.words.set_text("; ".join(view.remarks))
        state = "" if view.alike is None else ("doubt" if view.alike.complaints() else "good")
        self.light.classes(replace=f"ds-light {state}")
        options = histogram_options(view)
        if self.curve.options != options:
            self.curve.options.clear()
            self.curve.options.update(options)
            self.curve.update()

    def _draw_channels(self, view: ExperimentView) -> None:
        """A frame of each further channel, between the first one's and the real one, if there is one."""
        if view.further:
            share = 1 - sum(channel.share for channel in view.further)
            self.simulated.entitle(f"first: {share:.0%} of the light, {view.molecules} molecules")
        self.real.set_visibility("real" in view.histograms or not view.further)
        if len(self.further) != len(view.further):
            self.channels.clear()
            with self.channels:
                self.further = [
                    with_props(FrameView("", unit="ADU"), data_test=f"view-channel-{number}")
                    for number in range(1, len(view.further) + 1)
                ]
            several = "ds-several" if view.further else ""
            self.frames.classes(replace=f"ds-frames {several}")
            self.strip.classes(replace=f"ds-planes {several}")
        for number, (shown, channel) in enumerate(zip(self.further, view.further, strict=True), 1):
            height, width = channel.frame.shape
            shown.entitle(f"{channel.name}: {channel.share:.0%} of the light, {width} × {height} px")
            shown.show(f"/data/setup/simulated/{number}?v={view.number}")
