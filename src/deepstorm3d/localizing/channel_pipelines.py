"""The pipelines of a model whose network sees all channels: one for each, and where each shows the first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..camera import Camera
from ..channels import ChannelPair, ChannelView
from ..devices import of_image_model
from ..errors import InputError
from ..experiment.channel_views import channel_views
from ..experiment.experiment import Experiment
from ..experiment.optics import psf_source
from ..fitting.joint import JointFit
from ..fitting.photometry import SPACING_PX
from ..localizer.modelfile import ChannelFiles, ModelFile
from ..simulation.backgrounds import UniformBackground
from .camera_change import assumed_values, change_camera
from .fits import build_fit
from .pipeline import Pipeline, photometry_table

__all__ = ["ChannelPipelines", "background_spacing_px", "channel_pipelines"]


@dataclass(frozen=True)
class ChannelPipelines:
    """Image model, camera and fit of each channel of one model.

    channels: of each, the first one with the network that sees all;  views: where each sees a molecule of the
    first, and its share of the light.
    """

    channels: tuple[Pipeline, ...]
    views: tuple[ChannelView, ...]

    @property
    def pair(self) -> ChannelPair:
        """The transform that the model was trained for.

        Raises InputError for more than two channels.
        """
        if len(self.views) != 2:
            names = ", ".join(view.name for view in self.views)
            raise InputError(
                f"the model '{self.channels[0].experiment.name}' has {len(self.views)} channels ({names}), two "
                "are localized together",
                "train a model for two of them",
            )
        first, second = self.views
        return ChannelPair(second.transform, (second.depth_offset_um, 0.0), (first.field, second.field))


def channel_pipelines(
    first: Pipeline, model: ModelFile, camera: Camera | Mapping[str, object] | None = None
) -> ChannelPipelines:
    """The pipelines of all channels of a model.

    first: that of the model itself (`load_pipeline`);  camera: what differs from each channel's own, as there.
    Where every scene of the experiment has an even background, and the network finds the candidates, the fit
    takes one level in each frame: a surface as flexible as a defocused spot is large would take a part of it.
    Raises InputError where mask, planes, camera or transform of a channel do not fit.
    """
    experiment = first.experiment
    views = channel_views(experiment)
    further = [
        _further(first, number, model.channels.get(name, ChannelFiles()), camera)
        for number, name in enumerate(experiment.channel_names[1:], 1)
    ]
    return ChannelPipelines(tuple(map(_with_level, (first, *further))), views)


def _with_level(pipeline: Pipeline) -> Pipeline:
    """The pipeline with one level of background in a frame, where its experiment says that it is even."""
    fit = pipeline.fit
    if not _even(pipeline.experiment) or pipeline.method != "network" or not isinstance(fit, JointFit):
        return pipeline
    return replace(pipeline, fit=replace(fit, spacing_px=math.inf, search_spacing_px=math.inf))


def background_spacing_px(experiment: Experiment) -> float:
    """Distance of the background's knots in the channels of an experiment; inf: one level in each frame."""
    return math.inf if _even(experiment) else SPACING_PX


def _even(experiment: Experiment) -> bool:
    """Whether the background of every scene is even."""
    return all(isinstance(scene.background, UniformBackground) for scene in experiment.scenes.values())


def _further(
    first: Pipeline, number: int, files: ChannelFiles, camera: Camera | Mapping[str, object] | None
) -> Pipeline:
    """The pipeline of a channel after the first; it has the same network."""
    alone = first.experiment.of_channel(number)
    source = psf_source(alone, phase=files.mask, planes=files.planes)
    table, reach_px = photometry_table(alone, source)
    chosen, place = change_camera(alone.camera, camera), first.device
    fit = None if first.fit is None else build_fit(alone, source, first.method, of_image_model(str(place)))
    return replace(
        first,
        experiment=alone,
        psf=table.to(place),
        camera=chosen,
        maps={name: values.to(place) for name, values in chosen.load_maps().items()},
        extent_px=reach_px,
        fit=fit,
        notes=assumed_values(alone.camera, chosen, camera),
        share=first.experiment.shares[number],
    )
