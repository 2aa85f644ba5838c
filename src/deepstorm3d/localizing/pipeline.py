"""The pipeline of a model: from camera counts to complete localizations."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from ..camera import Camera, Noise
from ..devices import of_image_model
from ..emitters import Localizations
from ..errors import InputError
from ..experiment.experiment import Experiment
from ..experiment.optics import psf_source
from ..field import Field
from ..fitting.crowd import most_molecules, most_probable, of_usable_frames
from ..fitting.joint import Explained, JointFit
from ..fitting.likelihood import Likelihood
from ..fitting.parallel import side_by_side
from ..fitting.photometry import Photometry, fit_photometry
from ..fitting.single import SingleFit
from ..io.masks import read_mask
from ..localizer.inference import announce, for_inference
from ..localizer.localizer import NetworkLocalizer
from ..localizer.modelfile import ModelFile
from ..localizer.neighbours import with_frames
from ..localizer.network import build_network, context_of
from ..localizer.precision import mixed_precision
from ..optics.fisher import crlb
from ..optics.masks import FileMask
from ..optics.psf import device_of, extent_px
from ..optics.tabulated import TabulatedPSF
from ..pixels.reading import Light, PixelReader, all_good
from ..spec import spec_from_mapping
from ..watch import SILENT, Part, Watcher, advance
from .camera_change import assumed_values, change_camera
from .candidates import Candidates, candidates_in_tiles
from .fits import Method, build_fit, highest_density
from .tiling import TILE_PX, Tile, localize_in_tiles, tiles

__all__ = ["Pipeline", "experiment_of", "load_pipeline", "photometry_table", "refuse_threshold"]

# Side of the patch for photometry and bounds, px: outside it the PSF is weaker than the background's noise.
_PHOTOMETRY_PATCH_PX = 61
# Factor on the threshold of the network when a fit follows: false candidates are removed quickly, missed ones
# must be searched for.
_PROPOSAL_SHARE = 0.45


@dataclass(frozen=True)
class Pipeline:
    """Network, image model and camera of one model, on one device.

    experiment: for which the model was trained;  localizer: network that finds candidates;  psf: for photometry
    and bounds;  camera: of the movie;  maps: of the camera, for the pixels of the stored frames until
    `OpenExcerpt.at_work` orients and crops them like the frames to be localized;
    extent_px: side of the square that contains most of the PSF's light;  method: source of the candidates;
    fit: refines the candidates (None: the network's list is not changed);  tile_px: side of the tiles of a
    frame, without their overlap;  notes: sentences about assumed values;
    reader: conversion to photons with the faults of the movie's pixels (`OpenExcerpt.judged`; None: no faults);
    field: the part of the whole field that the frames show (None: frames of any size that begin with it);
    share: of the light of the experiment's scenes that the frames get (below 1 where it has several channels);
    model_sha256: of the model's file, "" where it was read from none.
    """

    experiment: Experiment
    localizer: NetworkLocalizer
    psf: TabulatedPSF
    camera: Camera
    maps: Mapping[str, Tensor]
    extent_px: int
    method: Method = "network"
    fit: JointFit | SingleFit | None = None
    tile_px: int = TILE_PX
    notes: tuple[str, ...] = ()
    reader: PixelReader | None = None
    field: Field | None = None
    share: float = 1.0
    model_sha256: str = ""

    def in_field(self, field: Field) -> Pipeline:
        """The pipeline for frames that show this part of the whole field; its maps must be of these pixels."""
        return replace(self, psf=self.psf.in_field(field), field=field)

    def at_threshold(self, threshold: float) -> Pipeline:
        """The pipeline with another smallest probability of a candidate, 0 to 1; nothing is built anew."""
        localizer = copy(self.localizer)
        localizer.threshold = threshold
        return replace(self, localizer=localizer)

    def field_of(self, photons: Tensor) -> Field:
        """The part of the whole field that frames (B, H, W) show."""
        height, width = photons.shape[1:]
        return self.field or Field(height, width, self.experiment.microscope.pixel_um)

    @property
    def device(self) -> torch.device:
        """The device of the frames, of the image model and of the fit; the network's may be another."""
        return device_of(self.psf)

    @property
    def noise(self) -> Noise:
        """Noise of the frames in photons, for each pixel if the camera has a map of its read noise."""
        return self.camera.pixel_noise(self.maps)

    def to_photons(self, counts: Tensor) -> Tensor:
        """Convert counts (B, H, W) of the camera to photons, float32 on the pipeline's device."""
        return self.camera.to_photons(counts.to(self.device, torch.float32), self.maps)

    def light(self, counts: Tensor) -> Light:
        """Convert counts (B, H, W) of the camera to photons and pixel weights."""
        return all_good(self.to_photons(counts)) if self.reader is None else self.reader(counts)

    @property
    def context(self) -> int:
        """Number of frames before and after each that the network sees."""
        return self.localizer.context

    @torch.no_grad()
    def localize(
        self, photons: Tensor, weight: Tensor | None = None, *, around: Tensor | None = None
    ) -> Localizations:
        """Complete localizations of frames (B, H, W) of photons: positions, photons, background, σ.

        weight: (B, H, W), 0 at excluded pixels;  around: (B, images, H, W), all images that the network sees
        for each frame (`with_neighbours`; None: each frame is the only one of its movie).
        """
        return self.explain(photons, weight=weight, around=around).localizations

    @torch.no_grad()
    def explain(
        self,
        photons: Tensor,
        weight: Tensor | None = None,
        *,
        around: Tensor | None = None,
        watch: Watcher = SILENT,
    ) -> Explained:
        """Localizations as from `localize`, and the misfit of each frame (NaN without a joint fit).

        watch: is called with the number of frames done and can end the work (Interrupted).
        Raises InputError for frames of one channel, if the network sees several.
        """
        seen = photons if around is None else around
        if seen.dim() == 3 and self.localizer.channels > 1 and self.method == "network":
            raise InputError(
                f"the network of the model '{self.experiment.name}' sees {self.localizer.channels} channels at "
                "the same time, these are frames of one",
                "give the movies of both channels, or say that they are halves of one (`split`)",
            )
        whole = self.field_of(photons)
        area = [tile.core.height * tile.core.width for tile in tiles(whole, tile_px=self.tile_px)]
        candidates = self._candidates(photons, seen, whole, watch)
        misfits: list[Tensor] = []

        def localize(frames: Tensor, tile: Tile) -> Localizations:
            share = len(frames) / len(area)
            part_watch = Part(watch, len(misfits) * share, share, len(frames))
            rows, columns = tile.outer.pixels_of(whole)
            counted = None if weight is None else weight[:, rows, columns]
            likelihood = Likelihood(frames, self.noise.part(rows, columns), counted)
            images, fields = seen[..., rows, columns], (tile.outer, whole)
            found, expected = candidates.tiles[len(misfits)], candidates.expected
            part = self._explain_tile(likelihood, images, fields, found, expected, part_watch)
            misfits.append(part.misfit * area[len(misfits)])
            return part.localizations

        found = localize_in_tiles(localize, photons, whole, tile_px=self.tile_px)
        misfit = torch.stack(misfits).sum(0) / sum(area)
        return Explained(found if self.fit is not None else self.complete(found, photons, weight), misfit)

    def propose(self, frames: Tensor) -> Localizations:
        """Candidates of the network in B frames of photons, with or without their neighbours.

        frames: (B, H, W), or (B, C, H, W) for a network that sees C channels, warped onto the first; or all
        images that the network sees, (B, images, H, W).
        On the CPU each thread takes a frame of its own, if there are as many: a frame's data then remain in the
        cache from one layer to the next.
        """
        frames, place = frames.to(self.localizer.offset.device), frames.device
        return self._proposed(frames).to(place)

    def _proposed(self, frames: Tensor) -> Localizations:
        if frames.device.type != "cpu" or len(frames) < max(2, torch.get_num_threads()):
            return self._propose(frames)

        def candidates(number: int, _: Watcher) -> Localizations:
            return self._propose(frames[number : number + 1]).shift(frames=number)

        return Localizations.concat(side_by_side(candidates, len(frames), SILENT))

    @torch.no_grad()
    def _propose(self, frames: Tensor) -> Localizations:
        with mixed_precision(frames.device, self.experiment.training.half_precision):
            raw = self.localizer(frames)
        return self.localizer.network.decode(raw.float(), self.localizer.threshold)

    def _candidates(self, photons: Tensor, seen: Tensor, whole: Field, watch: Watcher) -> Candidates:
        """What the network proposes in all tiles of frames (B, H, W); nothing by another method."""

        def proposed(frames: Tensor, tile: Tile) -> Localizations:
            if self.method != "network":
                return Localizations.empty(frames.device)
            announce(self.localizer, frames, watch)
            advance(watch)
            rows, columns = tile.outer.pixels_of(whole)
            found, outer = self.propose(seen[..., rows, columns]), tile.outer
            if isinstance(self.fit, JointFit):
                # Too many candidates say nothing of how many molecules to expect either.
                return of_usable_frames(found, len(frames), self.fit.most(outer.size))
            densest, patch_px = highest_density(self.experiment), self.psf.patch_px
            return most_probable(
                found, len(frames), most_molecules(densest, outer.size, outer.pixel_um, patch_px)
            )

        return candidates_in_tiles(proposed, photons, whole, self.tile_px)

    def _explain_tile(
        self, likelihood: Likelihood, seen: Tensor, fields: tuple[Field, Field], candidates: Localizations,
        expected: Tensor, watch: Watcher,
    ) -> Explained:  # fmt: skip
        """The list of a tile, and its misfit.

        seen: the images of the tile that the network sees;  fields: of the tile and of the whole frame;
        candidates: of the tile;  expected: as of `JointFit.explain`.
        """
        not_measured = likelihood.frames.new_full((len(likelihood),), float("nan"))
        if self.fit is None:
            return Explained(candidates, not_measured)
        fit = self.fit.in_field(*fields)
        if isinstance(fit, SingleFit):
            return Explained(replace(fit, watch=watch)(likelihood), not_measured)
        if self.method == "network":

            def again(changed: Tensor, numbers: Tensor) -> Localizations:
                return self.propose(with_frames(seen[numbers], changed, self.context))

            fit = replace(fit, network=again)
        return replace(fit, watch=watch).explain(candidates, likelihood, expected)

    def likelihood(self, photons: Tensor) -> Likelihood:
        """The likelihood of frames (B, H, W) of photons, with the camera's map of read noise if it has one."""
        return Likelihood(photons, self.noise)

    @torch.no_grad()
    def photometry(self, found: Localizations, photons: Tensor, weight: Tensor | None = None) -> Photometry:
        """Photons and background at the positions found; see `fit_photometry`."""
        noise = self.noise.averaged()
        return fit_photometry(self.psf, found.xyz, found.frame, photons, weight=weight, noise=noise)

    @torch.no_grad()
    def complete(self, found: Localizations, photons: Tensor, weight: Tensor | None = None) -> Localizations:
        """Add the columns that the network does not measure.

        Photons and background come from the linear fit, and σ from the single-emitter Cramér-Rao bound at
        these values (``sigma_source = crlb``). If the network measures photons and σ, its values are kept.
        """
        if not len(found):
            return replace(found, sigma_source="crlb" if found.sigma_source == "none" else found.sigma_source)
        light = self.photometry(found, photons, weight)
        found = replace(found, background=light.background, fit_quality=light.chi_square)
        if found.sigma_source != "none":
            return found
        noise = self.noise.averaged()
        # In the bound, read noise acts like additional background photons of the same variance.
        floor = (light.background + noise.mean_read_variance / noise.excess).clamp(min=0.1)
        bounds = [
            crlb(self.psf, found.xyz[rows], light.photons[rows].clamp(min=1.0), floor[rows])
            for rows in torch.arange(len(found), device=found.xyz.device).split(256)
        ]
        sigma = torch.cat(bounds) * noise.excess**0.5
        return replace(
            found,
            photons=light.photons,
            sigma_xyz=sigma[:, :3],
            sigma_photons=sigma[:, 3],
            sigma_background=sigma[:, 4],
            sigma_source="crlb",
        )


def experiment_of(model: ModelFile) -> Experiment:
    """The experiment that a model was trained for."""
    return spec_from_mapping(Experiment, model.experiment, source="the model's experiment")


def photometry_table(experiment: Experiment, source: Any) -> tuple[TabulatedPSF, int]:
    """The PSF of an experiment of one channel for photometry and bounds, and its extent in px (`Pipeline`).

    source: mask or planes (`psf_source`).
    """
    optics = experiment.psf.with_(patch_px=min(_PHOTOMETRY_PATCH_PX, experiment.psf.patch_px))
    # Localizations have no blur of their own, so the table needs only one blur level.
    blur_px = (experiment.psf.blur_px, experiment.psf.blur_px)
    psf = optics.tabulate(experiment.microscope, source, experiment.z_um, blur_px)
    return psf, extent_px(psf, experiment.z_um)


def load_pipeline(
    model: ModelFile,
    *,
    mask: Path | None = None,
    camera: Camera | Mapping[str, object] | None = None,
    threshold: float | None = None,
    method: Method = "network",
    refine: bool = True,
    device: str = "cpu",
) -> Pipeline:
    """Build the pipeline of a model.

    mask: file with the phase, if the model contains only its hash;  camera: of the movie, or the values that
    differ from the experiment's camera: {"baseline": 100} (ADU, e-; `change_camera`);  threshold: smallest
    probability (None: the model's);  method: source of the candidates;  refine: whether the joint fit follows
    (the network then proposes candidates down to about half of its threshold, and the likelihood decides);
    device: of the network; the rest is there too, but on the processor if it is "mps".
    Raises InputError if model, mask or camera do not fit, for no probability and for an unknown method.
    """
    if threshold is not None:
        refuse_threshold(threshold)
    if method not in get_args(Method):
        raise InputError(f"there is no method '{method}' (`method`)", f"use {', '.join(get_args(Method))}")
    experiment = experiment_of(model)
    phase = model.mask
    if mask is not None and not experiment.psf.needs_mask:
        raise InputError(
            f"the model '{experiment.name}' was trained for a {experiment.psf.kind} PSF, which has no mask",
            "leave `mask` out",
        )
    if isinstance(experiment.mask, FileMask) and mask is not None:
        phase = torch.from_numpy(read_mask(mask)).float()
    elif mask is not None:
        raise InputError(
            f"the model '{experiment.name}' was trained for its own mask ({experiment.mask.kind}) and cannot "
            "work with another",
            "train a model for yours (`with_mask`, then train)",
        )
    chosen = change_camera(experiment.camera, camera)
    source = psf_source(experiment, phase=phase, planes=model.planes)
    psf, reach_px = photometry_table(experiment, source)
    channels = len(experiment.channel_names)
    network = build_network(experiment.network, experiment.microscope.pixel_um, experiment.z_um, channels)
    refine = refine or method != "network"
    least = model.threshold if threshold is None else threshold
    proposed = least * (_PROPOSAL_SHARE if refine and threshold is None else 1.0)
    localizer = NetworkLocalizer(
        network, context=context_of(experiment.network), channels=channels, threshold=proposed
    )
    try:
        localizer.load_state_dict(dict(model.weights))
    except RuntimeError as error:
        raise InputError(f"the model's weights do not fit its network: {error}") from error
    localizer = localizer.to(device).to(memory_format=network.memory_format).eval()  # pyright: ignore[reportCallIssue]
    localizer = for_inference(localizer, half_precision=experiment.training.half_precision)
    place = of_image_model(device)
    return Pipeline(
        experiment=experiment,
        localizer=localizer,
        psf=psf.to(place),
        camera=chosen,
        maps={name: values.to(place) for name, values in chosen.load_maps().items()},
        extent_px=reach_px,
        method=method,
        fit=build_fit(experiment, source, method, place) if refine else None,
        notes=(*assumed_values(experiment.camera, chosen, camera), *_notes_of_dyes(experiment)),
        share=experiment.shares[0],
        model_sha256=model.sha256,
    )


def refuse_threshold(threshold: float) -> None:
    """Raise InputError for what is no probability."""
    if not 0 <= threshold <= 1:
        raise InputError(f"the threshold is a probability, 0 to 1, not {threshold:g}")


def _notes_of_dyes(experiment: Experiment) -> list[str]:
    """What a user should know where one PSF stands for several dyes."""
    if not experiment.dyes:
        return []
    nm = 1000 * experiment.microscope.wavelength
    return [
        f"the model knows {len(experiment.dyes)} dyes ({', '.join(experiment.dyes)}), and here all molecules "
        f"are fitted as of {nm:g} nm: `dyes` fits each with the PSF of its own"
    ]
