"""The frame, the image that its molecules predict and the residual, and the slider from frame to frame."""

from __future__ import annotations

from nicegui import ui

from ..marks import Marks
from ..parts.depth import depth_hex
from ..parts.frame_view import FrameView
from ..parts.icon_button import icon_button
from ..parts.sliders import set_ends
from .explained import Explained
from .look import FrameLook

__all__ = ["FramesPart"]

# Ends of the residual's colours, standard deviations of the noise.
_RESIDUAL = 5.0


class FramesPart:
    """Three images that are moved and zoomed together.

    Attributes
    ----------
    seen : FrameView
        The frame itself.
    """

    def __init__(self, look: FrameLook) -> None:
        self._look = look
        with ui.element("div").classes("ds-movie-frames"):
            self.seen = FrameView("Frame", unit="ADU", group="movie").props("data-test=view-frame")
            with ui.element("div").classes("ds-movie-beside"):
                self._predicted = FrameView("Regenerated, photons", unit="photons", group="movie")
                self._residual = FrameView(
                    "Residual, −5 σ (blue) to 5 σ of the noise (red)", unit="σ", group="movie", palette="signed"
                )
        self._predicted.props("data-test=view-model")
        self._residual.props("data-test=view-residual")
        self._residual.contrast(-_RESIDUAL, _RESIDUAL)
        self.seen.on_region(lambda box: look.use(roi=box))
        with ui.element("div").classes("ds-row"):
            self._build_scrubber()

    def _build_scrubber(self) -> None:
        look = self._look
        before = icon_button("chevron_left", "Frame before (key ←)", lambda: look.show(look.asked.frame - 1))
        before.props("data-test=previous")
        self._scrubber = ui.slider(min=0, max=1, step=1, value=0).classes("col")
        self._scrubber.props("dense label data-test=scrubber")
        self._scrubber.on("update:model-value", lambda event: look.show(int(event.args)), throttle=0.05)
        after = icon_button("chevron_right", "Next frame (key →)", lambda: look.show(look.asked.frame + 1))
        after.props("data-test=next")
        self._place = ui.label().classes("ds-number").props("data-test=place")
        ui.label("←  →  frame · shift: 10 · [  ] threshold").classes("ds-faint")

    def refresh(self) -> None:
        """Show the frame that is looked at, and what is found in it."""
        look = self._look
        if look.movie is None:
            for view in (self.seen, self._predicted, self._residual):
                view.show("")
                view.mark_places()
            self._place.set_text("")
            return
        frame, last = look.asked.frame, look.movie.shape[0] - 1
        set_ends(self._scrubber, 0, max(1, last))
        self._scrubber.set_value(frame)
        self._place.set_text(f"frame {frame:,} (0 to {last:,})")
        self.seen.show(f"/data/movie/counts/{frame}?v={look.version}")
        self.seen.outline(look.asked.roi)
        self._draw(look.shown)

    def _draw(self, shown: Explained | None) -> None:
        if shown is None:
            # The images before stay, pale, until the new ones are there; their marks would be misplaced.
            for view in (self.seen, self._predicted):
                view.mark_places()
            for view in (self._predicted, self._residual):
                view.classes("ds-stale")
            return
        marks, version = _marks(shown), f"?v={shown.number}"
        self._predicted.show(f"/data/movie/model{version}", shown.corner, self._look.size)
        self._residual.show(f"/data/movie/residual{version}", shown.corner, self._look.size)
        self.seen.mark_places(marks)
        self._predicted.mark_places(marks)
        for view in (self._predicted, self._residual):
            view.classes(remove="ds-stale")


def _marks(shown: Explained) -> Marks:
    """A circle for each molecule, coloured by depth, that tells its depth and photons."""
    found = shown.found
    x, y, z = found.xyz.double().numpy().T
    sigma_nm = (1000 * found.sigma_xyz[:, 2]).tolist()
    return Marks(
        "circle",
        (x / shown.pixel_um).round(3).tolist(),
        (y / shown.pixel_um).round(3).tolist(),
        depth_hex(z, shown.z_um),
        tips=[
            f"z {1000 * depth:,.0f} ± {sigma:.0f} nm, {photons:,.0f} photons"
            for depth, sigma, photons in zip(z.tolist(), sigma_nm, found.photons.tolist(), strict=True)
        ],
    )
