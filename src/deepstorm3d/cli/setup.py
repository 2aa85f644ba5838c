"""Commands to begin with: the demonstration, experiment files, the built-in models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .camera_names import CameraName, tell_camera
from .console import result, say, say_warning, show_table, table
from .failures import GuardedGroup
from .options import Assignments, Overwrite
from .progress import ScreenWatcher

if TYPE_CHECKING:
    from ..localizing.catalogue import ModelCard

__all__ = ["config", "demo", "models"]


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")] = Path(
        "demo-out"
    ),
    frames: Annotated[
        int, typer.Option("--frames", metavar="N", min=1, help="Frames to simulate and localize.")
    ] = 600,
) -> None:
    """Run the built-in example from start to finish: simulate, localize, evaluate, draw."""
    from ..jobs.demo import run_demo

    with ScreenWatcher("frames") as watch:
        finished = run_demo(out, frames=frames, watch=watch)
    result(f"{out}: {finished.recall:.1%} of the molecules found, Jaccard {finished.jaccard:.3f}")


def config(
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Set-up to start from: quickstart, astigmatic, storm, telomeres, density-study, psf-learning, "
            "mask-design, biplane, pair or tetrapod.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Experiment file to write (.yaml).")],
    mask: Annotated[
        Path | None,
        typer.Option(
            "--mask", metavar="FILE", help="Your phase mask: radians on its own pixels (.npy, .mat, .tif)."
        ),
    ] = None,
    camera: CameraName = None,
    with_pitch: Annotated[
        bool,
        typer.Option(
            "--with-pitch",
            help="Also take the pixel pitch of --camera (microscope.camera_pitch): then check the "
            "magnification.",
        ),
    ] = False,
    assignments: Assignments = None,
    overwrite: Overwrite = False,
) -> None:
    """Write an experiment file: the whole set-up in one YAML file, every number with its unit and meaning."""
    from ..experiment.camera_sheets import camera_sheet
    from ..experiment.configure import configure_experiment

    if camera is None and with_pitch:
        raise InputError("--with-pitch takes the pitch of a camera: give --camera too")
    sheet = None if camera is None else camera_sheet(camera)
    experiment = configure_experiment(
        preset,
        out,
        mask=mask,
        camera=sheet,
        with_pitch=with_pitch,
        assignments=assignments or (),
        overwrite=overwrite,
    )
    if sheet is not None:
        tell_camera(sheet, experiment)
    shallow, deep = experiment.z_um
    result(
        f"{out}: {experiment.describe_optics()}, "
        f"pixel {1000 * experiment.microscope.pixel_um:g} nm, depth {shallow:g} to {deep:g} µm"
    )
    say(f"check the numbers in it, then: deepstorm3d train {out} --out model.pt")


models = typer.Typer(
    cls=GuardedGroup,
    help="List the built-in models: what each is for, and how well it localizes.",
    invoke_without_command=True,
)


@models.callback()
def _list(context: typer.Context) -> None:
    """List the built-in models: what each is for, and how well it localizes."""
    if context.invoked_subcommand is not None:
        return
    from ..localizing.catalogue import list_models

    cards = list_models()
    if not cards:
        say_warning("this installation has no built-in model; train one: deepstorm3d config, then train")
        _list_known()
        return
    shown = table("model", "PSF", "depth (µm)", "pixel (nm)", "emitters", "photons", "Jaccard")
    for card in cards:
        scenes = card.scenes
        shown.add_row(
            card.name,
            card.psf,
            f"{card.z_um[0]:g} to {card.z_um[1]:g}",
            f"{card.pixel_nm:g}",
            "; ".join(dict.fromkeys(scene.emitters for scene in scenes)),
            "; ".join(dict.fromkeys(scene.photons for scene in scenes)),
            _number(card.figures.get("jaccard"), 3),
        )
    show_table(shown)
    for card in cards:
        result(f"{card.name}: SHA-256 {card.sha256}")
    _list_known()
    say("a model fits only the microscope it was trained for; more: deepstorm3d models show NAME")


def _list_known() -> None:
    """The models that are not in the package, and how their files are recognized."""
    from ..localizing.known_models import known_models

    shown = table("not in the package", "for", "depth (µm)", "pixel (nm)", "MB", "Jaccard")
    for each in known_models():
        shown.add_row(
            each.name,
            each.use,
            f"{each.z_um[0]:g} to {each.z_um[1]:g}",
            f"{each.pixel_nm:g}",
            f"{each.size / 1e6:.1f}",
            _number(each.jaccard, 3),
        )
    show_table(shown)
    for each in known_models():
        result(f"{each.name}: {each.file} of the source repository, SHA-256 {each.sha256}")


@models.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A built-in model, or a model file.")],
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            metavar="DIR",
            help="Write experiment.yaml, mask.npy (rad) and card.json to this folder.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Show everything about one model: PSF, depth, density, photons, measured accuracy."""
    from ..localizing.catalogue import describe_model, export_model, find_model

    _print_card(describe_model(find_model(name), name))
    if export is not None:
        for path in export_model(name, export, overwrite=overwrite):
            say(f"wrote {path}")


def _print_card(card: ModelCard) -> None:
    from ..localizing.known_models import known_by_hash

    facts = table("model", card.name)
    facts.add_row("PSF", f"{card.psf}, wavelength {card.wavelength_um:g} µm")
    facts.add_row("camera pixel in the sample", f"{card.pixel_nm:g} nm")
    facts.add_row("depth", f"{card.z_um[0]:g} to {card.z_um[1]:g} µm")
    for scene in card.scenes:
        facts.add_row(f"emitters ({scene.name})", scene.emitters)
        facts.add_row(f"photons ({scene.name})", scene.photons)
        facts.add_row(
            f"background ({scene.name})",
            f"{scene.background}" if scene.background == "none" else f"{scene.background} (photons)",
        )
    facts.add_row("network", f"{card.network}, threshold {card.threshold:g}")
    facts.add_row("SHA-256", card.sha256)
    if (known := known_by_hash(card.sha256)) is not None:
        facts.add_row("known as", known.name)
    if (start := card.facts.get("started_from")) is not None:
        facts.add_row("started from", f"{start['model']} (SHA-256 {start['sha256'][:12]}…)")
    for key in ("date", "hardware", "version", "torch"):
        if key in card.facts:
            facts.add_row(key, str(card.facts[key]))
    show_table(facts)
    if card.figures:
        measured = table("on its own validation frames", "")
        for key, label, digits in _FIGURES:
            measured.add_row(label, _number(card.figures.get(key), digits))
        show_table(measured)
    _print_measured(card)


def _print_measured(card: ModelCard) -> None:
    """Tables that a card brings beside the validation: a list of rows with one set of keys each."""
    for key, rows in card.facts.items():
        if not (isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)):
            continue
        shown = table(*rows[0], title=str(key))
        for row in rows:
            shown.add_row(*(_number(row.get(name), 3) for name in rows[0]))
        show_table(shown)


_FIGURES = (
    ("jaccard", "Jaccard index", 3),
    ("precision", "precision", 3),
    ("recall", "recall", 3),
    ("rmse_lateral_nm", "lateral RMSE (nm)", 1),
    ("rmse_axial_nm", "axial RMSE (nm)", 1),
)


def _number(value: object, digits: int) -> str:
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return "–" if value is None else str(value)
