"""Which movie is looked at, how its frames are prepared, and their contrast."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from ...localizing.catalogue import built_in_models
from ..desk import Desk
from ..offered import is_experiment, is_model, is_movie
from ..parts.choose import FileInput
from ..parts.frame_view import FrameView
from ..parts.notices import guarded
from ..parts.same import same_by_command
from ..parts.sliders import set_ends
from .same import command_line, model_name, python_lines

__all__ = ["Contrast", "MoviePart"]


class MoviePart:
    """The controls of the movie."""

    def __init__(self, desk: Desk) -> None:
        self._folder, self._look = desk.folder, desk.movie
        with ui.element("div").classes("ds-section"):
            ui.label("Movie")
            same_by_command(
                lambda: command_line(self._look.asked, self._folder),
                python=lambda: python_lines(self._look.asked, self._folder),
            )
        help = "TIFF, ND2, Zarr, raw, or a folder of TIFFs"
        self._file = FileInput(self._folder, "Movie", self._open, wanted=is_movie, folders=True, help=help)
        self._file.props("data-test=movie-file")
        self._facts = ui.label().classes("ds-words").props("data-test=movie-facts")
        with ui.expansion("Orientation, background, region").props("dense").classes("w-full ds-words"):
            self._build_preparation()
        self._build_second()
        self.contrast = Contrast()

    def _build_second(self) -> None:
        """A second channel of the recording: its movie, or how both lie in one; its model and transform."""
        with ui.expansion("Second channel").props("dense data-test=movie-second").classes("w-full ds-words"):
            self._second = FileInput(
                self._folder,
                "Second movie",
                self._open_second,
                wanted=is_movie,
                folders=True,
                help="Frame by frame of the same recording",
            ).props("data-test=second-file")
            names = {"": "no", "left-right": "left and right", "top-bottom": "top and bottom"}
            self._split = ui.select(names, value="", label="Halves of one camera")
            self._split.props("dense outlined data-test=movie-split").on_value_change(guarded(self._use_split))
            self._second_model = FileInput(
                self._folder,
                "Its model",
                lambda name: self._look.use(second_model=self._model(name)),
                wanted=is_model,
                help="Empty: the model of the first for both",
            ).props("data-test=second-model")
            self._transform = FileInput(
                self._folder,
                "Transform",
                lambda name: self._look.use(transform=self._folder.existing(name) if name.strip() else None),
                wanted=is_experiment,
                help="As register or localize wrote it; with it each frame is fitted in both channels at once",
            ).props("data-test=second-transform")

    def _model(self, name: str) -> str:
        name = name.strip()
        return str(self._folder.existing(name)) if name and name not in built_in_models() else name

    def _open_second(self, name: str) -> None:
        self._look.open_second(self._folder.existing(name) if name.strip() else None)

    def _use_split(self) -> None:
        if self._split.value != self._look.asked.split:
            self._look.split(self._split.value)

    def _build_preparation(self) -> None:
        change = guarded(self._prepare)
        mirrors = ["none", "horizontal", "vertical", "both"]
        self._flip = ui.select(mirrors, value="none", label="Mirror", on_change=change).props("dense outlined")
        self._transpose = ui.checkbox("exchange rows and columns", on_change=change).props("dense")
        statistics = ["none", "minimum", "median"]
        self._subtract = ui.select(statistics, value="none", label="Subtract", on_change=change)
        self._subtract.props("dense outlined").tooltip("Of each pixel, over a window of 500 frames")
        self._pixel = ui.number("Pixel in the sample, nm", format="%.6g", on_change=change)
        self._pixel.props("dense outlined debounce=600").tooltip(
            "In place of the file's; it must agree with the model"
        )
        self._region = ui.label().classes("ds-words")
        ui.button("Whole frame", on_click=lambda: self._look.use(roi=None)).props("flat dense no-caps")

    def _open(self, name: str) -> None:
        if name.strip():
            self._look.open(self._folder.existing(name))
        else:
            self._look.close()

    def _prepare(self) -> None:
        self._look.orient(
            flip=self._flip.value,
            transpose=bool(self._transpose.value),
            subtract=self._subtract.value,
            nm=self._pixel.value,
        )

    def refresh(self) -> None:
        """Show what is open now."""
        movie, asked = self._look.movie, self._look.asked
        if movie is None:
            self._facts.set_text("Choose a movie: its frames appear here.")
            return
        frames, height, width = movie.shape
        pixel = f", pixels of {1000 * movie.pixel_um:.4g} nm" if movie.pixel_um else ""
        told = " ".join(("", *movie.notes))
        self._facts.set_text(f"{frames:,} frames of {width} × {height} px, {movie.kind}{pixel}{told}")
        self._file.show(self._folder.shown(movie.path))
        self._second.show("" if asked.second is None else self._folder.shown(asked.second))
        self._split.set_value(asked.split)
        self._second_model.show(model_name(asked.second_model, self._folder))
        self._transform.show("" if asked.transform is None else self._folder.shown(asked.transform))
        self._flip.set_value(asked.prepared.flip)
        self._transpose.set_value(asked.prepared.transpose)
        self._subtract.set_value(asked.prepared.subtract)
        self._pixel.set_value(None if asked.pixel_um is None else round(1000 * asked.pixel_um, 6))
        x0, y0, x1, y1 = asked.roi or (0, 0, 0, 0)
        told = f"region: columns {x0} to {x1 - 1}, rows {y0} to {y1 - 1}"
        self._region.set_text(told if asked.roi else "Shift and drag on the frame: a region")


class Contrast:
    """A range of counts from black to white; it stays from frame to frame once the user has chosen it."""

    def __init__(self) -> None:
        self._view: FrameView | None = None
        self._chosen = False
        self._suits = {"min": 0.0, "max": 1.0}
        ui.label("Contrast").classes("ds-section")
        self._range = ui.range(min=0, max=1, step=0.01, value=self._suits).props("dense data-test=contrast")
        # What the user drags, not what the page sets.
        self._range.on("update:model-value", self._choose, throttle=0.03)
        ui.button("Automatic", on_click=self._free).props("flat dense no-caps size=sm")

    def belongs_to(self, view: FrameView) -> None:
        """Change the contrast of this view."""
        self._view = view
        view.on_levels(self._see)

    def _see(self, levels: dict[str, float]) -> None:
        """A new frame has these levels."""
        step = max((levels["most"] - levels["least"]) / 500, 1e-6)
        set_ends(self._range, levels["least"], levels["most"], step)
        self._suits = {"min": levels["low"], "max": levels["high"]}
        if not self._chosen:
            self._range.set_value(self._suits)

    def _choose(self, event: Any) -> None:
        self._chosen = True
        if self._view is not None:
            self._view.contrast(event.args["min"], event.args["max"])

    def _free(self) -> None:
        self._chosen = False
        self._range.set_value(self._suits)
        if self._view is not None:
            self._view.contrast(None, None)
