"""Dyes of one channel in memory: a movie and a model in, molecules with the dye of each out."""

from __future__ import annotations

from collections.abc import Mapping

from ..analysis.dye_ratios import DyesByImage
from ..front_door import doubt, public
from ..io.movies import AnyMovie
from ..jobs.dyes_of_movie import MovieDyes
from ..jobs.dyes_of_movie import dyes_of_movie as told_apart
from ..localizing.excerpt import Excerpt, excerpt_of
from ..localizing.model import Model
from ..watch import SILENT, Watcher

__all__ = ["dyes_of_movie"]


@public
def dyes_of_movie(
    movie: AnyMovie | Excerpt,
    model: Model,
    wavelengths: Mapping[str, float] | None = None,
    *,
    sure: float = 0.0,
    camera: Mapping[str, object] | None = None,
    watch: Watcher = SILENT,
) -> DyesByImage:
    """Localize a movie of molecules of several dyes, and tell these apart by the PSF of each in one channel.

    A mask of one height gives each wavelength another phase, and so another PSF: φ(λ) = φ(λ₀) · λ₀/λ. All
    molecules of a frame are fitted together, each with the PSF of its dye; a molecule is of the dye whose PSF
    explains the frame best, with its neighbours fitted again, and of none where none explains it.

    Parameters
    ----------
    movie : array (frames, height, width), tensor, movie, path or Excerpt
        Counts of the camera, as recorded.
    model : Model
        Its network gives candidates, its mask and camera the images; it may know one wavelength only.
    wavelengths : mapping
        Emission wavelength of each dye by its name, µm; None: the dyes of ``model.experiment.dyes``, which may
        also have a focus of their own and the index of the mask's material; a dye given here by the name of
        one of them keeps both.
    sure : float
        Molecules whose dye is less probable than this get none; 0: each gets the likeliest.
    camera : mapping
        Values of the camera that differ from the experiment's: ``{"baseline": 100, "gain": 2.2}``.
    watch : Watcher

    Returns
    -------
    DyesByImage
        ``.localizations`` with columns `dye` (from 1 in the order of ``.names``, from the shortest wavelength;
        0: none) and `dye_probability`, positions by the PSF of the molecule's own dye; ``.weights``, the part
        of none and of each; ``.molecules``; ``.misassigned``, the expected part of wrong ones.

    Raises
    ------
    InputError
        For less than two wavelengths, several channels, a PSF that is measured or changes across the field,
        and where movie and model do not fit.
    Interrupted
        If the watcher stopped the work.

    Warns
    -----
    DoubtfulResult
        Where dyes can hardly be told apart, or many molecules are none's.

    References
    ----------
    Shechtman et al., Nature Photonics 10:590 (2016).
    """
    found = told_apart(
        excerpt_of(movie),
        model.file,
        MovieDyes(wavelengths, sure),
        mask=model.mask,
        camera=camera,
        watch=watch,
    )
    doubt(found.warnings)
    return found
