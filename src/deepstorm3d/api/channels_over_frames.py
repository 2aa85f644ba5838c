"""Two channels in memory: a list fitted again, each molecule over all its frames and both channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from ..camera import Camera
from ..emitters import Localizations
from ..errors import InputError
from ..front_door import public
from ..io.movies import AnyMovie
from ..jobs.channel_inputs import both_pipelines, checked_frames, judged_movie
from ..localizing.channels_over_frames import ChannelsPass
from ..localizing.excerpt import Excerpt
from ..localizing.model import Model
from ..localizing.over_channels import refuse_unfit
from ..watch import SILENT, Watcher
from .channel_movies import AnyTransform, SecondChannel, channels_of, transform_given, transform_of_list
from .reading import List, as_list

__all__ = ["channels_over_frames"]


@public
def channels_over_frames(
    found: List,
    first: AnyMovie | Excerpt,
    second: SecondChannel,
    models: Model | Sequence[Model],
    *,
    transform: AnyTransform | None = None,
    camera: Camera | Mapping[str, object] | None = None,
    watch: Watcher = SILENT,
) -> Localizations:
    """Fit the list of two channels again: one position for a molecule from all its frames in both channels.

    Which rows are one molecule, in which dim frames it was missed, and which molecules no single frame shows,
    is decided by the likelihood. Photons, background and share stay those of each frame; where the model's
    shares of the light are known (`Model.with_light_known`), photons are by them. Molecules that move are not
    tied. The command `localize` does it by itself where a list shows that molecules last.

    Parameters
    ----------
    found : Localizations or path
        As `localize_channels` gives it.
    first, second, models, camera
        As given to `localize_channels`.
    transform : Registration, ChannelPair or path
        That was used there; None: as the file of the list says, else that of the model of two channels.
    watch : Watcher
        Told the frames done, and can stop the work.

    Returns
    -------
    Localizations
        One row for each molecule and frame, as of `localize_channels`, with the column ``molecule``: rows of
        one molecule share position and σ.

    Raises
    ------
    InputError
        If movies, models and transform do not fit each other, and if no transform is known.
    Interrupted
        If the watcher stopped the work.
    """
    given = (models,) if isinstance(models, Model) else tuple(models)
    both = both_pipelines([(model.pipeline(camera=camera), model.file) for model in given], camera)
    refuse_unfit(*both.pipelines)
    channels = channels_of(first, second, both.pipelines)
    pixel_um = both.pipelines[0].experiment.microscope.pixel_um
    pair = transform_given(transform, pixel_um).pair or transform_of_list(found, pixel_um)
    if pair is None and both.model is not None:
        pair = both.model.pair
    if pair is None:
        raise InputError(
            "neither the list nor the models say where the second channel shows what the first does",
            "give the transform that the list was made with (`transform`)",
        )
    checked_frames(channels)
    with ExitStack() as stack:
        opened = [(channel, stack.enter_context(channel.excerpt.open())) for channel in channels]
        movies = [judged_movie(channel, source, watch) for channel, source in opened]
        rows = as_list(found, pixel_um).sort()
        return Localizations.concat(list(ChannelsPass(movies, [pair], watch)(rows)))
