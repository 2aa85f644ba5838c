"""Which model finds the molecules, with which camera, mask and threshold, and whether the joint fit follows."""

from __future__ import annotations

from nicegui import ui

from ...localizing.catalogue import built_in_models
from ..desk import Desk
from ..offered import is_mask, is_model
from ..parts.choose import FileInput
from ..parts.icon_button import icon_button
from ..parts.notices import guarded
from ..parts.props import with_props
from ..parts.shown import show
from .look import LEAST_THRESHOLD
from .same import camera_pairs, model_name

__all__ = ["ModelPart"]


class ModelPart:
    """The controls of the model."""

    def __init__(self, desk: Desk) -> None:
        self._folder, self._look = desk.folder, desk.movie
        ui.label("Model").classes("ds-section")
        self._model = FileInput(
            self._folder,
            "Model",
            self._use_model,
            wanted=is_model,
            help=f"A file that train wrote, or a built-in model: {', '.join(built_in_models())}",
        ).props("data-test=model-file")
        with ui.element("div").classes("ds-chips"):
            for name in built_in_models():
                chip = ui.chip(name, on_click=lambda _, n=name: self._use_model(n))
                chip.props("dense outline clickable size=sm").tooltip("Built in")
                with_props(chip, data_test=f"model-{name}")
        self._build_camera()
        self._build_threshold()

    def _build_camera(self) -> None:
        self._camera = ui.input("Camera values that differ", placeholder="baseline=100, gain=2.2")
        self._camera.props("dense outlined data-test=camera").tooltip(
            "Values of your camera that differ from the model's: baseline in ADU, gain in ADU per electron"
        )
        use = guarded(lambda: self._look.use(camera=camera_pairs(self._camera.value or "")))
        self._camera.on("keydown.enter", use).on("blur", use)
        self._mask = FileInput(
            self._folder,
            "Mask file, if asked for",
            lambda name: self._look.use(mask=self._folder.existing(name) if name.strip() else None),
            wanted=is_mask,
            help="The phase mask of the model, where it does not hold it itself: radians (.npy, .mat, .tif)",
        ).props("data-test=mask-file")

    def _build_threshold(self) -> None:
        with ui.element("div").classes("ds-row"):
            ui.label("Threshold").tooltip("Smallest probability of a molecule, 0 to 1")
            ui.space()
            self._level = ui.label().classes("ds-number").props("data-test=threshold-value")
            own = icon_button(
                "restart_alt", "The model's own threshold", lambda: self._look.use(threshold=None)
            )
            own.props("size=sm")
        self._threshold = ui.slider(min=LEAST_THRESHOLD, max=1 - LEAST_THRESHOLD, step=0.01, value=0.5)
        self._threshold.props("dense data-test=threshold")
        self._threshold.on("change", lambda event: self._look.use(threshold=float(event.args)))
        self._refine = ui.switch("Joint fit, which decides", value=True).props("dense data-test=refine")
        self._refine.tooltip(
            "With it the network only proposes, and the likelihood decides which molecules stay: the threshold "
            "then changes little"
        )
        self._refine.on("update:model-value", lambda event: self._look.use(refine=bool(event.args[0])))

    def _use_model(self, name: str) -> None:
        name = name.strip()
        if name and name not in built_in_models():
            name = str(self._folder.existing(name))
        self._look.choose_model(name)

    def refresh(self) -> None:
        """Show what is asked now."""
        asked, shown = self._look.asked, self._look.shown
        self._model.show(model_name(asked.model, self._folder))
        self._mask.show("" if asked.mask is None else self._folder.shown(asked.mask))
        self._refine.set_value(asked.refine)
        if asked.threshold is not None:
            show(self._threshold, asked.threshold)
            self._level.set_text(f"{asked.threshold:.2f}")
        elif shown is not None:
            show(self._threshold, shown.threshold)
            self._level.set_text(f"{shown.threshold:.2f} (the model's)")
