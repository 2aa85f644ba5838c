"""Commands that make frames and networks: simulate, train."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .console import result, say, say_warning
from .failures import INTERRUPTED
from .options import Assignments, Device, FromModel, Overwrite, SceneName, chosen_device, nanometres
from .progress import ScreenWatcher, duration

if TYPE_CHECKING:
    from ..experiment.experiment import Experiment
    from ..training.loop import Progress
    from ..training.runs import Run
    from ..training.validation import Validation

__all__ = ["Config", "TrainingView", "begin_run", "simulate", "train"]

Config = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG", help="Experiment file ('deepstorm3d config' writes one), or a preset's name."
    ),
]


def simulate(
    config: Config,
    frames: Annotated[int, typer.Option("--frames", metavar="N", min=1, help="Length of the movie.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Movie to write: 16-bit TIFF, camera counts.")
    ],
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth", metavar="FILE", help="List of the true emitters: ThunderSTORM CSV (nm, frames from 1)."
        ),
    ] = None,
    emitters: Annotated[
        int | None,
        typer.Option(
            "--emitters", metavar="N", min=0, help="Emitters inside every frame. (default: as the scene says)"
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="S", min=0, help="Seed of all random numbers. (default: the experiment's)"
        ),
    ] = None,
    scene: SceneName = None,
    structure: Annotated[
        Literal["filaments", "mitochondria", "ellipsoid", "nucleus"] | None,
        typer.Option(
            "--structure", help="Put the molecules on a structure and let them blink. (default: anywhere)"
        ),
    ] = None,
    drift_nm: Annotated[
        str | None,
        typer.Option(
            "--drift-nm",
            metavar="X,Y,Z",
            help="Let the structure drift by this distance during the movie, nm; its path is written "
            "next to the truth.",
        ),
    ] = None,
    split: Annotated[
        Literal["left-right", "top-bottom"] | None,
        typer.Option(
            "--split",
            help="Write two channels as halves of one camera. (default: a movie for each, FILE.NAME.tif)",
        ),
    ] = None,
    assignments: Assignments = None,
    overwrite: Overwrite = False,
) -> None:
    """Simulate a movie as the camera of an experiment would record it, and the list of its molecules.

    An experiment with several channels gives a movie of each, of the same molecules.
    """
    from ..experiment.configure import find_experiment
    from ..jobs.simulate import MovieSimulation, simulate_movie
    from ..simulation.specimen import Specimen

    experiment = find_experiment(config, assignments or ())
    with ScreenWatcher("frames") as watch:
        summary = simulate_movie(
            MovieSimulation(
                experiment,
                frames=frames,
                specimen=Specimen(emitters, structure, nanometres(drift_nm)),
                scene=scene,
                seed=seed,
            ),
            out,
            truth=truth,
            split=split,
            overwrite=overwrite,
            watch=watch,
        )
    dim = summary.emitters - summary.labelled
    result(
        f"{', '.join(map(str, summary.movies))}: {frames} frames, {summary.emitters} emitters"
        + (f", {dim} of them below min_photons" if dim else "")
    )
    say(
        f"image patch {summary.patch_px} px: "
        f"at least {100 * summary.encircled_energy:.1f} % of a molecule's light"
    )
    if summary.lost_light:
        say_warning(f"light beyond the patch is missing: {summary.lost_light}")
    if summary.saturated_frames:
        say_warning(
            f"{summary.saturated_frames} of {frames} frames have pixels at the camera's saturation of "
            f"{experiment.camera.saturation:g} counts: lower photons, background or gain, or correct "
            "camera.saturation"
        )
    if summary.clipped:
        say_warning(f"{summary.clipped} pixels were beyond 16 bits and were clipped")


def train(
    config: Config,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Model file to write (.pt); checkpoint and log are written next to it.",
        ),
    ],
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
    from_model: FromModel = None,
    assignments: Assignments = None,
    device: Device = None,
    store_mask: Annotated[
        bool,
        typer.Option(
            "--store-mask/--no-store-mask", help="Keep your mask in the model file, or only its SHA-256."
        ),
    ] = True,
    cost: Annotated[
        bool, typer.Option("--cost", help="Only say how long it would take, measured over a few steps.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train the experiment's network on simulated frames. After Ctrl-C, --resume continues.

    If the camera has maps, each training frame lies on another part of them (of camera.region, if given).
    """
    from ..experiment.configure import find_experiment
    from ..jobs.start_of_training import Start
    from ..jobs.train import train_model
    from ..training.runs import Run

    experiment = find_experiment(config, assignments or ())
    place = chosen_device(device)
    if cost:
        _say_cost(experiment, place)
        return
    run = Run(out)
    run.claim(resume=resume, overwrite=overwrite)
    begin_run(run, resume=resume, overwrite=overwrite)
    with TrainingView() as view:
        validation = train_model(
            experiment,
            out,
            device=place,
            start=Start(resume, from_model),
            store_mask=store_mask,
            watch=view,
            after_step=view.after_step,
        )
    if validation is not None:
        result(f"{out}: {jaccard_of(validation)} on validation frames, threshold {validation.threshold:g}")
        hint_at_failure(validation)
    elif view.stopped:
        say(f"stopped; go on with: deepstorm3d train {config} --out {out} --resume (and the same --set)")
        raise typer.Exit(INTERRUPTED)


