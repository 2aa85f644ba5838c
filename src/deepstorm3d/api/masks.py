"""Masks and PSFs in memory: their images, what they allow, and their design."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..devices import chosen_device
from ..errors import InputError, Interrupted
from ..experiment.configure import phase_of
from ..experiment.experiment import Experiment
from ..experiment.light_patch import patch_for_light
from ..experiment.limits import LimitReport
from ..experiment.optics import experiment_mask, psf_source
from ..front_door import public
from ..io.masks import checked_phase, read_mask
from ..jobs import design_psf as end_to_end
from ..jobs import fisher_design
from ..jobs.limit import Sweep
from ..jobs.limit import limit as limits_of
from ..jobs.start_of_training import Start
from ..optics.fisher import crlb as bound_of
from ..optics.masks import FileMask
from ..optics.psf import on_axis
from ..training.runs import DesignRun
from ..watch import SILENT, Watcher
from .movies import AnExperiment, as_experiment
from .running import claim_run

__all__ = ["crlb", "design_mask", "limit", "mask", "psf"]

AMask = NDArray[Any] | Tensor | str | PathLike[str]
"""Phase (h, w) in radians, the file that holds it, or the name of a kind of mask ("tetrapod")."""
# No objective reaches so deep.
_FAR_UM = 300.0
# By so much a depth in float32 may lie beyond the planes of a measured PSF.
_ROUNDING_UM = 1e-4


@public
def mask(experiment: AnExperiment) -> NDArray[np.float64]:
    """The phase of the experiment's mask.

    Parameters
    ----------
    experiment : Experiment, name of a preset, or path

    Returns
    -------
    (h, w) array
        Phase on the mask's own pixels, rad.

    Raises
    ------
    InputError
        For an experiment without a mask (a measured PSF), or whose mask file is not at hand.

    Examples
    --------
    >>> import deepstorm3d as ds
    >>> ds.mask("mask-design").ndim
    2
    """
    return experiment_mask(as_experiment(experiment))().detach().cpu().double().numpy()


@public
def psf(
    experiment: AnExperiment, z_um: Sequence[float] | NDArray[Any], *, mask: AMask | None = None
) -> NDArray[np.float32]:
    """Images of one molecule on the optical axis at several depths, computed exactly.

    Parameters
    ----------
    experiment : Experiment, name of a preset, or path
    z_um : sequence
        Depths in the sample, µm from the coverslip.
    mask : array, path or name of a kind
        Another phase than the experiment's, rad (no complex field: its ``numpy.angle``), or "tetrapod".

    Returns
    -------
    (len(z_um), patch, patch) array
        Each sums to the share of the molecule's photons that falls on the patch (``psf.patch_px``).

    Raises
    ------
    InputError
        Where the mask is no phase (`read_mask`) or does not fit the microscope, or a measured PSF does not
        reach a depth.

    Examples
    --------
    >>> import deepstorm3d as ds
    >>> planes = ds.psf("quickstart", [0.5, 1.0, 1.5])
    >>> planes.shape, bool((planes.sum((1, 2)) <= 1).all())
    ((3, 31, 31), True)
    """
    setup = as_experiment(experiment)
    depths = _numbers(z_um, "z_um")
    if depths.ndim != 1:
        raise InputError(f"the depths z_um are a list (N,), got shape {tuple(depths.shape)}")
    source = _source(setup, mask)
    _refuse_depths(setup, source, depths)
    with torch.no_grad():
        images = setup.psf.images(setup.microscope, source, patch_px=setup.psf.patch_px)
        blur_px = torch.full_like(depths, setup.psf.blur_px)
        return images(on_axis(depths), blur_px).values.float().cpu().numpy()


@public
def crlb(
    experiment: AnExperiment,
    xyz: NDArray[Any] | Tensor | Sequence[Sequence[float]],
    *,
    photons: float | NDArray[Any] | Tensor,
    background: float | NDArray[Any] | Tensor,
    mask: AMask | None = None,
) -> NDArray[np.float64]:
    """Smallest standard deviation that any unbiased estimator can reach, for each molecule alone.

    The noise is the camera's (of its maps the mean); light beyond the widest patch that the mask permits is
    not counted. `limit` takes neighbours into account, and a patch with 98 % of the light or that widest one.

    Parameters
    ----------
    experiment : Experiment, name of a preset, or path
    xyz : (N, 3) array
        Positions, µm.
    photons, background : number or (N,) array
        Photons of each molecule, and photons per pixel under it, above 0.
    mask : array, path or name of a kind
        Another phase than the experiment's, rad, or "tetrapod".

    Returns
    -------
    (N, 5) array
        σ of x, y, z (µm), photons and background per pixel.

    Raises
    ------
    InputError
        For positions that are not (N, 3), light that is not above 0, and depths that a measured PSF does not
        reach.

    References
    ----------
    Ober, Ram & Ward, Biophysical Journal 86:1185 (2004); Shechtman et al., Physical Review Letters 113:133902
    (2014).

    Examples
    --------
    >>> import deepstorm3d as ds
    >>> dim, bright = ds.crlb("quickstart", [[3, 3, 1.0]] * 2, photons=[1000, 4000], background=10)[:, 2]
    >>> bool(bright < dim / 2)
    True
    """
    setup = as_experiment(experiment)
    where = _numbers(xyz, "xyz")
    if where.shape[-1] != 3 or where.ndim > 2:
        if where.numel():
            raise InputError(f"the positions xyz are (N, 3): x, y, z in µm, got shape {tuple(where.shape)}")
        where = where.new_zeros(0, 3)
    where = where.reshape(-1, 3)
    light, level = _above_0(photons, "photons", len(where)), _above_0(background, "background", len(where))
    source, (low, high) = _source(setup, mask), setup.z_um
    _refuse_depths(setup, source, where[:, 2])
    if len(where):
        # The table ends with its range: a depth beyond it would get the image at the end.
        low, high = min(low, float(where[:, 2].min())), max(high, float(where[:, 2].max()))
    blur, noise = (setup.psf.blur_px, setup.psf.blur_px), setup.camera.pixel_noise()
    excess, read = noise.excess, noise.mean_read_variance
    with torch.no_grad():
        spec = setup.psf.with_(patch_px=patch_for_light(setup, source, light=1.0)[0])
        table = spec.tabulate(setup.microscope, source, (low, high), blur, finer=True)
        # The variance F·μ + v is that of N/F photons over b/F + v/F² (`Conditions.as_poisson`).
        bound = bound_of(table, where, light / excess, level / excess + read / excess**2).double()
        bound[:, 3:] *= excess
        return bound.numpy()


@public
def limit(
    experiment: AnExperiment,
    masks: Mapping[str, AMask | None] | None = None,
    *,
    scene: str | None = None,
    photons: float | None = None,
    background: float | None = None,
    sweep: Sweep | None = None,
    watch: Watcher = SILENT,
) -> LimitReport:
    """Cramér-Rao bounds of position against depth, photons, background and density, for one mask or several.

    Parameters
    ----------
    experiment : Experiment, name of a preset, or path
    masks : mapping
        Name and phase of each mask (array, path, or the name of a kind: "tetrapod"); None for the experiment's
        own, which is taken alone where nothing is given.
    scene : str
        Gives depth range, blur, border, median photons and mean background; the first where left out.
    photons, background : float
        In place of the scene's.
    sweep : Sweep
        Where the bound is computed: depths, photons, background and density.
    watch : Watcher

    Returns
    -------
    LimitReport
        ``ds.plot.limit(report)`` draws it; ``report.masks[0].depth.sigma_nm`` is (depths, 3).

    Raises
    ------
    InputError
        Where a mask is no phase (`read_mask`) or does not fit the microscope, naming it.
    """
    setup = as_experiment(experiment)
    given = None if masks is None else _named_phases(setup, masks)
    return limits_of(
        setup,
        given,
        scene=scene,
        photons=photons,
        background=background,
        sweep=sweep,
        watch=watch,
    )


@public
def design_mask(
    experiment: AnExperiment,
    out: str | PathLike[str] | None = None,
    *,
    by: Literal["network", "fisher"] = "network",
    from_model: str | PathLike[str] | None = None,
    resume: bool = False,
    device: str | None = None,
    watch: Watcher = SILENT,
) -> NDArray[np.float64]:
    """Design a phase mask: together with the network that reads it, or by Fisher information.

    Parameters
    ----------
    experiment : Experiment, name of a preset, or path
        Its mask is the start, ``experiment.design`` says what may change and how fast, ``experiment.training``
        how long the network learns.
    out : path
        Mask file to write (.npy); checkpoint, network and pictures lie beside it, so that a run that was
        stopped can go on. Without it the mask is only in memory. Masks of further channels, which learn at the
        same time except those of ``experiment.design.hold``, lie beside it (mask.NAME.npy), so such an
        experiment needs it.
    by : "network" or "fisher"
        What the mask is to serve: the trained network's completeness, or the bound of one molecule or a crowd
        (``experiment.design.fisher_density``).
    from_model : name of a built-in model, or path
        The network begins with its weights, where they fit; by "network" only. None: random weights.
    resume : bool
        Go on with a run that was stopped.
    device : "cpu" or "cuda"
        None: a GPU where there is one.
    watch : Watcher

    Returns
    -------
    (h, w) array
        Phase, rad, of the first channel.

    Raises
    ------
    InputError
        Where `out` or a model of that name (.pt) is there already, or there is nothing to resume; for several
        channels without `out`; for `from_model` with another network, or by Fisher information.
    Interrupted
        Where the watcher stopped the run before its end.

    References
    ----------
    Nehme et al., Nature Methods 17:734 (2020); Shechtman et al., Physical Review Letters 113:133902 (2014).
    """
    setup = as_experiment(experiment)
    if setup.channels and out is None:
        raise InputError(
            f"the experiment '{setup.name}' has {len(setup.channel_names)} channels with a mask each",
            "say where to write them (`out`)",
        )
    if by == "fisher":
        fisher_design.refuse_model(from_model)
    place = chosen_device(device)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "mask.npy" if out is None else Path(out)
        run = DesignRun(path)
        claim_run(run, named=out is not None, resume=resume, network=by == "network")
        if by == "fisher":
            complete = fisher_design.design_by_fisher(
                setup, path, device=place, resume=resume, watch=watch
            ).complete
        else:
            start = Start(resume, None if from_model is None else str(from_model))
            complete = end_to_end.design_mask(setup, path, device=place, start=start, watch=watch) is not None
        if not complete:
            raise Interrupted
        return read_mask(path)


def _named_phases(experiment: Experiment, masks: Mapping[str, AMask | None]) -> list[tuple[str, Tensor | None]]:
    if not isinstance(masks, Mapping):
        raise InputError(
            f"the masks are a {type(masks).__name__}, but each needs a name",
            'give {"one": phase, "other": file}',
        )
    return [(name, _phase(experiment, phase, f"mask '{name}'")) for name, phase in masks.items()]


def _phase(experiment: Experiment, given: AMask | None, name: str = "the array") -> Tensor | None:
    """The phase (h, w) rad, float32, of an array, a file or a kind; raises InputError for all of them alike."""
    if given is None:
        return None
    if isinstance(given, str | PathLike):
        return phase_of(experiment, given)
    array = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    return torch.as_tensor(checked_phase(array, name)).float()


def _source(experiment: Experiment, phase: AMask | None) -> Any:
    """What the experiment's PSF is made from, through another mask where one is given."""
    if phase is None:
        return psf_source(experiment)
    return experiment_mask(experiment.with_(mask=FileMask()), phase=_phase(experiment, phase))


