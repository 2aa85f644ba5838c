"""Axial scan: a z-stack without a mask becomes a list of 3D positions, an approximate truth for a snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..calibration.axial_scan.figure import axial_scan
from ..calibration.axial_scan.scan import scan_spots
from ..calibration.axial_scan.spot import AxialScan, ScannedSpot
from ..emitters import Emitters
from ..errors import InputError
from ..experiment.experiment import Experiment
from ..frames.no_light import refuse_without_light
from ..frames.plausibility import check_frames
from ..io.parts import beside
from ..io.tables import claim_truth, write_truth
from ..localizing.excerpt import Excerpt
from ..optics.computed import build_psf
from ..optics.masks import ZeroMask
from ..pixels.reading import Light
from ..plot.panels import claim_picture, save_figure
from ..watch import SILENT, Watcher

__all__ = ["FocalPlanes", "ScanReport", "scan_stack"]

# Of the standard PSF: its rings beyond are weaker than the noise.
_PATCH_PX = 61
_BEYOND_UM = 0.5
_DOUBTFUL = 0.9


@dataclass(frozen=True)
class FocalPlanes:
    """Nominal focal planes of a stack.

    step_um: movement of the objective from plane to plane, positive towards the sample;  first_um: focal plane
    of the first one; None: the middle of the stack is the microscope's own focal plane.
    Raises InputError for a step of 0, or one that is not finite.
    """

    step_um: float
    first_um: float | None = None

    def __post_init__(self) -> None:
        if not np.isfinite(self.step_um) or self.step_um == 0:
            raise InputError(
                f"a step of {self.step_um:g} µm is no stack", "give the travel from plane to plane (`step_um`)"
            )

    def focus(self, planes: int, middle_um: float) -> Tensor:
        """Focal plane of each plane, (planes,) µm; middle_um: the microscope's own."""
        first = middle_um - self.step_um * (planes - 1) / 2 if self.first_um is None else self.first_um
        return first + self.step_um * torch.arange(planes)


@dataclass(frozen=True)
class ScanReport:
    """What a stack holds.

    spots: in order of depth;  scan: its planes;  warnings: in words.
    """

    spots: list[ScannedSpot]
    scan: AxialScan
    warnings: list[str]


def scan_stack(
    excerpt: Excerpt,
    experiment: Experiment,
    out: Path,
    focal_planes: FocalPlanes,
    *,
    picture: Path | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> ScanReport:
    """Find the spots of a stack, write them as the truth of one frame, and draw them.

    experiment: its microscope and camera took the stack, with the mask switched off (aberrations stay);
    focal_planes: of the stack;  picture: to draw; None: beside `out`.
    Raises InputError for a stack that cannot be used, as `scan_spots`.
    """
    picture = beside(out, ".png") if picture is None else picture
    claim_truth(out, overwrite=overwrite)
    claim_picture(picture, overwrite=overwrite)
    with excerpt.open() as source:
        source.check_pixel(experiment)
        source = source.judged(experiment.camera, experiment.microscope)
        counts = source.read(source.span[0], source.last)
        reader, maps = source.reader(experiment.camera), source.maps_of(experiment.camera)
        told = source.pixel_notes()
    refuse_without_light(counts, experiment.camera.saturation, excerpt.name)
    light = reader(torch.from_numpy(counts.astype(np.float32)))
    planes = light.photons
    doubts = [finding.text for finding in check_frames(counts, planes, experiment.camera, maps=maps)]
    told += [*_about_pixels(light), *doubts]
    scan = _scan(planes, experiment, focal_planes)
    spots = sorted(scan_spots(scan, watch=watch), key=lambda spot: spot.xyz[2])
    xyz = np.array([spot.xyz for spot in spots]).reshape(-1, 3)
    pixel_um = experiment.microscope.pixel_um
    size = (planes.shape[1], planes.shape[2])
    write_truth(out, _as_truth(spots, xyz), pixel_um=pixel_um, frames=1, shape=size, overwrite=overwrite)
    title = f"{excerpt.name}: {len(spots)} spots in {len(planes)} planes"
    save_figure(axial_scan(scan, spots, title=title), picture)
    return ScanReport(spots, scan, [*told, *_warnings(spots, scan)])


def _about_pixels(light: Light) -> list[str]:
    """What is wrong with pixels of single planes."""
    told, planes = [], len(light.photons)
    if full := int(light.full.sum()):
        told.append(
            f"{full} of {planes} planes have saturated pixels: depths of the brightest spots are uncertain"
        )
    if outliers := int(light.outliers.sum()):
        told.append(
            f"{outliers} pixels in {int((light.outliers > 0).sum())} of {planes} planes stand out as no light "
            "through this objective can (cosmic rays); replaced by what is around them"
        )
    return told


def _scan(planes: Tensor, experiment: Experiment, focal_planes: FocalPlanes) -> AxialScan:
    microscope = experiment.microscope
    mask = ZeroMask().build(microscope)
    low, high = experiment.z_um
    return AxialScan(
        planes=planes,
        focus=focal_planes.focus(len(planes), microscope.focus),
        psf=build_psf(experiment.psf, microscope, mask, patch_px=_PATCH_PX),
        z_um=(max(low - _BEYOND_UM, 0.0), high + _BEYOND_UM),
    )


def _as_truth(spots: list[ScannedSpot], xyz: np.ndarray) -> Emitters:
    number = len(spots)
    return Emitters(
        xyz=torch.from_numpy(xyz).float(),
        frame=torch.zeros(number, dtype=torch.int64),
        photons=torch.tensor([spot.photons for spot in spots], dtype=torch.float32),
        id=torch.arange(number),
    )


def _warnings(spots: list[ScannedSpot], scan: AxialScan) -> list[str]:
    if not spots:
        return [
            "no spot was found; are the camera's baseline and gain right, and does the range of depths fit?"
        ]
    found = []
    doubtful = sum(spot.quality < _DOUBTFUL for spot in spots)
    if doubtful:
        found.append(
            f"{doubtful} of {len(spots)} spots have a quality below {_DOUBTFUL:g}: two in one place, or a PSF "
            "that is not the experiment's"
        )
    low, high = scan.z_um
    ends = sum(not low + 0.05 < spot.xyz[2] < high - 0.05 for spot in spots)
    if ends:
        found.append(f"{ends} spots lie at the end of the depths that were looked at ({low:g} to {high:g} µm)")
    return found
