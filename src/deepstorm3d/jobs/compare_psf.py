"""Compare masks: the same training for each, the same emitters to find (Nehme et al. 2020, Fig. 4)."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from .. import plot
from ..analysis.matching import match
from ..analysis.metrics import score
from ..chip import middle_of
from ..emitters import Emitters, Localizations
from ..errors import InputError
from ..experiment.configure import with_mask
from ..experiment.experiment import Experiment
from ..experiment.optics import experiment_mask
from ..extent import frame_extent
from ..field import Field
from ..io.masks import mask_sha256, read_mask, write_mask
from ..io.parts import make_folder, whole_file
from ..localizer.modelfile import load_model_file
from ..localizing.pipeline import Pipeline, experiment_of, load_pipeline
from ..optics.computed import build_psf, computed_psf
from ..optics.exact import ExactPSF
from ..optics.masks import FileMask, PixelMask
from ..plot.panels import save_figure
from ..simulation.priors import DensityCount
from ..simulation.simulator import Simulator
from ..streams import stream
from ..training.runs import Run
from ..watch import SILENT, Named, Watcher
from .start_of_training import Start
from .train import train_model

__all__ = ["Contender", "MaskTest", "Row", "compare_masks", "contenders_of"]

# Emitters nearer to the edge than this are neighbours only, px.
_BORDER_PX = 10.0
# Emitters judged at each density, about.
_JUDGED = 1000
# Most frames simulated and localized at a time: at low densities these emitters lie in very many.
_AT_ONCE = 1000
_LARGEST_PATCH_PX = 151


@dataclass(frozen=True)
class Contender:
    """A mask with its name: phase (h, w) rad."""

    name: str
    phase: Tensor


@dataclass(frozen=True)
class MaskTest:
    """Test that every mask takes.

    densities: of the emitters to find, per µm²;  seeds: number of trainings for each mask;  refine: judge the
    list after the joint fit, not the network's own.
    Raises InputError for no density, or one that is not above 0.
    """

    densities: tuple[float, ...] = (0.2, 0.4, 0.8, 1.2)
    seeds: int = 1
    refine: bool = False

    def __post_init__(self) -> None:
        if not self.densities or not all(0 < density < math.inf for density in self.densities):
            raise InputError(f"densities are numbers above 0 (emitters per µm²), got {list(self.densities)}")


@dataclass(frozen=True)
class Row:
    """How one mask did with one training at one density (emitters/µm²); errors in nm, None without a hit."""

    mask: str
    seed: int
    density: float
    emitters: int
    jaccard: float
    recall: float
    precision: float
    rmse_lateral_nm: float | None
    rmse_axial_nm: float | None


def contenders_of(experiment: Experiment, masks: Sequence[str]) -> list[Contender]:
    """Masks by kind ("tetrapod") or file, named by it.

    Raises InputError where one is neither, does not fit the microscope, or two have one name.
    """
    found = []
    for text in masks:
        mask = experiment_mask(with_mask(experiment, text))
        try:
            build_psf(experiment.psf, experiment.microscope, mask)
        except InputError as error:
            raise InputError(f"{text}: {error.what}", error.remedy) from error
        found.append(Contender(Path(text).stem if Path(text).suffix else text, mask().detach().float()))
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"two masks are called '{name}', and results go by name", "rename one of the files"
            )
    return found


def compare_masks(
    experiment: Experiment,
    contenders: Sequence[Contender],
    out: Path,
    test: MaskTest | None = None,
    *,
    device: str = "cpu",
    watch: Watcher = SILENT,
) -> list[Row] | None:
    """Train the experiment's network for each mask and seed, and let all find the same emitters.

    Writes models, ``comparison.csv`` and ``comparison.png`` into the folder `out`. What is trained already
    is kept, and an unfinished training goes on: the same call continues. None where it was stopped.
    test: that every mask takes; None: the one without arguments.
    Raises InputError for an experiment with several channels, and where a model in the folder belongs to
    another experiment or mask.
    """
    test = MaskTest() if test is None else test
    experiment.refuse_channels("masks are compared in one channel")
    _refuse_nothing_to_judge(experiment)
    make_folder(out)
    rows: list[Row] = []
    for seed in range(test.seeds):
        for contender in contenders:
            label = f"{contender.name}, seed {seed}"
            path = out / f"{contender.name}.{seed}.pt"
            here = _experiment_for(experiment, contender, seed, out)
            if not path.exists():
                watch.message(f"training {label}")
                run = Run(path)
                validation = train_model(
                    here,
                    path,
                    device=device,
                    start=Start(resume=run.checkpoint.exists()),
                    watch=Named(watch, label),
                )
                if validation is None:
                    return None
            pipeline = _pipeline(path, here, contender, test.refine, device)
            rows += [_judge(pipeline, contender, seed, density) for density in test.densities]
            _write(rows, out / "comparison.csv")
    psfs = {each.name: _exact(experiment, each.phase) for each in contenders}
    figure = plot.mask_comparison([asdict(row) for row in rows], psfs, experiment.z_um)
    save_figure(figure, out / "comparison.png")
    return rows


def _refuse_nothing_to_judge(experiment: Experiment) -> None:
    """Raise InputError before hours of training for frames that leave nothing to judge."""
    height, width = experiment.frame_px
    if min(height, width) <= 2 * _BORDER_PX:
        raise InputError(f"frames of {width} × {height} px have no middle to judge", "make frame_px larger")


def _experiment_for(experiment: Experiment, contender: Contender, seed: int, out: Path) -> Experiment:
    """The same set-up with the contender's mask, kept as a file beside the models."""
    path = out / f"{contender.name}.npy"
    if not path.exists():
        write_mask(path, contender.phase.numpy())
    digest = mask_sha256(contender.phase.numpy())
    if mask_sha256(read_mask(path)) != digest:
        raise InputError(
            f"{path} holds another mask of that name", "choose another folder (`out`), or delete it"
        )
    mask = FileMask(path=str(path), sha256=digest)
    return experiment.with_(name=f"{experiment.name}-{contender.name}", mask=mask, seed=experiment.seed + seed)


