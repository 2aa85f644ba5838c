"""A trained model for use in memory: frames in, localizations out."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from os import PathLike
from pathlib import Path
from typing import Any

from ..camera import Camera, CameraSpec
from ..devices import chosen_device
from ..emitters import Localizations
from ..errors import Interrupted
from ..experiment.experiment import Experiment
from ..front_door import doubt, public
from ..io.movies import AnyMovie
from ..localizer.modelfile import ModelFile, save_model_file
from ..watch import SILENT, Watcher
from .catalogue import ModelCard, describe_model, find_model
from .excerpt import Excerpt, excerpt_of
from .fits import Method
from .known_light import with_light_known
from .over_frames import OverFrames, decide
from .pipeline import Pipeline, experiment_of, load_pipeline, refuse_threshold
from .run import Run

__all__ = ["Model", "load_model"]


class Model:
    """A network trained for one set-up, with the image model that refines its positions.

    Parameters
    ----------
    file
        Weights, experiment and card, as `load_model` reads them.
    mask
        File with the phase mask in radians, if the model contains only its SHA-256.
    device
        "cpu", "cuda" or "mps"; None: a GPU of NVIDIA if there is one.

    Attributes
    ----------
    experiment : Experiment
        The set-up that the network was trained for.
    over_frames : bool
        Whether lists are fitted again over frames; None: where they show that molecules last.
    """

    def __init__(self, file: ModelFile, *, mask: Path | None = None, device: str | None = None) -> None:
        self.file, self.mask = file, mask
        self.device = chosen_device(device)
        self.experiment: Experiment = experiment_of(file)
        self._pipelines: dict[tuple[Any, ...], Pipeline] = {}
        self._threshold: float | None = None
        self.over_frames: bool | None = None

    @public
    def at_threshold(self, threshold: float) -> Model:
        """The same model with another smallest probability of a molecule, where none is said.

        Parameters
        ----------
        threshold : float
            0 to 1.

        Returns
        -------
        Model

        Raises
        ------
        InputError
            If it is not a probability.
        """
        refuse_threshold(threshold)
        changed = copy(self)
        changed._threshold, changed._pipelines = threshold, {}
        return changed

    def with_over_frames(self, wanted: bool | None) -> Model:
        """The same model that fits its lists again over frames, or never does, where nothing else is said.

        Parameters
        ----------
        wanted : bool or None
            As the argument `over_frames` of `localize`; None, as of a model just loaded: the list decides.

        Returns
        -------
        Model
        """
        changed = copy(self)
        changed.over_frames = wanted
        return changed

    def with_light_known(self, known: bool) -> Model:
        """The same model of several channels whose shares of the light the fit takes as known, or leaves free.

        Parameters
        ----------
        known : bool
            Every molecule has just the share of its light in each channel that the experiment says, as behind a
            half mirror; False: each molecule has its own. The model itself says it by ``light_known``.

        Returns
        -------
        Model

        Raises
        ------
        InputError
            For a model of one channel.
        """
        changed = copy(self)
        changed.file, changed._pipelines = with_light_known(self.file, known), {}
        changed.experiment = experiment_of(changed.file)
        return changed

    def __repr__(self) -> str:
        """One line with PSF, wavelength, pixel size, depth range and network."""
        card = self.card
        low, high = card.z_um
        return (
            f"Model({card.name!r}: {card.psf} PSF at {1000 * card.wavelength_um:.0f} nm, pixels of "
            f"{card.pixel_nm:g} nm, z {low:g} to {high:g} µm, {card.network} network, on {self.device})"
        )

    @property
    def card(self) -> ModelCard:
        """Description of the model: depth range, scenes, measured figures."""
        return describe_model(self.file)

    def pipeline(
        self,
        *,
        camera: Camera | Mapping[str, object] | None = None,
        threshold: float | None = None,
        method: Method = "network",
        refine: bool = True,
    ) -> Pipeline:
        """Network, image model and camera combined; it is cached, because building it takes seconds.

        The arguments are those of `localize`.
        """
        threshold = self._threshold if threshold is None else threshold
        # Of what is not hashable, such as a mapping, the text is part of the key.
        said = camera if isinstance(camera, CameraSpec) else repr(camera)
        said = repr(sorted(camera.items())) if isinstance(camera, Mapping) else said
        key = (said, threshold, method, refine)
        if key not in self._pipelines:
            self._pipelines[key] = load_pipeline(
                self.file,
                mask=self.mask,
                camera=camera,
                threshold=threshold,
                method=method,
                refine=refine,
                device=self.device,
            )
        return self._pipelines[key]

    @public
    def localize(
        self,
        movie: AnyMovie | Excerpt,
        *,
        camera: Camera | Mapping[str, object] | None = None,
        threshold: float | None = None,
        method: Method = "network",
        refine: bool = True,
        over_frames: bool | None = None,
        watch: Watcher = SILENT,
    ) -> Localizations:
        """Find every molecule in the frames of a movie.

        Frames are processed in blocks that fit the memory, with the same result as the command ``localize``.
        The list is kept in memory; for movies of many thousand frames use the command, which writes it to a
        file block by block.

        Parameters
        ----------
        movie : array (frames, height, width) or (height, width), tensor, movie, path or Excerpt
            Counts of the camera, as recorded. Of a part of it, ``ds.Excerpt(movie, frames=(0, 100), roi=…)``,
            positions and frames still refer to the whole movie.
        camera : camera or mapping
            Your camera, or the values that differ from the experiment's: ``{"baseline": 100, "gain": 2.2}``.
        threshold : float
            Smallest probability of a molecule, 0 to 1; None: the model's own, or that of `at_threshold`.
        method : "network", "pursuit" or "mle"
            Source of the candidates: the network; matching pursuit; single-emitter fits (for beads).
        refine : bool
            Fit all molecules of a frame jointly by maximum likelihood, or return the network's list unchanged.
        over_frames : bool
            Then fit the movie again, each molecule with one position for all the frames in which it shines:
            which rows are one molecule, and in which dim frames it was missed, is decided by the likelihood.
            The list gets the column ``molecule``. None: where the finished list of single frames shows that
            molecules rest and that two fifths of the rows have a partner in the next frame; False: every row
            is found from its frame alone, as molecules that move need it (of those that move by less than
            about 100 nm a frame, True would in part hold dim rows at one place). Only after the joint fit, on
            the processor.
        watch : Watcher
            Is called with the number of frames done, and can stop the work.

        Returns
        -------
        Localizations
            One row for each molecule and frame, in order of the frames; positions and their σ in µm.

        Raises
        ------
        InputError
            If movie, model or camera do not fit each other; if `threshold` is no probability.
        Interrupted
            If the watcher stopped the work.

        Warns
        -----
        DoubtfulResult
            If a user of the list should know of a problem, such as frames that contradict the camera.
        """
        pipeline = self.pipeline(camera=camera, threshold=threshold, method=method, refine=refine)
        with excerpt_of(movie).open() as opened:
            run = Run(opened, pipeline, watch=watch)
            parts = [found.localizations for found in run.blocks()]
            if watch.stopped:
                raise Interrupted
            left = run.source.left_behind()
            if left is not None and not parts:
                raise left
            found = Localizations.concat(parts) if parts else Localizations.empty()
            wanted = self.over_frames if over_frames is None else over_frames
            decision = decide(wanted, pipeline, found)
            summary = run.finish(complete=True)
            summary.warnings += [] if left is None else [str(left)]
            if decision.over_frames:
                over = OverFrames(pipeline, run.source, watch)
                found, summary.ends = Localizations.concat(over(found)), over.ends
        if decision.refused:
            summary.warnings.append(decision.reason)
        doubt([*pipeline.notes, *summary.warnings, *summary.ends.warnings()])
        return found

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to a file (.pt) that `load_model` and the commands read."""
        save_model_file(self.file, Path(path))


@public
def load_model(
    name_or_path: str | PathLike[str], *, mask: str | PathLike[str] | None = None, device: str | None = None
) -> Model:
    """A built-in model by its name, or a model file.

    Parameters
    ----------
    name_or_path
        A name that ``deepstorm3d models`` lists, or a file (.pt) that ``train`` wrote.
    mask
        File with the phase mask in radians, for a model that contains only its SHA-256.
    device
        "cpu", "cuda" or "mps"; None: a GPU of NVIDIA if there is one.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        If the model does not exist (the message lists the built-in models), or the device.
    """
    return Model(find_model(str(name_or_path)), mask=None if mask is None else Path(mask), device=device)
