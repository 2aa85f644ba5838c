"""The forms of the panel "Train and run": a training, and a movie to localize."""

from __future__ import annotations

from typing import Any

from nicegui import run, ui

from ...errors import InputError
from ...experiment.presets import PRESETS
from ...experiment.training_settings import TrainingSpec
from ...localizing.catalogue import built_in_models
from ..command_line import command
from ..desk import Desk
from ..offered import is_experiment, is_model, is_movie
from ..parts.choose import FileInput
from ..parts.follow import follow
from ..parts.icon_button import icon_button
from ..parts.notices import explained, guarded, say
from ..parts.props import with_props
from ..parts.same import same_by_command
from .localize_form import SPLITS

__all__ = ["LocalizeEntries", "TrainEntries"]

_DEVICES = {"": "as the program chooses", "cpu": "cpu", "cuda": "cuda (GPU)", "mps": "mps (Apple)"}


def _help(name: str) -> str:
    """What the documentation says of a setting of a training."""
    return str(TrainingSpec.model_fields[name].description)


class TrainEntries:
    """The form for a training, in one tab of the browser."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._folder, self._board = desk, desk.folder, desk.training
        with ui.element("div").classes("ds-section"):
            ui.label("Experiment")
            same_by_command(self._command)
        self._experiment = FileInput(
            desk.folder,
            "Experiment",
            self._choose,
            wanted=is_experiment,
            help="A file that config or the panel Set-up wrote, or a preset",
        ).props("data-test=train-experiment")
        with ui.element("div").classes("ds-chips"):
            for name in PRESETS:
                chip = ui.chip(name, on_click=lambda _, n=name: self._choose(n))
                with_props(chip.props("dense outline clickable size=sm"), data_test=f"preset-{name}")
            ui.button("as in Set-up", icon="input", on_click=guarded(self._from_setup)).props(
                "flat dense no-caps size=sm data-test=from-setup"
            ).tooltip("Saves the experiment of the panel Set-up, if it is in no file yet, and takes that file")
        self._entries: dict[str, Any] = {}
        ui.label("Training").classes("ds-section")
        self._number("steps", "Steps", _help("steps"))
        self._number("validate_every", "Steps between validations", _help("validate_every"))
        self._text("out", "Model to write", "Checkpoint, log and preview picture lie beside it")
        with ui.expansion("More").props("dense").classes("w-full ds-words"):
            self._entries["device"] = ui.select(
                _DEVICES, label="Device", on_change=lambda event: self._fill(device=event.value)
            ).props("dense outlined")
            known = ", ".join(built_in_models())
            self._text("from_model", "Begin with the weights of", f"A model file or {known}; empty: random")
            self._text("settings", "Further settings", "key=value, as after --set: training.batch=8")
            self._entries["overwrite"] = ui.checkbox(
                "replace files that exist", on_change=lambda event: self._fill(overwrite=event.value)
            ).props("dense data-test=train-overwrite")
        with ui.element("div").classes("ds-row"):
            self._cost = ui.label().classes("ds-words col").props("data-test=cost")
            name = "Measure over a few steps how long this training would take"
            icon_button("timer", name, guarded(self._board.ask_cost)).props("size=sm data-test=ask-cost")
        ui.button("Start training", icon="play_arrow", on_click=guarded(self._start)).props(
            "unelevated no-caps dense data-test=start-training"
        ).classes("w-full")
        self._problem = ui.label().classes("ds-error").props("data-test=train-problem")
        follow(lambda: self._board.changes, self._refresh)

    def _number(self, name: str, label: str, help: str) -> None:
        entry = ui.number(label, format="%d", on_change=lambda event: self._fill(**{name: _whole(event.value)}))
        entry.props("dense outlined debounce=400").tooltip(help)
        self._entries[name] = with_props(entry, data_test=f"train-{name}")

    def _text(self, name: str, label: str, help: str) -> None:
        entry = ui.input(label, on_change=lambda event: self._fill(**{name: event.value or ""}))
        entry.props("dense outlined debounce=400").tooltip(help)
        self._entries[name] = with_props(entry, data_test=f"train-{name}")

    def _fill(self, **values: Any) -> None:
        if self._board.train.changed(**values) != self._board.train:
            self._board.fill(**values)

    @guarded
    def _choose(self, name: str) -> None:
        self._fill(experiment=name)
        spec = self._board.train.changed(steps=None, validate_every=None).read(self._folder).training
        self._fill(steps=spec.steps, validate_every=min(spec.validate_every, spec.steps))
        self._board.ask_cost()

    def _from_setup(self) -> None:
        """Take the file of the panel Set-up, written anew."""
        setup = self._desk.setup
        written = setup.written
        name = f"{setup.experiment.name}.yaml" if written is None else self._folder.shown(written)
        self._choose(self._folder.shown(setup.write(name, overwrite=written is not None)))

    async def _start(self) -> None:
        await run.io_bound(self._board.start_training)
        say("The training is started; it goes on when this page is closed", "positive")

    def _command(self) -> str:
        return command(*self._board.train.arguments(self._folder))

    def _refresh(self) -> None:
        form, cost = self._board.train, self._board.cost
        self._experiment.show(form.experiment)
        for name, entry in self._entries.items():
            _show(entry, getattr(form, name))
        try:
            question = form.question(self._folder)
        except InputError:
            question = None
        text = ""
        if question is not None and form.steps and form.validate_every:
            text = cost.text(question, form.steps, form.validate_every)
        self._cost.set_text(text or "How long? Press the clock: it is measured over a few steps.")
        error = None if question is None or cost.busy else cost.error(question)
        self._problem.set_text("" if error is None else explained(error))


class LocalizeEntries:
    """The form for localizing a movie, in one tab of the browser."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._folder, self._board = desk, desk.folder, desk.training
        with ui.element("div").classes("ds-section"):
            ui.label("Movie and model")
            same_by_command(self._command)
        self._movie = FileInput(
            desk.folder, "Movie", lambda name: self._fill(movie=name), wanted=is_movie, folders=True
        ).props("data-test=localize-movie")
        self._model = FileInput(
            desk.folder,
            "Model",
            lambda name: self._fill(model=name),
            wanted=is_model,
            help=f"A file that train wrote, or a built-in model: {', '.join(built_in_models())}",
        ).props("data-test=localize-model")
        with ui.element("div").classes("ds-chips"):
            for name in built_in_models():
                chip = ui.chip(name, on_click=lambda _, n=name: self._fill(model=n))
                with_props(chip.props("dense outline clickable size=sm"), data_test=f"localize-model-{name}")
            ui.button("as in Movie", icon="input", on_click=guarded(self._take_over)).props(
                "flat dense no-caps size=sm data-test=take-over"
            ).tooltip("Movie, model, camera, threshold, region and orientation as the panel Movie shows them")
        self._entries: dict[str, Any] = {}
        ui.label("List").classes("ds-section")
        self._text("out", "List to write", ".hdf5 (Picasso reads it; its picture grows) or .csv (ThunderSTORM)")
        self._entries["refine"] = ui.switch(
            "Joint fit", on_change=lambda event: self._fill(refine=event.value)
        ).props("dense data-test=localize-refine")
        self._entries["separate"] = (
            ui.checkbox("every frame by itself", on_change=lambda event: self._fill(separate=event.value))
            .props("dense data-test=localize-separate")
            .tooltip("For molecules that move. Else those that last get one position from all their frames")
        )
        with ui.expansion("Second channel").props("dense data-test=second-channel").classes("w-full ds-words"):
            self._build_second()
        with ui.expansion("Part, camera, orientation").props("dense").classes("w-full ds-words"):
            self._text("frames", "Frames A:B", "Counted from 0, B excluded; empty: all")
            self._text("roi", "Region X0,Y0,X1,Y1", "In camera pixels, X1 and Y1 excluded; empty: all")
            self._number("threshold", "Threshold", "Smallest probability; empty: the model's")
            self._text("camera", "Camera values that differ", "baseline=100, gain=2.2")
            self._number("pixel_nm", "Pixel in the sample, nm", "In place of the file's")
            self._select("flip", "Mirror", ["none", "horizontal", "vertical", "both"])
            self._entries["transpose"] = ui.checkbox(
                "exchange rows and columns", on_change=lambda event: self._fill(transpose=event.value)
            ).props("dense")
            self._select("subtract", "Subtract", ["none", "minimum", "median"])
            self._select("device", "Device", _DEVICES)
            self._entries["overwrite"] = ui.checkbox(
                "replace files that exist", on_change=lambda event: self._fill(overwrite=event.value)
            ).props("dense data-test=localize-overwrite")
        ui.button("Start", icon="play_arrow", on_click=guarded(self._start)).props(
            "unelevated no-caps dense data-test=start-localizing"
        ).classes("w-full")
        follow(lambda: self._board.changes, self._refresh)

    def _build_second(self) -> None:
        """A second channel of the same recording: its movie, or how both lie in one; model and transform."""
        files = (
            ("second", "Second movie", is_movie, "Frame by frame of the same recording"),
            ("second_model", "Its model", is_model, "Empty: the model above for both"),
            ("transform", "Transform", is_experiment, "As register wrote it; empty: found from both lists"),
        )
        self._files: dict[str, FileInput] = {}
        for name, label, wanted, help in files:
            entry = FileInput(
                self._folder,
                label,
                lambda text, name=name: self._fill(**{name: text}),
                wanted=wanted,
                help=help,
            )
            self._files[name] = with_props(entry, data_test=f"localize-{name}")
        names = {name: name.replace(",", ", ") for name in SPLITS} | {"none": "no: a movie of its own"}
        self._select("split", "Halves of one camera", names)

    def _text(self, name: str, label: str, help: str) -> None:
        entry = ui.input(label, on_change=lambda event: self._fill(**{name: event.value or ""}))
        entry.props("dense outlined debounce=400").tooltip(help)
        self._entries[name] = with_props(entry, data_test=f"localize-{name}")

    def _number(self, name: str, label: str, help: str) -> None:
        self._entries[name] = (
            ui.number(label, on_change=lambda event: self._fill(**{name: event.value}))
            .props("dense outlined debounce=400")
            .tooltip(help)
        )

    def _select(self, name: str, label: str, choices: Any) -> None:
        self._entries[name] = ui.select(
            choices, label=label, on_change=lambda event: self._fill(**{name: event.value})
        ).props("dense outlined")

    def _fill(self, **values: Any) -> None:
        if self._board.localize.changed(**values) != self._board.localize:
            self._board.fill_localize(**values)

    def _take_over(self) -> None:
        taken = self._board.localize.taken_from(self._desk.movie.asked, self._folder)
        self._fill(**vars(taken))

    async def _start(self) -> None:
        await run.io_bound(self._board.start_localizing)
        say("The run is started; it goes on when this page is closed", "positive")

    def _command(self) -> str:
        return command(*self._board.localize.arguments(self._folder))

    def _refresh(self) -> None:
        form = self._board.localize
        self._movie.show(form.movie)
        self._model.show(form.model)
        for name, file in self._files.items():
            file.show(getattr(form, name))
        for name, entry in self._entries.items():
            _show(entry, getattr(form, name))


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _show(entry: Any, value: Any) -> None:
    """Show a value that another tab has entered; what is being typed here is left alone."""
    if entry.value != value:
        entry.set_value(value)