def _pipeline(path: Path, experiment: Experiment, contender: Contender, refine: bool, device: str) -> Pipeline:
    """The trained model at work; refuses one of another experiment."""
    model = load_model_file(path)
    digest = mask_sha256(contender.phase.numpy())
    expected = experiment.with_(mask=FileMask(path="", sha256=digest)).to_mapping()
    # Read as an experiment: files of older versions lack keys that are at their defaults now.
    trained = experiment_of(model).to_mapping()
    different = {key for key in expected if expected[key] != trained.get(key)}
    if different:
        raise InputError(
            f"{path} was trained with other settings ({', '.join(sorted(different))})",
            "choose another folder (`out`), or delete the file",
        )
    return load_pipeline(model, refine=refine, device=device)


def _exact(experiment: Experiment, phase: Tensor) -> ExactPSF:
    """On the largest patch that the mask's sampling allows: light that the training left out counts here."""
    period = experiment.microscope.image_period_px * computed_psf(experiment.psf).pupil_oversampling
    largest = min(_LARGEST_PATCH_PX, int(period / 2))
    return build_psf(
        experiment.psf, experiment.microscope, PixelMask(phase), patch_px=largest - 1 + largest % 2
    )


@torch.no_grad()
def _judge(pipeline: Pipeline, contender: Contender, seed: int, density: float) -> Row:
    """The same emitters, background and random numbers for every mask and seed."""
    experiment = pipeline.experiment
    height, width = experiment.frame_px
    field = Field(height, width, experiment.microscope.pixel_um)
    scene = experiment.scene()
    inner = (height - 2 * _BORDER_PX) * (width - 2 * _BORDER_PX) * field.pixel_um**2
    frames = max(4, round(_JUDGED / (density * inner)))
    prior = scene.emitters.with_(
        count=DensityCount(low=density, high=density), margin_px=(-_BORDER_PX, -_BORDER_PX)
    )
    # Maps may be of more pixels than these frames, which stand for no certain place: the middle of them serves.
    maps = middle_of(experiment.camera.load_maps(), *field.size)
    simulator = Simulator(_exact(experiment, contender.phase), experiment.camera, field, maps=maps)
    pipeline = replace(pipeline, maps={name: values.to(pipeline.device) for name, values in maps.items()})
    true, lists = [], []
    for begin in range(0, frames, _AT_ONCE):
        here = min(_AT_ONCE, frames - begin)
        # One for each: how many random numbers the noise takes depends on the mask.
        generator = stream(round(1000 * density), "mask comparison", step=begin)
        drawn, background = scene.with_(emitters=prior).draw(here, field, generator)
        photons = simulator.to_photons(simulator(drawn, background, generator)).to(pipeline.device)
        true.append(drawn.shift(frames=begin))
        lists.append(pipeline.localize(photons).to("cpu").shift(frames=begin))
    truth, found = Emitters.concat(true), Localizations.concat(lists)
    figures = score(
        truth,
        found,
        match(
            truth,
            found,
            min_photons=scene.emitters.min_photons,
            field_um=frame_extent((height, width), field.pixel_um),
            border_um=_BORDER_PX * field.pixel_um,
        ),
    )
    return Row(
        mask=contender.name,
        seed=seed,
        density=density,
        emitters=figures.tp + figures.fn,
        jaccard=figures.jaccard,
        recall=figures.recall,
        precision=figures.precision,
        rmse_lateral_nm=figures.rmse_lateral_nm,
        rmse_axial_nm=figures.rmse_axial_nm,
    )


def _write(rows: Sequence[Row], path: Path) -> None:
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
