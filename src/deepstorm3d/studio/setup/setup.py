"""What the panel "Set-up" holds: the experiment being edited, what it looks like, and what measures it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ...calibration.movie_statistics.by_model import model_for
from ...calibration.movie_statistics.channels import ChannelsEstimate, estimate_channels
from ...calibration.movie_statistics.estimate import Estimate, estimate
from ...calibration.movie_statistics.settings import EstimateSettings
from ...errors import InputError
from ...experiment.experiment import Experiment
from ...experiment.files import write_experiment
from ...experiment.named_files import files_named, with_files_beside
from ...io.masks import mask_sha256, read_mask
from ...io.parts import claim_name
from ...jobs.camera_maps import CameraMaps, Recordings, measure_camera
from ...jobs.estimate_channels import with_transform
from ...localizing.excerpt import Excerpt
from ...optics.masks import FileMask
from ...watch import Watcher
from ..folder import Folder
from ..latest import Latest
from ..movie.explained import Question
from ..movie.explained_channels import excerpts_of
from ..work import Work
from .draft import ExperimentDraft
from .look import ExperimentView, ViewQuestion, view_experiment

__all__ = ["RealFrame", "Setup"]

RealFrame = tuple[str, NDArray[Any]]
"""Name of a frame, which tells it from others, and its counts (H, W)."""


class Setup:
    """The experiment of the studio.

    folder: that may be read and written;  real: gives a name and the counts (H, W) of the frame that is looked
    at, None where no movie is open.

    Attributes
    ----------
    draft : ExperimentDraft
        The form's values.
    looked : Latest
        The newest view of the experiment.
    work : Work
        An estimate from the movie, or the measurement of a camera.
    changes : int
        Grows with every change that a page shows.
    """

    def __init__(self, folder: Folder, real: Callable[[], RealFrame | None] = lambda: None) -> None:
        self.folder, self.real = folder, real
        self.draft = ExperimentDraft()
        self.scene, self.seed = "", 0
        self.written: Path | None = None
        self.looked: Latest[ViewQuestion, ExperimentView] = Latest(self._view)
        self.work: Work = Work()
        self._numbers = count(1)
        self._asked: tuple[object, ...] = ()

    @property
    def experiment(self) -> Experiment:
        """The last experiment that was valid, its files found in the folder.

        Raises InputError where a file that it names lies outside.
        """
        return self._found(self.draft.experiment)

    @property
    def changes(self) -> int:
        """Grows with every change that a page shows."""
        return self.draft.changes + self.looked.changes + self.work.changes

    @property
    def view(self) -> ExperimentView | None:
        """The newest view; it may be of an experiment before the last change."""
        return None if self.looked.answer is None else self.looked.answer.result

    @property
    def problem(self) -> Exception | None:
        """Why the experiment cannot be simulated."""
        return None if self.looked.answer is None else self.looked.answer.error

    def look(self) -> None:
        """Look at the experiment as it is now.

        Raises InputError where a file that it names lies outside the folder.
        """
        experiment = self.experiment
        scene = self.scene if self.scene in experiment.scenes else ""
        name, real = self.real() or ("", None)
        asked = ViewQuestion(experiment, scene, self.seed, real, name)
        if asked.key != self._asked:
            self._asked = asked.key
            self.looked.ask(asked)

    def choose(self, *, scene: str | None = None, seed: int | None = None) -> None:
        """Look at another scene, or at another draw of it."""
        self.scene = self.scene if scene is None else scene
        self.seed = self.seed if seed is None else seed
        self.look()

    def name_file(self, path: tuple[str, ...], name: str) -> None:
        """Name another file in the experiment; the hash beside it is that of the one before, and goes.

        Raises InputError where it lies outside the folder, or is not there.
        """
        if name.strip():
            name = self.folder.shown(self.folder.existing(name))
        if self.draft.value((*path[:-1], "sha256")):
            self.draft.set((*path[:-1], "sha256"), "")
        self.draft.set(path, name)

    def read(self, name: str) -> None:
        """Begin from an experiment file of the folder."""
        path = self.folder.existing(name)
        self.draft.read(path, self.folder.shown(path))

    def write(self, name: str, *, overwrite: bool = False) -> Path:
        """Write the experiment file; paths of mask, PSF and camera maps in it count from its own folder.

        Raises InputError where a field is wrong, the name is no .yaml, or the file is there and may not be
        replaced.
        """
        path = self.folder.path(name)
        if path.suffix not in (".yaml", ".yml"):
            raise InputError(f"'{name}' is no name of an experiment file", "let it end in .yaml")
        experiment = _hashed(self._found(self.draft.complete))
        claim_name(path, overwrite=overwrite)
        write_experiment(experiment, path, remarks=self.draft.remarks)
        self.written = path
        self.draft.changes += 1
        return path

    def estimate(self, movie: Excerpt, *, model: str = "") -> None:
        """Estimate light, density, background and noise from a movie, in a thread; `accept` takes the result.

        movie: its part that is looked at, prepared as asked;  model: a trained one that finds the molecules;
        empty: from pixel values alone.
        """
        begin, model = self._found(self.draft.complete), self._model(model)

        def work(watch: Watcher) -> Estimate:
            return estimate(movie, begin, _settings(model, begin), watch=watch)

        self.work.start(f"estimate from {movie.name}", work)

    def estimate_both(self, asked: Question, *, model: str = "") -> None:
        """Estimate one experiment from the movies of two channels, in a thread; `accept` takes the result.

        asked: the movies as the panel Movie shows them;  model: as of `estimate`, for both channels.
        """
        model = self._model(model)
        begin = with_transform(self._found(self.draft.complete), asked.transform)
        movies = excerpts_of(asked, begin.microscope.pixel_um)

        def work(watch: Watcher) -> ChannelsEstimate:
            settings = [_settings(model, begin.of_channel(number)) for number in range(len(movies))]
            return estimate_channels(movies, begin, settings, watch=watch)

        self.work.start(f"estimate from {movies[0].name} and its second channel", work)

    def measure_camera(self, dark: str, bright: str, out: str, *, gain: float | None = None) -> None:
        """Measure baseline, gain and read noise of every pixel from movies, in a thread.

        dark: movie without light;  bright: movies of even light, separated by commas;  out: folder for the
        maps;  gain: ADU per electron, where there are no bright movies.
        """
        lit = tuple(self.folder.existing(each) for each in bright.split(",") if each.strip())
        recordings = Recordings(self.folder.existing(dark), lit, gain=gain)
        if not out.strip():
            raise InputError("the maps have no folder", "give one to write them into")
        place = self.folder.path(out)

        def work(watch: Watcher) -> CameraMaps:
            return measure_camera(recordings, place, watch=watch)

        self.work.start(f"camera from {recordings.dark.name}", work)

    def accept(self) -> None:
        """Take what the work found: an estimated experiment, or a camera."""
        found = self.work.result
        if isinstance(found, Estimate | ChannelsEstimate):
            self.draft.take(found.experiment, self.draft.start)
        elif isinstance(found, CameraMaps):
            self.draft.set(("camera",), found.camera.to_mapping())
        else:
            raise InputError("there is nothing to take")
        self.work.clear()

    def _model(self, name: str) -> str:
        """A built-in model's name, or the path of a file in the folder."""
        return str(self.folder.path(name)) if name and (self.folder.root / name).exists() else name

    def _found(self, experiment: Experiment) -> Experiment:
        """The experiment with its files in the folder; raises InputError where one lies outside."""
        for name in files_named(experiment):
            self.folder.path(name)
        return with_files_beside(experiment, self.folder.root)

    def _view(self, asked: ViewQuestion, watch: Watcher) -> ExperimentView:
        return view_experiment(asked, next(self._numbers), watch)


def _settings(model: str, experiment: Experiment) -> EstimateSettings:
    """Of a one-channel experiment; model: that finds the molecules, empty for none."""
    if not model:
        return EstimateSettings()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return EstimateSettings(pipeline=model_for(model, experiment, mask=None, device=device))


def _hashed(experiment: Experiment) -> Experiment:
    """The experiment with the hash of its mask's file, so that another file is noticed later."""
    mask = experiment.mask
    if not isinstance(mask, FileMask) or not mask.path or mask.sha256:
        return experiment
    return experiment.with_(mask=mask.with_(sha256=mask_sha256(read_mask(Path(mask.path)))))
