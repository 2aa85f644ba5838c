"""One run in detail: its curves and preview, or the picture of what it has found, and its log."""

from __future__ import annotations

from nicegui import ui

from ...jobs.demo import DemoFiles
from ..desk import Desk
from ..parts.depth import ColourBar
from ..parts.follow import follow
from ..parts.notices import explained, guarded
from ..parts.props import with_props
from ..parts.same import same_by_command
from ..parts.tabs import turn_to
from ..runs.record import Run
from .board import RunBoard
from .curves import Curves, accuracy_chart, loss_chart, read_curves

__all__ = ["RunDetail"]

# What can be done with the result of a command.
_USES = {"train": "Use this model in Movie", "localize": "Open in Result", "demo": "Open in Result"}


class RunDetail:
    """The run that is looked at, in one tab of the browser."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._board = desk, desk.training
        self._shown_log = (-1, "")
        with ui.element("div").classes("ds-detail") as self._whole:
            with ui.element("div").classes("ds-row"):
                self._title = ui.label().classes("ds-heading").props("data-test=detail-title")
                same_by_command(self._command)
                self._use = ui.button(on_click=guarded(self._use_result)).props(
                    "flat dense no-caps size=sm icon-right=arrow_forward data-test=use-result"
                )
                ui.space()
                self._message = ui.label().classes("ds-words")
            self._reason = ui.label().classes("ds-error").props("data-test=reason")
            self._warned = ui.label().classes("ds-words ds-doubt").props("data-test=warned")
            self._training = _TrainingView(self._board)
            self._found = _FoundView(self._board)
            with ui.scroll_area().classes("ds-log") as self._log_area:
                self._log = ui.label().classes("ds-log-text").props("data-test=log")
        follow(lambda: self._board.changes, self._refresh)

    def _use_result(self) -> None:
        """Show what a finished run has made in the panel for it."""
        run = self._board.run
        if run is None or run.output is None:
            return
        made = self._desk.folder.existing(run.output)
        if run.arguments[0] == "train":
            self._board.fill_localize(model=self._desk.folder.shown(made))
            self._desk.movie.use(model=str(made), threshold=None)
            turn_to("Movie")
            return
        if run.arguments[0] == "demo":
            demo = DemoFiles(made)
            made = demo.localizations
            # With its truth, for who wants to know how good it is.
            self._desk.compare.use(found=made, truth=demo.truth)
            self._desk.compare.open_movie(demo.movie)
        self._desk.result.open(made)
        turn_to("Result")

    def _command(self) -> str:
        return "" if (run := self._board.run) is None else run.command

    def _refresh(self) -> None:
        run = self._board.run
        self._whole.set_visibility(run is not None)
        if run is None:
            return
        self._title.set_text(run.title)
        self._message.set_text(run.told.message if run.told is not None and run.alive else "")
        self._reason.set_text(run.reason)
        self._warned.set_text("\n".join(sentence[:1].upper() + sentence[1:] for sentence in run.warnings))
        self._warned.set_visibility(bool(run.warnings))
        self._use.set_visibility(run.state == "finished" and run.arguments[0] in _USES)
        self._use.set_text(_USES.get(run.arguments[0], ""))
        self._training.show(run)
        self._found.show(run)
        if self._shown_log != (run.log_bytes, run.id):
            self._shown_log = (run.log_bytes, run.id)
            self._log.set_text(self._board.log())
            # When the browser has laid out the new lines.
            ui.timer(0.2, lambda: self._log_area.scroll_to(percent=1.0), once=True)


class _TrainingView:
    """Loss, Jaccard index and errors against steps, and the preview picture."""

    def __init__(self, board: RunBoard) -> None:
        self._board = board
        self._drawn = Curves()
        with ui.element("div").classes("ds-training") as self._whole:
            self._loss = ui.echart(loss_chart(Curves())).classes("ds-curve").props("data-test=loss")
            self._accuracy = ui.echart(accuracy_chart(Curves())).classes("ds-curve").props("data-test=accuracy")
            with ui.element("div").classes("ds-preview"):
                self._preview = ui.element("img").props("alt='Preview' data-test=preview")
                self._none = ui.label("The first picture comes with the first validation.").classes("ds-faint")

    def show(self, run: Run) -> None:
        files = self._board.training_files(run)
        self._whole.set_visibility(files is not None)
        if files is None:
            return
        curves = read_curves(files.metrics)
        if curves != self._drawn:
            self._drawn = curves
            for chart, options in ((self._loss, loss_chart(curves)), (self._accuracy, accuracy_chart(curves))):
                chart.options.update(options)
                chart.update()
        there = files.preview.exists()
        self._preview.set_visibility(there)
        self._none.set_visibility(not there)
        if there:
            version = files.preview.stat().st_mtime_ns
            with_props(self._preview, src=f"/data/training/preview/{run.id}?v={version}")


class _FoundView:
    """The picture of a list that grows."""

    def __init__(self, board: RunBoard) -> None:
        self._board = board
        with ui.element("div").classes("ds-found") as self._whole:
            self._picture = ui.element("img").props("alt='What is found until now' data-test=found")
            self._problem = ui.label().classes("ds-error")
            with ui.element("div").classes("ds-row"):
                with ui.element("div") as self._legend:
                    self._bar = ColourBar()
                self._count = ui.label().classes("ds-words ds-number").props("data-test=found-rows")

    def show(self, run: Run) -> None:
        found = self._board.found(run)
        self._whole.set_visibility(found is not None)
        if found is None:
            return
        drawn = found.drawn
        self._problem.set_text("" if found.error is None else explained(found.error))
        self._picture.set_visibility(drawn is not None)
        self._legend.set_visibility(drawn is not None)
        if drawn is None:
            self._count.set_text("nothing found yet")
            return
        with_props(self._picture, src=f"/data/training/found/{run.id}?v={drawn.frames}-{drawn.rows}")
        self._bar.show(drawn.z_range_um)
        self._count.set_text(f"{drawn.rows:,} localizations in {drawn.frames:,} frames")