def _refuse_depths(setup: Experiment, source: Any, z: Tensor) -> None:
    """Raise InputError for depths (N,) that are nm taken for µm, or where there is no such PSF."""
    if not len(z):
        return
    shallow, deep = float(z.min()), float(z.max())
    far = max(-shallow, deep)
    if far > _FAR_UM:
        raise InputError(f"no objective reaches to a depth of {far:g} µm", "depths are in µm, not nm")
    low, high = setup.psf.depths_um(source)
    if shallow < low - _ROUNDING_UM or deep > high + _ROUNDING_UM:
        raise InputError(
            f"the {setup.psf.kind} PSF of '{setup.name}' is known from {low:g} to {high:g} µm, not from "
            f"{shallow:g} to {deep:g} µm"
        )


def _numbers(given: Any, name: str) -> Tensor:
    """What was given as float32; raises InputError for what is no array of finite numbers."""
    try:
        array = given.detach().cpu().numpy() if isinstance(given, Tensor) else given
        values = torch.as_tensor(np.array(array, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is no array of numbers: {error}") from error
    if not bool(values.isfinite().all()):
        raise InputError(f"{name} has numbers that are not finite")
    return values


def _above_0(value: float | NDArray[Any] | Tensor, name: str, rows: int) -> Tensor:
    """A number or one number a row, as (rows,); raises InputError where it is not above 0."""
    numbers = _numbers(value, name)
    if numbers.shape not in ((), (1,), (rows,)):
        raise InputError(f"{name}: one number, or one for each of {rows} molecules, got {tuple(numbers.shape)}")
    if numbers.numel() and float(numbers.min()) <= 0:
        raise InputError(f"{name} must be above 0, got {float(numbers.min()):g}")
    return numbers.expand(rows).clone()
