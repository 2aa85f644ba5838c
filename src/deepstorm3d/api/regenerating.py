"""Frames beside the images that a list predicts for them, in memory: of one channel, and of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..camera import Camera
from ..errors import InputError
from ..front_door import public
from ..io.movies import AnyMovie
from ..jobs.channel_inputs import both_pipelines
from ..jobs.movie_of_list import doubts_of_movie
from ..jobs.regenerate import RegeneratedFrame, read_frame, regenerated
from ..jobs.regenerate_channels import RegeneratedChannels, regenerated_channels, with_doubts
from ..localizing.excerpt import Excerpt, excerpt_of
from ..localizing.model import Model
from .channel_movies import AnyTransform, SecondChannel, channels_of, transform_given, transform_of_list
from .reading import List, as_list_of_file

__all__ = ["regenerate", "regenerate_channels"]


@public
def regenerate(
    found: List,
    movie: AnyMovie | Excerpt,
    model: Model,
    *,
    frame: int = 0,
    camera: Camera | Mapping[str, object] | None = None,
    equal_photons: bool = False,
) -> RegeneratedFrame:
    """The image that a list predicts for a frame, and how well it explains the frame.

    Photons and background are fitted to the frame at the list's positions.

    Parameters
    ----------
    found : Localizations or path
        Of the movie.
    movie : array (frames, height, width), tensor, movie, path or Excerpt
        Counts of the camera, as recorded; the whole frame is drawn.
    model : Model
        That localized the movie: its PSF and camera.
    frame : int
        From 0.
    camera : camera or mapping
        As of `Model.localize`.
    equal_photons : bool
        Give all molecules the median of the fitted photons: then only positions can explain the frame.

    Returns
    -------
    RegeneratedFrame
        ``.photons``, ``.model`` and ``.residual`` (in σ of the noise), each (H, W); ``.report`` with
        correlation and deviance per pixel. ``ds.plot.channel_overlays([…])`` draws it.

    Raises
    ------
    InputError
        If the frame is not in the movie, or list, movie and model do not fit each other.
    """
    excerpt = replace(excerpt_of(movie), roi=None)
    pipeline = model.pipeline(camera=camera, refine=False)
    pixel_um = pipeline.experiment.microscope.pixel_um
    pipeline, seen, told = read_frame(excerpt, pipeline, frame)
    table, header = as_list_of_file(found, pixel_um)
    if header is not None and isinstance(excerpt.source, Path):
        told = [*doubts_of_movie(header, excerpt), *told]
    rows = table.select(table.frame == frame).shift(frames=-frame).to(pipeline.device)
    made = regenerated(pipeline, rows, seen, equal_photons=equal_photons)
    report = replace(made.report, notes=(*told, *made.report.notes))
    return replace(made, report=report, name=f"{excerpt.name}, frame {frame}")


@public
def regenerate_channels(
    found: List,
    first: AnyMovie | Excerpt,
    second: SecondChannel,
    models: Model | Sequence[Model],
    transform: AnyTransform | None = None,
    *,
    frame: int = 0,
    camera: Camera | Mapping[str, object] | None = None,
) -> RegeneratedChannels:
    """The images that the list of two channels predicts in each, and how well it explains both.

    The molecules are put where each channel shows them; photons and background are fitted in each channel.

    Parameters
    ----------
    found : Localizations or path
        With positions in the first channel, as `localize_channels` gives them.
    first, second, models
        As of `localize_channels`; the region of an Excerpt is drawn alone.
    transform : Registration, ChannelPair or path
        Where the second channel shows what the first one does; None: as the file of the list says, else as
        the model of both channels was trained.
    frame : int
        From 0.
    camera : camera or mapping
        As of `Model.localize`, for both channels.

    Returns
    -------
    RegeneratedChannels
        ``.frames``, one as of `regenerate` for each channel; ``.shares`` of the molecules' light in each;
        printed, a line for each channel. ``ds.plot.channel_overlays(made.frames)`` draws them beside each
        other.

    Raises
    ------
    InputError
        If the frame is not in both movies, or movies and models do not fit each other.
    """
    given = (models,) if isinstance(models, Model) else tuple(models)
    loaded = [(model.pipeline(camera=camera, refine=False), model.file) for model in given]
    both = both_pipelines(loaded, camera)
    one = both.pipelines[0]
    channels, pixel_um = channels_of(first, second, both.pipelines), one.experiment.microscope.pixel_um
    pair = transform_given(transform, pixel_um).pair or transform_of_list(found, pixel_um)
    if pair is None and both.model is not None:
        pair = both.model.pair
    if pair is None:
        raise InputError(
            "these models do not say where the second channel shows what the first does",
            "give the transform (`transform`)",
        )
    table, header = as_list_of_file(found, pixel_um)
    made = regenerated_channels(table, channels, [pair], frame=frame)
    files = all(isinstance(channel.excerpt.source, Path) for channel in channels)
    return made if header is None or not files else with_doubts(made, header, channels)
