"""The commands that hand masks and PSFs on: export-mask, export-psf."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import InputError
from .channel_choice import ChannelName, one_channel
from .console import result, say, show_table, table
from .making import Config
from .options import Assignments, Overwrite

if TYPE_CHECKING:
    from ..io.masks.modulator import ModulatorSpec
    from ..jobs.export_mask import LevelCost

__all__ = ["export_mask", "export_psf"]


def export_mask(
    mask: Annotated[Path, typer.Argument(metavar="MASK", help="Phase mask in radians (.npy, .mat, .tif).")],
    config: Config,
    device: Annotated[
        Literal["slm", "plate"], typer.Option("--for", help="A spatial light modulator, or a fabricated plate.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="slm: 8-bit .png, .bmp or .tif. plate: heights in nm (.npy, .tif), .gds layout, .stl solid. "
            "The settings are written to FILE.json; with them every command can read FILE as a mask.",
        ),
    ],
    levels: Annotated[
        int | None,
        typer.Option(
            "--levels",
            metavar="N",
            min=2,
            help="Number of levels for a phase of 2π. (default: slm 256, plate any height)",
        ),
    ] = None,
    size: Annotated[
        str, typer.Option("--size", metavar="WxH", help="slm: number of its pixels.")
    ] = "1920x1080",
    pitch_um: Annotated[
        float | None,
        typer.Option(
            "--pitch-um",
            metavar="P",
            min=0.1,
            help="slm: its pixel pitch, µm. (default: the experiment's mask pitch)",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            metavar="FILE",
            help="slm: a line for each level measured: level and phase (rad), or phases alone from level 0 on.",
        ),
    ] = None,
    flip: Annotated[
        Literal["none", "x", "y", "xy"], typer.Option("--flip", help="slm: mirror columns (x) or rows (y).")
    ] = "none",
    centre: Annotated[
        str,
        typer.Option(
            "--centre",
            metavar="X,Y",
            help="slm: position of the optical axis from the middle of the display, pixels.",
        ),
    ] = "0,0",
    grating: Annotated[
        str,
        typer.Option(
            "--grating",
            metavar="PX,PY",
            help="slm: periods of a blazed grating along x and y, pixels; it moves the image away from the "
            "light that is not modulated (0: none).",
        ),
    ] = "0,0",
    n_plate: Annotated[
        float,
        typer.Option("--n-plate", metavar="N", min=1.0, help="plate: its refractive index at this wavelength."),
    ] = 1.4585,
    n_around: Annotated[
        float,
        typer.Option(
            "--n-around", metavar="N", min=1.0, help="plate: refractive index of the medium around it (1: air)."
        ),
    ] = 1.0,
    channel: ChannelName = None,
    assignments: Assignments = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a mask for a light modulator or as a plate, and report the precision that its levels cost."""
    from ..experiment.configure import find_experiment
    from ..io.masks.calibration import read_calibration
    from ..io.masks.modulator import ModulatorSpec
    from ..io.masks.plate import PlateSpec
    from ..jobs.export_mask import cost_of_levels
    from ..jobs.export_mask import export_mask as export
    from ..spec import spec_from_mapping

    experiment = one_channel(find_experiment(config, assignments or ()), channel)
    spec: ModulatorSpec | PlateSpec
    if device == "slm":
        columns, rows = _pair(size, "--size", "x")
        axis_x, axis_y = _pair(centre, "--centre")
        period_x, period_y = _pair(grating, "--grating")
        settings = {
            "size_px": (int(rows), int(columns)),
            "pitch_um": experiment.microscope.mask_pitch if pitch_um is None else pitch_um,
            "levels": 256 if levels is None else levels,
            "calibration": () if calibration is None else read_calibration(calibration),
            "flip": flip,
            "centre_px": (axis_y, axis_x),
            "grating_px": (period_y, period_x),
        }
        spec = spec_from_mapping(ModulatorSpec, settings, source="the modulator (--for slm)")
    else:
        settings = {"n_plate": n_plate, "n_around": n_around, "levels": levels or 0}
        spec = spec_from_mapping(PlateSpec, settings, source="the plate (--for plate)")
    exported = export(experiment, mask, out, spec, overwrite=overwrite)
    _show_costs([*cost_of_levels(experiment, mask), exported.after], out.name)
    result(f"{out}: its phase is {exported.error_rad:.3f} rad rms off the mask's; settings in {out.name}.json")
    if out.suffix.lower() not in (".gds", ".stl"):
        say("every command reads this file as a mask (--mask, --start) as long as the .json is next to it")


def export_psf(
    config: Config,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Spline calibration of Picasso (.hdf5), smappy (.h5) or SMAP (.mat), or a stack (.tif).",
        ),
    ],
    mask: Annotated[
        Path | None,
        typer.Option(
            "--mask",
            metavar="FILE",
            help="Phase mask in radians (.npy, .mat, .tif). (default: the experiment's)",
        ),
    ] = None,
    z: Annotated[
        str | None,
        typer.Option("--z", metavar="A,B", help="Depth range, µm. (default: the experiment's)"),
    ] = None,
    step_nm: Annotated[
        float, typer.Option("--step-nm", metavar="S", min=5, max=500, help="Distance from plane to plane, nm.")
    ] = 50.0,
    patch_px: Annotated[
        int | None,
        typer.Option(
            "--patch-px",
            metavar="N",
            min=11,
            help="Side of the planes, camera pixels, odd. (default: contains 90 % of the light, at most 51)",
        ),
    ] = None,
    channel: ChannelName = None,
    assignments: Assignments = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the PSF for the fitting programs of others: Picasso, smappy, SMAP and those that read its files."""
    from ..experiment.configure import find_experiment
    from ..jobs.export_psf import export_psf as export

    depth = None if z is None else _pair(z, "--z", order="the lower depth first, in µm")
    experiment = one_channel(find_experiment(config, assignments or ()), channel)
    volume = export(
        experiment, out, mask=mask, z_um=depth, step_nm=step_nm, patch_px=patch_px, overwrite=overwrite
    )
    planes, side, _ = volume.values.shape
    low, high = volume.range_um
    least, most = (100 * float(share) for share in volume.values.sum((1, 2)).aminmax())
    result(
        f"{out}: {planes} planes of {side} × {side} px from {low:g} to {high:g} µm, "
        f"{1000 * volume.step_um:.3g} nm apart; they hold {least:.0f} to {most:.0f} % of the light"
    )
    if not low <= 0 <= high and out.suffix.lower() not in (".tif", ".tiff"):
        say(f"z = 0 of the other program is the middle of the range, {(low + high) / 2:g} µm")


def _show_costs(costs: list[LevelCost], name: str) -> None:
    """Bounds against levels; the last line is the file's own."""
    shown = table("levels", "σ of x · y · z (nm), rms over depth", "of any phase")
    first = sum(costs[0].sigma_nm)
    for index, cost in enumerate(costs):
        label = name if index == len(costs) - 1 else f"{cost.levels}" if cost.levels else "any phase"
        sigmas = " · ".join(f"{value:.2f}" for value in cost.sigma_nm)
        shown.add_row(label, sigmas, f"{100 * (sum(cost.sigma_nm) / first - 1):+.1f} %")
    show_table(shown)


def _pair(text: str, option: str, mark: str = ",", *, order: str = "x first") -> tuple[float, float]:
    """Two numbers; order: which is first, in words."""
    try:
        first, second = (float(part) for part in text.lower().split(mark))
    except ValueError:
        raise InputError(f"{option} {text}: write two numbers as A{mark}B, {order}") from None
    return first, second
