"""The panel "Movie": frames, molecules, the image that they predict, and the residual."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from ...localizing.catalogue import built_in_models
from ..desk import Desk
from ..parts.choose import file_input
from ..parts.depth import ColourBar, depth_hex
from ..parts.follow import follow
from ..parts.frame_view import FrameView, Marks
from ..parts.notices import explained, guarded
from ..parts.same import same_by_command
from ..parts.sliders import set_ends
from ..parts.tabs import turn_to
from .explained import Explained
from .look import LEAST_THRESHOLD, FrameLook
from .same import camera_pairs, command_line, model_name, python_lines
from .sample_dialog import SampleDialog
from .verdict import verdict_of
from .welcome import Welcome

__all__ = ["movie_panel"]


def movie_panel(desk: Desk) -> ui.keyboard:
    """Build the panel for one tab of the browser; gives its keys."""
    panel = _MoviePanel(desk)
    panel.build()
    return ui.keyboard(panel.key, ignore=["input", "select", "button", "textarea"])


class _MoviePanel:
    """The elements of the panel in one tab of the browser."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.look = desk, desk.movie
        self.chosen_contrast = False
        self.levels = {"min": 0.0, "max": 1.0}

    def build(self) -> None:
        with ui.element("div").classes("ds-panel"):
            with ui.element("div").classes("ds-side"):
                self._build_movie()
                self._build_model()
                self._build_answer()
            with ui.element("div").classes("ds-main"):
                Welcome(self.desk)
                self._build_views()
                self._build_scrubber()
        follow(lambda: self.look.changes, self._refresh)

    # The column of controls.

    def _build_movie(self) -> None:
        with ui.element("div").classes("ds-section"):
            ui.label("Movie")
            same_by_command(
                lambda: command_line(self.look.asked, self.desk.folder),
                python=lambda: python_lines(self.look.asked, self.desk.folder),
            )
        self.file = file_input(
            self.desk.folder,
            "Movie",
            self._open,
            folders=True,
            help="TIFF, ND2, Zarr, raw, or a folder of TIFFs",
        ).props("data-test=movie-file")
        self.facts = ui.label().classes("ds-words").props("data-test=movie-facts")
        with ui.expansion("Orientation, background, region").props("dense").classes("w-full ds-words"):
            self.flip = ui.select(
                ["none", "horizontal", "vertical", "both"],
                value="none",
                label="Mirror",
                on_change=self._prepare,
            ).props("dense outlined")
            self.transpose = ui.checkbox("exchange rows and columns", on_change=self._prepare).props("dense")
            self.subtract = ui.select(
                ["none", "minimum", "median"], value="none", label="Subtract", on_change=self._prepare
            ).props("dense outlined")
            self.pixel = (
                ui.number("Pixel in the sample, nm", min=1, format="%.6g", on_change=self._prepare)
                .props("dense outlined debounce=600")
                .tooltip("In place of the file's; it must agree with the model")
            )
            self.region = ui.label().classes("ds-words")
            ui.button("Whole frame", on_click=lambda: self.look.use(roi=None)).props("flat dense no-caps")
        ui.label("Contrast").classes("ds-section")
        self.contrast = ui.range(min=0, max=1, step=0.01, value={"min": 0, "max": 1}).props("dense")
        # What the user drags, not what the page sets.
        self.contrast.on("update:model-value", self._set_contrast, throttle=0.03)
        ui.button("Suit the frame", on_click=self._free_contrast).props("flat dense no-caps size=sm")

    def _build_model(self) -> None:
        ui.label("Model").classes("ds-section")
        self.model = file_input(
            self.desk.folder,
            "Model",
            lambda name: self._use_model(name),
            wanted=lambda path: path.suffix == ".pt",
            help=f"A file that train wrote, or a built-in model: {', '.join(built_in_models())}",
        ).props("data-test=model-file")
        with ui.element("div").classes("ds-row"):
            for name in built_in_models():
                ui.chip(name, on_click=lambda _, n=name: self._use_model(n)).props(
                    f"dense outline clickable data-test='model-{name}'"
                )
        self.camera = (
            ui.input("Camera, where it differs", placeholder="baseline=100, gain=2.2")
            .props("dense outlined")
            .tooltip(
                "Values of your camera that differ from the model's: baseline in ADU, gain in ADU per electron"
            )
            .props("data-test=camera")
        )
        self.mask = file_input(
            self.desk.folder,
            "Mask, where the model names only its hash",
            lambda name: self.look.use(mask=self.desk.folder.existing(name) if name.strip() else None),
            help="The phase mask that the model was trained for, radians (.npy, .mat, .tif)",
        ).props("data-test=mask-file")
        self.camera.on("keydown.enter", self._use_camera).on("blur", self._use_camera)
        with ui.element("div").classes("ds-row"):
            ui.label("Threshold")
            ui.space()
            self.level = ui.label().classes("ds-number").props("data-test=threshold-value")
            ui.button(icon="restart_alt", on_click=lambda: self.look.use(threshold=None)).props(
                "flat dense round size=sm"
            ).tooltip("The model's own")
        self.threshold = (
            ui.slider(min=LEAST_THRESHOLD, max=0.98, step=0.01, value=0.5)
            .props("dense")
            .on("change", lambda event: self.look.use(threshold=float(event.args)))
            .props("data-test=threshold")
        )
        self.refine = ui.switch(
            "Joint fit", value=True, on_change=lambda event: self.look.use(refine=bool(event.value))
        ).props("dense")

    def _build_answer(self) -> None:
        ui.label("This frame").classes("ds-section")
        with ui.element("div").classes("ds-row"):
            self.light = ui.element("div").classes("ds-light").props("data-test=light")
            self.count = ui.label().classes("ds-number").props("data-test=count")
            ui.space()
            self.spinner = ui.spinner(size="18px")
        self.bar = ColourBar()
        self.words = ui.label().classes("ds-words").props("data-test=words")
        SampleDialog(self.look)
        ui.button("Localize the whole movie …", on_click=guarded(self._localize_all)).props(
            "flat dense no-caps data-test=localize-all"
        ).tooltip("As a run, with what is chosen here")
        self.problem = ui.label().classes("ds-error").props("data-test=problem")

    # The frames.

    def _build_views(self) -> None:
        with ui.element("div").style(
            "display:grid; grid-template-columns: 5fr 3fr; gap:10px; flex:1; min-height:0"
        ):
            self.seen = FrameView("Frame", unit="ADU", group="movie").props("data-test=view-frame")
            with ui.element("div").style("display:grid; grid-template-rows: 1fr 1fr; gap:10px; min-height:0"):
                self.predicted = FrameView("Regenerated", unit="photons", group="movie").props(
                    "data-test=view-model"
                )
                self.left = FrameView("Residual", unit="σ", group="movie", palette="signed").props(
                    "data-test=view-residual"
                )
                self.left.contrast(-5, 5)
        self.seen.on_levels(self._levels)
        self.seen.on_region(lambda box: self.look.use(roi=box))

    def _build_scrubber(self) -> None:
        with ui.element("div").classes("ds-row"):
            ui.button(icon="chevron_left", on_click=lambda: self._step(-1)).props("flat dense round")
            self.scrubber = (
                ui.slider(min=0, max=1, step=1, value=0)
                .props("dense label")
                .classes("col")
                .on("update:model-value", lambda event: self.look.show(int(event.args)), throttle=0.05)
                .props("data-test=scrubber")
            )
            ui.button(icon="chevron_right", on_click=lambda: self._step(1)).props(
                "flat dense round data-test=next"
            )
            self.place = ui.label().classes("ds-number").props("data-test=place")
            ui.label("←  →  frame · shift: 10 · [  ] threshold").classes("ds-faint")

    # What the user does.

    def _open(self, name: str) -> None:
        if not name.strip():
            self.look.close()
            return
        self.look.open(self.desk.folder.existing(name))

    def _use_model(self, name: str) -> None:
        name = name.strip()
        if name and name not in built_in_models():
            name = str(self.desk.folder.existing(name))
        self.look.use(model=name, threshold=None)

    @guarded
    def _use_camera(self) -> None:
        self.look.use(camera=camera_pairs(self.camera.value or ""))

    @guarded
    def _prepare(self) -> None:
        self.look.orient(
            flip=self.flip.value,
            transpose=bool(self.transpose.value),
            subtract=self.subtract.value,
            nm=self.pixel.value,
        )

    def _localize_all(self) -> None:
        board = self.desk.training
        board.localize = board.localize.taken_from(self.look.asked, self.desk.folder)
        board.fill_localize()
        turn_to("Train and run")

    def _step(self, by: int) -> None:
        self.look.show(self.look.asked.frame + by)

    def key(self, event: Any) -> None:
        """Arrows: another frame; brackets: another threshold."""
        if not event.action.keydown:
            return
        step = 10 if event.modifiers.shift else 1
        if event.key.arrow_left:
            self._step(-step)
        elif event.key.arrow_right:
            self._step(step)
        elif event.key.name in ("[", "]"):
            shown = self.look.shown
            level = self.look.asked.threshold or (shown.threshold if shown else 0.5)
            level += 0.02 if event.key.name == "]" else -0.02
            self.look.use(threshold=min(max(round(level, 3), LEAST_THRESHOLD), 0.98))

    def _levels(self, levels: dict[str, float]) -> None:
        set_ends(self.contrast, levels["least"], levels["most"], _step_of(levels))
        self.levels = {"min": levels["low"], "max": levels["high"]}
        if not self.chosen_contrast:
            self.contrast.set_value(self.levels)

    def _set_contrast(self, event: Any) -> None:
        self.chosen_contrast = True
        self.seen.contrast(event.args["min"], event.args["max"])

    def _free_contrast(self) -> None:
        self.chosen_contrast = False
        self.contrast.set_value(self.levels)
        self.seen.contrast(None, None)

    # What is shown.

    def _refresh(self) -> None:
        look, asked = self.look, self.look.asked
        self.model.set_value(model_name(asked.model, self.desk.folder))
        movie = look.movie
        if movie is None:
            self.facts.set_text("Choose a movie: its frames appear here.")
            self.seen.show("")
            self.predicted.show("")
            self.left.show("")
            self._refresh_answer(None)
            return
        frames, height, width = movie.shape
        pixel = f", pixels of {1000 * movie.pixel_um:.4g} nm" if movie.pixel_um else ""
        self.facts.set_text(f"{frames:,} frames of {width} × {height} px, {movie.kind}{pixel}")
        self.file.set_value(self.desk.folder.shown(movie.path))
        set_ends(self.scrubber, 0, max(1, frames - 1))
        self.scrubber.set_value(asked.frame)
        self.place.set_text(f"frame {asked.frame:,} of 0 … {frames - 1:,}")
        self.region.set_text(f"region {asked.roi}" if asked.roi else "shift and drag on the frame: a region")
        self.seen.show(f"/data/movie/counts/{asked.frame}?v={look.version}")
        self.seen.outline(asked.roi)
        self._refresh_answer(look.shown)

    def _refresh_answer(self, shown: Explained | None) -> None:
        look = self.look
        self.spinner.set_visibility(look.network.busy or look.fit.busy)
        error = look.error
        self.problem.set_text("" if error is None else explained(error))
        if shown is None:
            self.count.set_text(_waiting(look))
            self.words.set_text("")
            self._set_light("")
            for view in (self.seen, self.predicted, self.left):
                view.mark_places()
            return
        level = shown.threshold if look.asked.threshold is None else look.asked.threshold
        self.level.set_text(f"{level:.2f}" + (" (the model's)" if look.asked.threshold is None else ""))
        self.threshold.set_value(level)
        self._draw(shown)
        verdict = verdict_of(shown)
        self._set_light(verdict.light)
        source = "joint fit" if shown.fitted else "network"
        self.count.set_text(f"{len(shown.found)} molecules · {source} · {shown.seconds:.2g} s")
        self.words.set_text(" ".join((verdict.text, *shown.notes)))

    def _draw(self, shown: Explained) -> None:
        self.bar.show(shown.z_um)
        found, pixel = shown.found, shown.pixel_um
        x, y, z = found.xyz.double().numpy().T
        marks = Marks(
            "circle",
            (x / pixel).round(3).tolist(),
            (y / pixel).round(3).tolist(),
            depth_hex(z, shown.z_um),
            tips=_tips(shown),
        )
        token = f"?v={shown.number}"
        self.predicted.show(f"/data/movie/model{token}", shown.corner, self.look.size)
        self.left.show(f"/data/movie/residual{token}", shown.corner, self.look.size)
        self.seen.mark_places(marks)
        self.predicted.mark_places(marks)

    def _set_light(self, kind: str) -> None:
        self.light.classes(replace=f"ds-light {kind}")


def _tips(shown: Explained) -> list[str]:
    found = shown.found
    return [
        f"z {z:.3f} ± {1000 * sigma:.0f} nm, {photons:,.0f} photons"
        for z, sigma, photons in zip(
            found.xyz[:, 2].tolist(), found.sigma_xyz[:, 2].tolist(), found.photons.tolist(), strict=True
        )
    ]


def _waiting(look: FrameLook) -> str:
    """What stands in place of the number of molecules until there is one."""
    if look.error is not None:
        return "nothing is found"
    if not look.asked.model:
        return "choose a model to find molecules"
    if look.movie is None:
        return "choose a movie"
    return f"{note} …" if (note := look.network.note or look.fit.note) else ""


def _step_of(levels: dict[str, float]) -> float:
    return max((levels["most"] - levels["least"]) / 500, 1e-6)