def _say_cost(experiment: Experiment, device: str) -> None:
    from ..jobs.training_cost import training_cost

    with ScreenWatcher("steps") as watch:
        measured = training_cost(experiment, device=device, watch=watch)
    spec = experiment.training
    whole = measured.seconds(spec.steps, spec.validate_every)
    result(
        f"about {duration(whole)} on {device}: {spec.steps} steps of {measured.step_s:.3g} s, "
        f"a validation of {measured.validation_s:.3g} s every {spec.validate_every} steps, "
        f"{measured.prepare_s:.3g} s to prepare; pictures not counted"
    )


def begin_run(run: Run, *, resume: bool, overwrite: bool) -> None:
    """Say where a run begins that is to go on; --overwrite forgets an unfinished one."""
    if resume and not run.checkpoint.exists():
        say(f"there is no checkpoint {run.checkpoint} to go on from: starting at step 0")
    if overwrite and not resume:
        run.checkpoint.unlink(missing_ok=True)


def jaccard_of(validation: Validation) -> str:
    """The Jaccard index in words."""
    return f"Jaccard {'–' if validation.jaccard is None else f'{validation.jaccard:.3f}'}"


def hint_at_failure(validation: Validation) -> None:
    """Advice where a network found nothing, or was not validated."""
    score = validation.score
    if validation.jaccard is None:
        say_warning(
            "the validation frames hold no emitter, so there is no figure: raise training.validation_crops"
        )
    elif not score.tp:
        say_warning(
            f"the network found none of {score.fn} molecules: train longer (training.steps), look at the "
            "preview whether they can be seen at all, and compare their photons with the background"
        )


_COLUMNS = ("step", "loss", "validation", "Jaccard", "lateral nm", "axial nm", "crops/s", "elapsed")
_WIDTHS = (9, 10, 10, 8, 10, 9, 8, 12)


class TrainingView(ScreenWatcher):
    """Watches a training: a bar for the steps and a line for every validation."""

    def __init__(self) -> None:
        super().__init__("steps", stoppable=True)
        self._rate = 0.0
        self._began = time.monotonic()
        self._headed = False

    def after_step(self, progress: Progress) -> None:
        """What `train_model` calls after each step."""
        self._rate = (
            0.9 * self._rate + 0.1 * progress.crops_per_second if self._rate else progress.crops_per_second
        )
        if progress.validation is not None:
            self._report(progress)

    def _report(self, progress: Progress) -> None:
        assert progress.validation is not None
        score = progress.validation.score
        lateral, axial = (
            "–" if x is None else f"{x:.1f}" for x in (score.rmse_lateral_nm, score.rmse_axial_nm)
        )
        cells = (
            f"{progress.step}",
            f"{progress.smooth_loss:.4g}",
            f"{progress.validation.loss:.4g}",
            "–" if progress.validation.jaccard is None else f"{progress.validation.jaccard:.3f}",
            lateral,
            axial,
            f"{self._rate:.1f}",
            duration(time.monotonic() - self._began),
        )
        if not self._headed:
            self._headed = True
            self.line(_row(_COLUMNS))
        self.line(_row(cells))


def _row(cells: tuple[str, ...]) -> str:
    return " ".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
