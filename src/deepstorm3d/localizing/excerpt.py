"""Excerpt: a movie, the part of it that is used, and the preparation of its frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from ..camera import Camera
from ..chip import Maps, Region
from ..errors import InputError
from ..experiment.experiment import Experiment
from ..field import Field
from ..frames.companions import prepared_maps, shown_field
from ..frames.pixel_faults import (
    DefectChoice,
    defects_meant,
    faults_of,
    frames_to_wait_for,
    known_defects,
    sample_frames,
)
from ..io.movies import AnyMovie, Movie, as_source, open_movie, path_of, readable_ranges
from ..io.movies.followed_movie import FollowedMovie
from ..io.movies.pixel_size import check_pixel
from ..io.movies.preparation import Prepared, prepare
from ..optics.microscope import Microscope
from ..pixels.faults import PixelFaults
from ..pixels.reading import PixelReader
from ..watch import SILENT, Watcher
from .pipeline import Pipeline
from .streaming import Block, blocks_of

__all__ = ["Excerpt", "OpenExcerpt", "Roi", "excerpt_of"]

Roi = Region
AS_STORED = Prepared()


def excerpt_of(movie: AnyMovie | Excerpt) -> Excerpt:
    """The excerpt itself, or the whole of a movie."""
    return movie if isinstance(movie, Excerpt) else Excerpt(movie)


@dataclass(frozen=True)
class Excerpt:
    """Part of a movie, and how its frames are prepared: all that is needed to read the same frames again.

    Parameters
    ----------
    movie : array (frames, height, width), tensor, movie or path
        Counts of the camera, as recorded.
    frames : tuple
        First frame and the frame after the last; None: the movie's own ends.
    roi : tuple
        Region x0, y0, x1, y1 in pixels of the prepared frame, half open; None: the whole frame.
    prepared : Prepared
        Orientation of the frames, and subtraction of a background.
    partial : bool
        Use the complete frames of a movie that was cut off; of one that is followed, those behind a gap too.
    follow_s : float
        The movie is still being recorded, and ends if no new frame arrives for this time, s.
    pixel_um : float
        Camera pixel in the sample, µm, whatever the file says; None: as the file says.
    defects : "auto", "none" or path
        Whether defective pixels are searched for, or a file that lists them.
    faults : PixelFaults
        Pixel faults already found (`OpenExcerpt.judged`), so that other processes need not search again.

    Examples
    --------
    >>> import numpy as np
    >>> import deepstorm3d as ds
    >>> with ds.Excerpt(np.zeros((10, 64, 64)), frames=(2, 5), roi=(0, 0, 32, 16)).open() as part:
    ...     part.read(2, 5).shape
    (3, 16, 32)
    """

    movie: AnyMovie
    frames: tuple[int | None, int | None] = (None, None)
    roi: Roi | None = None
    prepared: Prepared = AS_STORED
    partial: bool = False
    follow_s: float | None = None
    pixel_um: float | None = None
    defects: DefectChoice = "auto"
    faults: PixelFaults | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "defects", defects_meant(self.defects))

    @contextmanager
    def open(self) -> Iterator[OpenExcerpt]:
        """Open the movie; raises InputError with the movie's limits if it does not contain the excerpt."""
        if self.follow_s is None:
            with self._source() as source:
                movie = prepare(source, self.prepared)
                yield OpenExcerpt(self, movie, self._span(movie.shape[0]), self._box(movie))
            return
        path = self.source
        if not isinstance(path, Path):
            raise InputError(
                "only a file or folder can be followed while it is recorded, not a movie in memory"
            )
        first, last = self.frames[0] or 0, self.frames[1]
        if first < 0 or (last is not None and last <= first):
            raise InputError(f"frames {first}:{last} are none: they begin at 0, and end after the first one")
        with FollowedMovie(path, partial=self.partial) as source:
            source.wait(1, timeout_s=self.follow_s)
            movie = prepare(source, self.prepared)
            yield OpenExcerpt(self, movie, (first, last), self._box(movie), source)

    @property
    def source(self) -> Path | Movie:
        """The movie's file or folder, or a movie in memory; raises InputError for what is no movie."""
        if isinstance(self.movie, list | tuple):
            raise InputError("a movie is an array, a tensor or a file, not a list", "make it a numpy array")
        return as_source(self.movie)

    @property
    def name(self) -> str:
        """File name of the movie, without its folder."""
        return path_of(self.source).name

    @property
    def defects_named(self) -> str:
        """How defective pixels are known, for a list's record: "auto", "none" or the name of their file."""
        return self.defects.name if isinstance(self.defects, Path) else self.defects

    def _source(self) -> AbstractContextManager[Movie]:
        """The movie; it is closed after use only if it was opened here."""
        movie = self.source
        return open_movie(movie, partial=self.partial) if isinstance(movie, Path) else nullcontext(movie)

    def _span(self, count: int) -> tuple[int, int]:
        first = 0 if self.frames[0] is None else self.frames[0]
        last = count if self.frames[1] is None else self.frames[1]
        if not 0 <= first < last <= count:
            raise InputError(f"frames {first}:{last} are not in the movie, which has frames 0:{count}")
        return first, last

    def _box(self, movie: Movie) -> Roi:
        _, height, width = movie.shape
        box = (0, 0, width, height) if self.roi is None else self.roi
        if not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
            raise InputError(
                f"the region {box} (x0, y0, x1, y1) is not inside the frame of {width} x {height} px"
            )
        return box


