"""What the panel "Movie" shows: a frame of a movie, and what a model finds in it, at once and after the fit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from ...channels import halves_of
from ...channels.camera_halves import Side
from ...errors import InputError
from ...io.movies import Movie, open_movie
from ...io.movies.preparation import Prepared, prepare
from ...localizing.catalogue import find_model
from ...localizing.excerpt import Roi
from ..latest import Answer, Latest
from .explained import Explained, Question
from .explained_channels import AnyExplainer
from .sample import Sampled, look_at_sample

__all__ = ["LEAST_THRESHOLD", "FrameLook", "MovieFacts"]

# Smallest threshold that the slider gives: below it the network's noise is all that is added.
LEAST_THRESHOLD = 0.02


@dataclass(frozen=True)
class MovieFacts:
    """What a movie is, for the line above its frames."""

    path: Path
    shape: tuple[int, int, int]
    kind: str
    pixel_um: float | None
    notes: tuple[str, ...]


class FrameLook:
    """The movie that is open, the frame that is looked at, the model, and what it finds there.

    Attributes
    ----------
    movie : MovieFacts or None
        The open movie.
    asked : Question
        What is asked: frame, preparation, model, camera, threshold.
    network, fit : Latest
        The network's answer, and that of the joint fit a moment later.
    sample : Latest
        What a few frames tell of how the model fits the movie; asked by `look_at_sample`.
    changes : int
        Grows with every change that a page shows.
    """

    def __init__(self) -> None:
        self._own = 0
        self._lock = threading.Lock()
        self._source: Movie | None = None
        self._prepared: Movie | None = None
        self._second: Movie | None = None
        self.movie: MovieFacts | None = None
        self.asked = Question()
        self._explainers = (AnyExplainer(), AnyExplainer())
        self.network: Latest[Question, Explained] = Latest(self._explainers[0])
        self.fit: Latest[Question, Explained] = Latest(self._explainers[1])
        self.sample: Latest[Question, Sampled] = Latest(look_at_sample)

    @property
    def changes(self) -> int:
        """Grows with every change that a page shows."""
        return self._own + self.network.changes + self.fit.changes

    def open(self, path: Path, pixel_nm: float | None = None) -> None:
        """Open a movie in place of the one before, at its first frame.

        pixel_nm: camera pixel in the sample, nm, in place of the file's.
        Raises InputError for what is no movie.
        """
        source = open_movie(path)
        with self._lock:
            if self._source is not None:
                self._source.close()
            self._source = self._prepared = source
            self._close_second()
        self.movie = MovieFacts(path, source.shape, str(source.dtype), source.pixel_um, tuple(source.notes))
        um = None if pixel_nm is None else pixel_nm / 1000
        alone = replace(self.asked, second=None, split="", transform=None)
        self.asked = replace(alone, movie=path, frame=0, roi=None, prepared=Prepared(), pixel_um=um)
        self._look()

    def close(self) -> None:
        """Close the movie."""
        for latest, explainer in zip((self.network, self.fit), self._explainers, strict=True):
            latest.end()
            explainer.close()
        with self._lock:
            if self._source is not None:
                self._source.close()
            self._source = self._prepared = None
            self._close_second()
        self.movie, self.asked = None, replace(self.asked, movie=None, frame=0, second=None, split="")
        self._own += 1

    def _close_second(self) -> None:
        if self._second is not None:
            self._second.close()
        self._second = None

    def open_second(self, path: Path | None) -> None:
        """Look at a second channel in a movie of its own; None: at the first alone.

        Raises InputError for what is no movie, and for one of another number of frames.
        """
        if path is None:
            with self._lock:
                self._close_second()
            self.use(second=None)
            return
        if self.movie is None:
            raise InputError("no movie of the first channel is open", "open it first")
        source = open_movie(path)
        if source.shape[0] != self.movie.shape[0]:
            frames = source.shape[0]
            source.close()
            raise InputError(
                f"{path.name} has {frames} frames, {self.movie.path.name} has {self.movie.shape[0]}: channels "
                "of one recording have as many"
            )
        with self._lock:
            self._close_second()
            self._second = prepare(source, self.asked.prepared)
        self.use(second=path, split="", roi=None)

    def split(self, side: Side | Literal[""]) -> None:
        """Look at both halves of the frames as two channels, or at the whole ("")."""
        with self._lock:
            self._close_second()
        self.use(split=side, second=None, roi=None)

    def show(self, frame: int) -> None:
        """Look at another frame; beyond the ends it is the first or the last."""
        if self.movie is not None:
            last = self.movie.shape[0] - 1
            self.asked = replace(self.asked, frame=min(max(frame, 0), last))
            self._look()

    def use(self, **changes: Any) -> None:
        """Change what is asked; the names are those of `Question`."""
        if "prepared" in changes and self._source is not None:
            with self._lock:
                self._prepared = prepare(self._source, changes["prepared"])
                if self.asked.second is not None:
                    self._close_second()
                    self._second = prepare(open_movie(self.asked.second), changes["prepared"])
        self.asked = replace(self.asked, **changes)
        self._look()

    def choose_model(self, name: str) -> None:
        """Let another model find the molecules, with its own threshold;  name: built in, or a file, "": none.

        Raises InputError for what is no model while no movie is open; else that stands beside the frame.
        """
        if name and self.movie is None:
            find_model(name)
        self.use(model=name, threshold=None)

    def choose_region(self, box: Roi) -> None:
        """Look at a region of the frames: x0, y0, x1, y1 px, half open.

        Raises InputError where there are two channels.
        """
        if self.asked.has_two:
            raise InputError(
                "a region is for one channel: the second one would need its own",
                "take the second channel out, or crop the movies",
            )
        self.use(roi=box)

    def orient(self, *, flip: str, transpose: bool, subtract: str, nm: float | None) -> None:
        """Turn the frames, subtract a background, or give the camera pixel in the sample.

        nm: the pixel; None: the file's.
        Raises InputError for a movie too short for a subtraction.
        """
        prepared = Prepared(flip=flip, transpose=transpose, subtract=subtract)  # pyright: ignore[reportArgumentType]
        um = None if nm is None else nm / 1000
        if (prepared, um) != (self.asked.prepared, self.asked.pixel_um):
            turned = (
                prepared.flip != self.asked.prepared.flip or prepared.transpose != self.asked.prepared.transpose
            )
            self.use(prepared=prepared, pixel_um=um, roi=None if turned else self.asked.roi)

    def look_at_sample(self) -> None:
        """Ask whether the model fits the movie; raises InputError where one of them is not chosen."""
        if self.asked.movie is None or not self.asked.model:
            raise InputError("choose a movie and a model first")
        self.sample.ask(self.asked)

    @property
    def version(self) -> str:
        """Names the frames as they are prepared now: another movie or preparation has another."""
        asked = self.asked
        return f"{hash((asked.movie, asked.prepared, asked.second, asked.split)) & 0xFFFFFFFF:x}"

    def counts(self, frame: int, channel: int = 0) -> NDArray[Any]:
        """The camera counts of a frame, (height, width), prepared as asked.

        channel: 0, or 1 for the second channel.
        Raises InputError where no movie of it is open, or the frame is damaged.
        """
        split = self.asked.split
        with self._lock:
            source = self._second if channel and not split else self._prepared
            if source is None:
                raise InputError("no movie of the second channel is open" if channel else "no movie is open")
            whole = source.read(frame, frame + 1)[0]
        if not split:
            return whole
        halves = halves_of(split, (whole.shape[0], whole.shape[1]), 1.0)
        (height, width), (x, y) = halves.size, halves.origin_um.long().tolist()
        return whole[y : y + height, x : x + width] if channel else whole[:height, :width]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the first channel's frames as they are prepared, px.

        Raises InputError where no movie is open.
        """
        if self._prepared is None:
            raise InputError("no movie is open")
        _, height, width = self._prepared.shape
        if self.asked.split:
            height, width = halves_of(self.asked.split, (height, width), 1.0).size
        return width, height

    @property
    def shown(self) -> Explained | None:
        """The newest answer to what is asked now: of the joint fit if it is there, else of the network."""
        return next((answer.result for answer in self._answers() if answer.result is not None), None)

    @property
    def error(self) -> Exception | None:
        """What keeps the model from answering what is asked now."""
        return next((answer.error for answer in self._answers() if answer.error is not None), None)

    def _answers(self) -> Iterator[Answer[Question, Explained]]:
        """Answers to what is asked now, the best first."""
        for latest in (self.fit, self.network) if self.asked.refine else (self.network,):
            if latest.answer is not None and latest.answer.question == self._question_of(latest):
                yield latest.answer

    def _question_of(self, latest: Latest[Question, Explained]) -> Question:
        return replace(self.asked, refine=latest is self.fit)

    def _look(self) -> None:
        """Ask the model about the frame, the network first."""
        self._own += 1
        if self.asked.movie is None or not self.asked.model:
            return
        self.network.ask(self._question_of(self.network))
        if self.asked.refine:
            self.fit.ask(self._question_of(self.fit))
        else:
            self.fit.stop()
