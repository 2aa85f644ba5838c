"""Dialogs of the panel "Set-up": the experiment file, an estimate from the movie, a camera from movies."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from ...localizing.catalogue import built_in_models
from ...spec import to_yaml
from ..command_line import command
from ..desk import Desk
from ..folder import Folder
from ..offered import is_model, is_movie
from ..parts.choose import FileInput
from ..parts.follow import follow
from ..parts.notices import guarded, say, without_names
from ..parts.working import work_lines
from .findings import found_lines
from .same import estimate_command
from .setup import Setup

__all__ = ["camera_dialog", "estimate_dialog", "file_dialog"]

Opens = Callable[[], None]


def file_dialog(setup: Setup) -> Opens:
    """The experiment as YAML, to read, to copy and to save."""
    with ui.dialog() as dialog, ui.card().classes("ds-same"):
        ui.label("The experiment file").classes("ds-heading")
        wrong = ui.label().classes("ds-error")
        shown = ui.code("", language="yaml").classes("ds-yaml").props("data-test=yaml")
        with ui.element("div").classes("ds-row"):
            name = (
                ui.input("File", value="experiment.yaml")
                .props("dense outlined data-test=save-name")
                .classes("col")
            )
            again = ui.checkbox("Replace it").props("dense data-test=save-again")
            button = ui.button("Save").props("unelevated dense no-caps data-test=save-file")
            ui.button("Close", on_click=dialog.close).props("flat dense no-caps")

    @guarded
    def save() -> None:
        path = setup.write(name.value or "", overwrite=bool(again.value))
        dialog.close()
        say(f"wrote {setup.folder.shown(path)}", "positive")

    def open_it() -> None:
        faults = setup.draft.faults
        wrong.set_text("; ".join(f"{'.'.join(path)}: {words}" for path, words in faults.items()))
        button.set_enabled(not faults)
        shown.set_content(to_yaml(setup.draft.experiment, setup.draft.remarks))
        dialog.open()

    button.on_click(save)
    return open_it


def estimate_dialog(setup: Setup, desk: Desk) -> Opens:
    """Light, density, background and noise from the movie that is open."""
    with ui.dialog() as dialog, ui.card().classes("ds-same"):
        ui.label("Estimate from the movie").classes("ds-heading")
        about = ui.label().classes("ds-words")
        model = FileInput(
            desk.folder,
            "Model that finds the molecules",
            lambda name: None,
            wanted=is_model,
            help="From the molecules that this trained model finds; empty: from the pixel values alone. "
            f"Built in: {', '.join(built_in_models())}",
        )

        @guarded
        def begin() -> None:
            asked = desk.movie.asked
            if asked.has_two:
                setup.estimate_both(asked, model=model.value or "")
            elif asked.movie is not None:
                setup.estimate(asked.excerpt, model=model.value or "")

        start = ui.button("Estimate", on_click=begin).props("unelevated dense no-caps data-test=estimate-start")
        _findings(setup, dialog)

    def open_it() -> None:
        movie = desk.movie.movie
        start.set_enabled(movie is not None)
        config = "experiment.yaml" if setup.written is None else desk.folder.shown(setup.written)
        words = "open a movie in the panel Movie first"
        if movie is not None:
            words = estimate_command(desk.movie.asked, desk.folder, config, model.value or "")
        about.set_text(words)
        dialog.open()

    return open_it


def camera_dialog(setup: Setup, folder: Folder) -> Opens:
    """Baseline, gain and read noise of every pixel from dark and evenly lit movies."""
    with ui.dialog() as dialog, ui.card().classes("ds-same"):
        ui.label("Measure the camera").classes("ds-heading")
        dark = FileInput(folder, "Movie without light", lambda name: None, wanted=is_movie, folders=True)
        bright = FileInput(
            folder,
            "Movies of even light",
            lambda name: None,
            wanted=is_movie,
            help="One for each level of light, separated by commas; none, if you give the gain",
        )
        with ui.element("div").classes("ds-row"):
            gain = ui.number("Gain (ADU/e-), without bright movies").props("dense outlined").classes("col")
            out = ui.input("Folder for the maps", value="camera").props("dense outlined").classes("col")
        about = ui.label().classes("ds-words")

        @guarded
        def begin() -> None:
            setup.measure_camera(dark.value or "", bright.value or "", out.value or "", gain=gain.value)

        def same() -> str:
            lit = [
                word
                for each in (bright.value or "").split(",")
                if each.strip()
                for word in ("--bright", each.strip())
            ]
            told = None if gain.value is None else f"--gain={gain.value:g}"
            return command("camera-maps", dark.value or "DARK", *lit, told, "--out", out.value or "camera")

        for each in (dark, bright, gain, out):
            each.on_value_change(lambda: about.set_text(same()))
        ui.button("Measure", on_click=begin).props("unelevated dense no-caps data-test=camera-start")
        _findings(setup, dialog)

    def open_it() -> None:
        about.set_text(same())
        dialog.open()

    return open_it


def _findings(setup: Setup, dialog: ui.dialog) -> None:
    """How far the work is, what it found, and the button that takes it."""
    work_lines(setup.work)
    lines = ui.column().classes("w-full gap-1")

    @guarded
    def take() -> None:
        setup.accept()
        dialog.close()
        setup.look()

    with ui.element("div").classes("ds-row"):
        ui.space()
        taking = ui.button("Take it into the experiment", on_click=take).props(
            "unelevated dense no-caps data-test=take"
        )
        ui.button("Close", on_click=dialog.close).props("flat dense no-caps")

    def refresh() -> None:
        lines.clear()
        taking.set_visibility(setup.work.result is not None)
        with lines:
            for kind, text in found_lines(setup.work.result):
                ui.label(without_names(text)).classes(kind)

    follow(lambda: setup.work.changes, refresh)
