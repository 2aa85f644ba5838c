"""The frame, the image that its molecules predict and the residual, and the slider from frame to frame."""

from __future__ import annotations

from nicegui import ui

from ...emitters import Localizations, knows
from ..marks import Marks
from ..parts.depth import depth_hex
from ..parts.frame_view import FrameView
from ..parts.icon_button import icon_button
from ..parts.notices import guarded
from ..parts.sliders import set_ends
from .explained import Explained
from .look import FrameLook

__all__ = ["FramesPart"]

# Ends of the residual's colours, standard deviations of the noise.
_RESIDUAL = 5.0
_RESIDUAL_TITLE = "Residual, −5 σ (blue) to 5 σ of the noise (red)"


class FramesPart:
    """Three images that are moved and zoomed together; of two channels the frame and residual of each.

    Attributes
    ----------
    seen : FrameView
        The frame itself.
    """

    def __init__(self, look: FrameLook) -> None:
        self._look, self._version = look, look.version
        self._place_of_frames = ui.element("div").classes("ds-movie-frames")
        with self._place_of_frames:
            self.seen = FrameView("Frame", unit="ADU", group="movie").props("data-test=view-frame")
            self._second = FrameView("Second channel", unit="ADU", group="second")
            self._second.props("data-test=view-second")
            with ui.element("div").classes("ds-movie-beside"):
                self._predicted = FrameView("Regenerated, photons", unit="photons", group="movie")
                self._residual = FrameView(_RESIDUAL_TITLE, unit="σ", group="movie", palette="signed")
                self._left = FrameView(_RESIDUAL_TITLE, unit="σ", group="second", palette="signed")
                self._left.props("data-test=view-second-residual")
        self._left.contrast(-_RESIDUAL, _RESIDUAL)
        self._predicted.props("data-test=view-model")
        self._residual.props("data-test=view-residual")
        self._residual.contrast(-_RESIDUAL, _RESIDUAL)
        self.seen.on_region(guarded(look.choose_region))
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
        two = look.movie is not None and look.asked.has_two
        self._place_of_frames.classes(replace=f"ds-movie-frames {'ds-two' if two else ''}")
        self._predicted.set_visibility(not two)
        for view in (self._second, self._left):
            view.set_visibility(two)
        if look.movie is None:
            for view in (self.seen, self._predicted, self._residual, self._second, self._left):
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
        self._second.show(f"/data/movie/counts/{frame}?channel=1&v={look.version}" if two else "")
        if look.error is not None or look.version != self._version:
            # Images of another movie, or of another frame, would be taken for those of the refused one.
            self._blank()
        self._version = look.version
        self._draw(look.shown)

    def _blank(self) -> None:
        for view in (self._predicted, self._residual, self._left):
            view.show("")
            view.classes(remove="ds-stale")

    def _draw(self, shown: Explained | None) -> None:
        if shown is None:
            # The images before stay, pale, until the new ones are there; their marks would be misplaced.
            for view in (self.seen, self._predicted, self._second):
                view.mark_places()
            for view in (self._predicted, self._residual, self._left):
                if view.shows:
                    view.classes("ds-stale")
            return
        marks, version = _marks(shown.found, shown), f"?v={shown.number}"
        self._predicted.show(f"/data/movie/model{version}", shown.corner, self._look.size)
        self._residual.show(f"/data/movie/residual{version}", shown.corner, self._look.size)
        self.seen.mark_places(marks)
        self._predicted.mark_places(marks)
        self._draw_second(shown, version)
        for view in (self._predicted, self._residual, self._left):
            view.classes(remove="ds-stale")

    def _draw_second(self, shown: Explained, version: str) -> None:
        """The second channel; nothing where there is none."""
        if not shown.further:
            self.seen.entitle("Frame")
            self._residual.entitle(_RESIDUAL_TITLE)
            self._second.mark_places()
            self._left.show("")
            return
        self.seen.entitle(f"First channel: {shown.report.localizations} molecules")
        self._residual.entitle(f"{_RESIDUAL_TITLE}; deviance {shown.report.deviance_per_pixel:.2f} per pixel")
        channel = shown.further[0]
        deviance = channel.report.deviance_per_pixel
        self._second.entitle(f"Second channel: {channel.report.localizations} molecules")
        self._second.mark_places(_marks(channel.found, shown, channel.pixel_um))
        self._left.entitle(f"{_RESIDUAL_TITLE}; deviance {deviance:.2f} per pixel")
        self._left.show(f"/data/movie/residual{version}&channel=1")


def _marks(found: Localizations, shown: Explained, pixel_um: float | None = None) -> Marks:
    """A circle for each molecule, coloured by depth, that tells its depth and photons.

    pixel_um: of the frame; None: that of the first channel.
    """
    pixel_um = shown.pixel_um if pixel_um is None else pixel_um
    x, y, z = found.xyz.double().numpy().T
    known = knows(found.sigma_xyz[:, 2]).tolist()
    sigma_nm = (1000 * found.sigma_xyz[:, 2]).tolist()
    return Marks(
        "circle",
        (x / pixel_um).round(3).tolist(),
        (y / pixel_um).round(3).tolist(),
        depth_hex(z, shown.z_um),
        tips=[
            f"{_depth_words(1000 * depth, sigma, sure)}, {photons:,.0f} photons"
            for depth, sigma, sure, photons in zip(
                z.tolist(), sigma_nm, known, found.photons.tolist(), strict=True
            )
        ],
    )


def _depth_words(depth_nm: float, sigma_nm: float, known: bool) -> str:
    """A depth and its σ;  known: whether that is known, as it is not at an end of the range."""
    if known:
        return f"z {depth_nm:,.0f} ± {sigma_nm:.0f} nm"
    return "z unknown" if sigma_nm else f"z {depth_nm:,.0f} nm"
