"""The panel "Limits": masks side by side, their PSFs, and the bounds that they allow; and the design of one."""

from __future__ import annotations

from nicegui import ui

from ...experiment.configure import find_experiment
from ...experiment.presets import PRESETS
from ..desk import Desk
from ..offered import is_experiment, is_mask
from ..parts.choose import FileInput
from ..parts.follow import follow
from ..parts.icon_button import icon_button
from ..parts.notices import explained, guarded, say
from ..parts.props import with_props
from ..parts.same import same_by_command
from .bounds import ComparedMask, Question
from .curves import Against, bounds_chart, mask_colour
from .panel_design import DesignPanel
from .same import limit_command, limit_python
from .strip import mask_strip, phase_bar
from .table import conditions_line, summary_table

__all__ = ["limits_panel"]

_KINDS = ("zero", "astigmatic", "tetrapod", "learned", "double_helix", "vortex")
_CHARTS: tuple[tuple[Against, tuple[str, ...]], ...] = tuple(
    (against, axes) for axes in (("x", "y"), ("z",)) for against in ("depth", "photons", "density")
)


def limits_panel(desk: Desk) -> None:
    """Build the panel for one tab."""
    _LimitsPanel(desk).build()


class _LimitsPanel:
    """The elements of the panel in one tab of the browser."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.look = desk, desk.limits
        self._drawn: dict[str, object] = {}
        self._filling = False

    def build(self) -> None:
        design = DesignPanel(self.desk)
        with ui.element("div").classes("ds-panel"):
            with ui.element("div").classes("ds-side"):
                self.part = ui.toggle({"bounds": "Limits", "design": "Design"}, value="bounds").props(
                    "dense no-caps unelevated spread"
                )
                self._build_experiment()
                with (
                    ui.element("div")
                    .classes("ds-column")
                    .bind_visibility_from(self.part, "value", value="bounds")
                ):
                    self._build_masks()
                    self._build_conditions()
                    self._build_saving()
                with (
                    ui.element("div")
                    .classes("ds-column")
                    .bind_visibility_from(self.part, "value", value="design")
                ):
                    design.build_controls()
            with ui.element("div").classes("ds-main").bind_visibility_from(self.part, "value", value="bounds"):
                self._build_answer()
            with ui.element("div").classes("ds-main").bind_visibility_from(self.part, "value", value="design"):
                design.build_view()
        self.part.mark("limits-part").props("data-test=limits-part")
        follow(lambda: self.look.changes, self._refresh)

    # The column of controls.

    def _build_experiment(self) -> None:
        with ui.element("div").classes("ds-section"):
            ui.label("Experiment")
            same_by_command(
                lambda: limit_command(self.look.asked, self.look.source, self.desk.folder),
                python=lambda: limit_python(self.look.asked, self.look.source, self.desk.folder),
            )
        self.source = FileInput(
            self.desk.folder,
            "Experiment",
            self._open,
            wanted=is_experiment,
            help=f"An experiment file, or a preset: {', '.join(PRESETS)}",
        ).props("data-test=limits-experiment")
        with ui.element("div").classes("ds-row"):
            with ui.button("Preset").props("flat dense no-caps size=sm"), ui.menu():
                for name in PRESETS:
                    item = ui.menu_item(name, guarded(lambda n=name: self._open(n)))
                    with_props(item, data_test=f"preset-{name}")
            ui.button("That of Set-up", on_click=guarded(self._take_set_up)).props(
                "flat dense no-caps size=sm data-test=limits-setup"
            ).tooltip("The experiment of the panel Set-up as it is now")

    def _build_masks(self) -> None:
        ui.label("Masks").classes("ds-section")
        self.masks = ui.element("div").classes("ds-column").props("data-test=limits-masks")
        self.adding = FileInput(
            self.desk.folder,
            "Add a mask",
            self._add_file,
            wanted=is_mask,
            help="Phase in radians (.npy, .mat, .tif) on the mask's own pixels",
        ).props("data-test=limits-add")
        with ui.button("Add a known kind").props("flat dense no-caps size=sm"), ui.menu():
            for kind in _KINDS:
                item = ui.menu_item(kind, guarded(lambda k=kind: self.look.add(k)))
                with_props(item, data_test=f"kind-{kind}")

    def _build_conditions(self) -> None:
        ui.label("Conditions, where not varied").classes("ds-section")
        changed = guarded(self._use_conditions)
        self.scene = (
            ui.select([], label="Scene", on_change=changed)
            .props("dense outlined")
            .classes("w-full")
            .tooltip("Scene of the experiment: gives depth range, blur, border, photons and background")
        )
        self.photons = (
            ui.number("Photons of a molecule", format="%.6g", on_change=changed)
            .props("dense outlined debounce=600 clearable stack-label data-test=limits-photons")
            .tooltip("In a frame; empty: the scene's median")
        )
        self.background = (
            ui.number("Background, photons per pixel", format="%.6g", on_change=guarded(self._use_conditions))
            .props("dense outlined debounce=600 clearable stack-label data-test=limits-background")
            .tooltip(
                "Light that is not of molecules. Empty: the scene's mean. 0: none; the noise is then that of "
                "the molecules' own light and of the camera"
            )
        )

    def _build_saving(self) -> None:
        ui.label("Save").classes("ds-section")
        with ui.element("div").classes("ds-row"):
            self.out = (
                ui.input("Picture", value="limit.png")
                .props("dense outlined data-test=limits-out")
                .tooltip(".png, .pdf or .svg; the table goes beside it as .csv")
            )
            save = icon_button("save", "Write picture and table as the command limit does", guarded(self._save))
            save.props("data-test=limits-save")
        self.progress = ui.linear_progress(show_value=False).props("size=4px")
        self.state = ui.label().classes("ds-words").props("data-test=limits-state")
        self.problem = ui.label().classes("ds-error").props("data-test=limits-problem")

    # The pictures, the table and the curves.

    def _build_answer(self) -> None:
        self.none = ui.label("Choose a preset or an experiment: the bounds of its mask appear here.")
        self.none.classes("ds-faint q-ma-auto").props("data-test=limits-none")
        with ui.element("div").classes("ds-limits-top") as self.top:
            with ui.element("div").classes("ds-card ds-scroll"):
                phase_bar()
                self.drawing = ui.label("computing the pictures …").classes("ds-faint ds-strip-title")
                self.strips = ui.element("div").props("data-test=limits-strips")
            with ui.element("div").classes("ds-card ds-scroll"):
                self.table = ui.html("", sanitize=False).props("data-test=limits-table")
        with ui.element("div").classes("ds-limits-charts"):
            self.charts: list[tuple[ui.echart, Against, tuple[str, ...]]] = []
            for against, axes in _CHARTS:
                drawn = ui.echart(bounds_chart(None, against, axes)).classes("ds-chart")
                with_props(drawn, data_test=f"chart-{against}-{axes[0]}")
                self.charts.append((drawn, against, axes))

    # What the user does.

    def _open(self, name: str) -> None:
        if name.strip() in PRESETS:
            self.look.open(name.strip())
        elif name.strip():
            path = self.desk.folder.existing(name)
            self.look.open(str(path))
            self.look.source = self.desk.folder.shown(path)

    def _take_set_up(self) -> None:
        experiment, written = self.desk.setup.experiment, self.desk.setup.written
        saved = written is not None and written.exists() and find_experiment(str(written)) == experiment
        self.look.take(experiment, self.desk.folder.shown(written) if written is not None and saved else "")

    def _add_file(self, name: str) -> None:
        if name.strip():
            self.look.add(str(self.desk.folder.existing(name)))
            self.adding.set_value("")

    def _use_conditions(self) -> None:
        asked = self.look.asked
        if asked is None or self._filling:
            return
        first = next(iter(asked.experiment.scenes))
        self.look.use(
            scene=None if self.scene.value == first else self.scene.value,
            photons=self.photons.value,
            background=self.background.value,
        )

    def _save(self) -> None:
        picture = self.desk.folder.path(self.out.value or "limit.png")
        table = picture.with_suffix(".csv")
        self.look.save(picture, table)
        say(f"wrote {self.desk.folder.shown(picture)} and {self.desk.folder.shown(table)}", "positive")

    # What is shown.

    def _refresh(self) -> None:
        look, asked = self.look, self.look.asked
        error = look.error
        self.problem.set_text("" if error is None else explained(error))
        self.progress.set_visibility(look.bounds.busy)
        self.progress.set_value(look.bounds.done / max(1, look.bounds.total))
        self.state.set_text(self._words())
        self.none.set_visibility(asked is None)
        self.top.set_visibility(asked is not None)
        if asked is None:
            return
        self.source.show(look.source)
        self._fill(asked)
        drawn = [mask.key for mask in asked.masks if mask.key in asked.pictures]
        self.drawing.set_visibility(look.pictures.busy and not drawn)
        if self._changed("masks", (asked.masks, drawn, id(asked.pictures))):
            self._draw_masks(asked.masks)
        report = look.report
        seen = (
            None
            if report is None
            else tuple((mask.name, id(mask.depth), len(mask.emitters)) for mask in report.masks)
        )
        waiting = "computing …" if look.bounds.busy else ""
        if self._changed("report", (seen, waiting)):
            self.table.set_content(summary_table(report))
            for chart, against, axes in self.charts:
                chart.options.clear()
                chart.options.update(bounds_chart(report, against, axes, waiting))
                chart.update()

    def _fill(self, asked: Question) -> None:
        """Show the conditions as they are asked for, without asking for them again."""
        scenes = list(asked.experiment.scenes)
        self._filling = True
        if self._changed("scenes", (scenes, asked.scene)):
            self.scene.set_options(scenes, value=asked.scene or scenes[0])
        there = asked.experiment.scene(asked.scene)
        with_props(self.photons, placeholder=f"{there.emitters.photons.median:,.0f} (the scene)")
        level = there.background.mean
        with_props(self.background, placeholder=f"{level:g} (the scene)" if level else "none (the scene)")
        if self._changed("conditions", (asked.photons, asked.background)):
            self.photons.set_value(asked.photons)
            self.background.set_value(asked.background)
        self._filling = False

    def _changed(self, part: str, now: object) -> bool:
        """Whether a part of the page must be drawn again."""
        changed = part not in self._drawn or self._drawn[part] != now
        self._drawn[part] = now
        return changed

    def _words(self) -> str:
        look, report = self.look, self.look.report
        if look.asked is None:
            return ""
        if look.bounds.busy:
            return f"computing: {look.bounds.note}" if look.bounds.note else "computing …"
        return "" if report is None else conditions_line(report)

    def _draw_masks(self, masks: tuple[ComparedMask, ...]) -> None:
        asked = self.look.asked
        assert asked is not None
        self.masks.clear()
        with self.masks:
            for number, mask in enumerate(masks):
                with ui.element("div").classes("ds-row"):
                    ui.element("div").classes("ds-swatch").style(f"background: {mask_colour(number)}")
                    ui.label(mask.name).classes("ellipsis")
                    ui.space()
                    if mask.given:
                        remove = guarded(lambda m=mask: self.look.remove(m))
                        button = icon_button("close", f"Take out {mask.name}", remove).props("size=sm")
                        with_props(button, data_test=f"remove-{mask.name}")
        self.strips.clear()
        token = id(asked.pictures)
        with self.strips:
            for number, mask in enumerate(masks):
                picture = asked.pictures.get(mask.key)
                if picture is not None:
                    with ui.element("div").classes("ds-row ds-strip-title"):
                        ui.element("div").classes("ds-swatch").style(f"background: {mask_colour(number)}")
                        ui.label(mask.name).classes("ellipsis")
                    addresses = [f"/data/limits/{what}/{mask.key}.png?v={token}" for what in ("mask", "psf")]
                    mask_strip(picture, *addresses)