@dataclass(frozen=True)
class OpenExcerpt:
    """An opened excerpt.

    movie: prepared;  span: first frame and last + 1, None if a growing movie is used to its end;
    roi: x0, y0, x1, y1 in pixels (half open);  growing: the source of `movie` while it is recorded, else None.
    """

    excerpt: Excerpt
    movie: Movie
    span: tuple[int, int | None]
    roi: Roi
    growing: FollowedMovie | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the region, px."""
        x0, y0, x1, y1 = self.roi
        return y1 - y0, x1 - x0

    @property
    def last(self) -> int:
        """The frame after the last one; for a growing movie, as far as it is recorded now."""
        return self.movie.shape[0] if self.span[1] is None else self.span[1]

    def left_behind(self) -> InputError | None:
        """Why a recording that was followed and is over was not used to the end of the range; None else."""
        there, (first, last) = self.movie.shape[0], self.span
        if self.growing is None or (last is not None and there >= last):
            return None
        if there <= first:
            asked = f"frames {first}:{'' if last is None else last}"
            none = InputError(f"{asked} are not in the movie, which has frames 0:{there}")
            return self.growing.left_behind() or none
        return self.growing.left_behind()

    def notes(self) -> list[str]:
        """What the user should know of the movie, and of a range of frames that it has not; ask at the end."""
        there, last = self.movie.shape[0], self.span[1]
        short = self.growing is not None and last is not None and there < last
        ended = f"the recording ended at frame {there}; frames {self.span[0]}:{last} were asked for"
        return [*self.movie.notes, *([ended] if short else [])]

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Frames start … stop−1 of the region: (n, h, w)."""
        x0, y0, x1, y1 = self.roi
        return self.movie.read(start, stop)[:, y0:y1, x0:x1]

    def readable_around(self, block: Block) -> Block:
        """The readable frames of the movie, without a gap, in which a block lies; also outside the range."""
        first, last = 0, self.movie.shape[0]
        for begin, end in self.movie.gaps:
            first = max(first, end) if end <= block[0] else first
            last = min(last, begin) if begin >= block[1] else last
        return first, last

    def maps_of(self, camera: Camera) -> dict[str, Tensor]:
        """The camera's maps for the pixels of the region, oriented like the frames; {} if it has none.

        Raises InputError if the maps do not have the size of the movie's frames.
        """
        return self._part_of(camera.load_maps())

    def at_work(self, pipeline: Pipeline) -> Pipeline:
        """The pipeline for the region, with its part of the PSF's field and of the camera's oriented maps.

        Raises InputError if the maps do not have the size of the movie's frames.
        """
        experiment, size = pipeline.experiment, self.movie.shape[1:]
        whole = Field(size[0], size[1], experiment.microscope.pixel_um)
        whole = shown_field(whole, experiment.psf.across, pipeline.camera, self.excerpt.prepared)
        here = replace(pipeline.in_field(whole.part(self.roi)), maps=self._part_of(pipeline.maps))
        faults = self.excerpt.faults
        return here if faults is None else replace(here, reader=PixelReader(faults, here.to_photons))

    def judged(self, camera: Camera, microscope: Microscope, *, watch: Watcher = SILENT) -> OpenExcerpt:
        """Find the faults of the pixels in a sample of the movie's frames, and add them to the excerpt.

        watch: can stop the wait for enough frames of a movie that is still being recorded.
        Raises InputError if a file of defective pixels, or the camera's maps, do not fit the movie's frames.
        """
        excerpt = self.excerpt
        if self.growing is not None and excerpt.follow_s is not None:
            wanted = frames_to_wait_for(excerpt.prepared)
            self.growing.wait(wanted, timeout_s=excerpt.follow_s, watch=watch)
        x0, y0, x1, y1 = self.roi
        known = known_defects(excerpt.defects, excerpt.prepared, self.movie.shape)
        sample = sample_frames(self.movie, excerpt.prepared, growing=self.growing is not None)
        faults = faults_of(
            sample[:, y0:y1, x0:x1],
            camera,
            self.maps_of(camera),
            microscope,
            begin=(x0, y0),
            known=None if known is None else known[y0:y1, x0:x1],
            look=excerpt.defects != "none",
        )
        return replace(self, excerpt=replace(excerpt, faults=faults))

    def reader(self, camera: Camera) -> PixelReader:
        """Conversion of the region's counts to photons; call `judged` first."""
        faults, maps = self.excerpt.faults, self.maps_of(camera)
        if faults is None:
            raise ValueError("the pixels of this movie were not judged")
        return PixelReader(faults, lambda counts: camera.to_photons(counts, maps))

    def pixel_notes(self) -> list[str]:
        """Sentences about faults of the movie's pixels; empty before `judged`."""
        return [] if self.excerpt.faults is None else self.excerpt.faults.in_words()

    def _turned(self, maps: Maps) -> dict[str, Tensor]:
        return prepared_maps(maps, self.excerpt.prepared, self.movie.shape[1:])

    def _part_of(self, maps: Maps) -> dict[str, Tensor]:
        x0, y0, x1, y1 = self.roi
        return {name: values[y0:y1, x0:x1] for name, values in self._turned(maps).items()}

    def check_pixel(self, experiment: Experiment) -> None:
        """Raise InputError if the movie's pixel size is not that of the experiment."""
        pixel_um, remedy = experiment.microscope.pixel_um, "correct camera_pitch or magnification"
        check_pixel(self.movie, pixel_um, "the experiment's are", remedy, given_um=self.excerpt.pixel_um)

    def blocks(self, frames: int, start: int, *, around: int = 0, watch: Watcher = SILENT) -> Iterator[Block]:
        """Blocks of `frames` frames from frame `start`, without frames that cannot be read.

        For a growing movie it waits for new frames, and for as many after each block as are needed `around` it;
        watch: can stop this wait.
        """
        whole = (
            blocks_of(self.span[0], self.last, frames)
            if self.growing is None
            else self._coming(self.growing, frames, around, watch)
        )
        for begin, end in whole:
            yield from readable_ranges(self.movie.gaps, max(begin, start), end)

    def _coming(self, source: FollowedMovie, frames: int, around: int, watch: Watcher) -> Iterator[Block]:
        """The same blocks as for the complete movie, each as soon as its frames are recorded."""
        begin, last = self.span
        assert self.excerpt.follow_s is not None
        while last is None or begin < last:
            ready = self.excerpt.prepared.final(source.frames)
            end = begin + frames if last is None else min(begin + frames, last)
            if end + around <= ready:
                yield begin, end
                begin = end
                continue
            there = source.frames
            if source.wait(there + 1, timeout_s=self.excerpt.follow_s, watch=watch) == there:
                break
        if not watch.stopped:
            yield from blocks_of(begin, source.frames if last is None else min(last, source.frames), frames)

    def check_against(self, pipeline: Pipeline) -> None:
        """Raise InputError if the pixel size is not the model's, or if the frames are smaller than its PSF."""
        name = pipeline.experiment.name
        check_pixel(
            self.movie,
            pipeline.experiment.microscope.pixel_um,
            f"the model '{name}' was trained for",
            "train a model for this pixel size",
            given_um=self.excerpt.pixel_um,
        )
        self._turned(pipeline.maps)
        height, width = self.size
        if min(height, width) < pipeline.extent_px:
            raise InputError(
                f"the frames are {width} x {height} px, but the PSF of the model '{name}' extends over "
                f"{pipeline.extent_px} px",
                "give larger frames or a larger region",
            )
