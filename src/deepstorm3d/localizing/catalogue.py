"""Catalogue of the built-in models, their descriptions, and export of their experiments and masks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ..brief import Brief
from ..complaints import meant
from ..errors import InputError
from ..experiment.experiment import Experiment
from ..experiment.files import write_experiment
from ..experiment.optics import experiment_mask
from ..front_door import doubt, public
from ..io.masks import write_mask
from ..io.parts import claim_name, make_folder, write_text
from ..io.psfs import write_psf
from ..localizer.modelfile import ModelFile, load_model_file
from ..optics.masks import FileMask
from ..simulation.priors import Scene
from .known_models import known_models
from .pipeline import experiment_of

__all__ = [
    "ModelCard",
    "SceneCard",
    "built_in_models",
    "describe_model",
    "export_model",
    "find_model",
    "list_models",
]

MODELS_FOLDER: Traversable = resources.files("deepstorm3d") / "models"
"""Folder of the package's model files, NAME.pt; it may be inside an archive."""


@dataclass(frozen=True)
class SceneCard:
    """Description of one kind of frame in a model's training, in words with units."""

    name: str
    emitters: str
    photons: str
    background: str


@dataclass(frozen=True, repr=False)
class ModelCard(Brief):
    """Description of a model for its users.

    psf: what makes the image, "tetrapod mask" or "no mask, 2 channels";  z_um: depth range;  threshold:
    smallest probability reported;  facts: the card stored with the model (date, hardware, measured figures),
    plain values;  sha256: of the model file, "" if it is in none.
    """

    name: str
    psf: str
    wavelength_um: float
    pixel_nm: float
    z_um: tuple[float, float]
    scenes: list[SceneCard]
    network: str
    threshold: float
    facts: Mapping[str, Any]
    sha256: str = ""

    @property
    def figures(self) -> Mapping[str, Any]:
        """Score on the model's own validation frames; empty if the card has none."""
        return self.facts.get("validation") or {}


def built_in_models() -> list[str]:
    """Names of the models in the package."""
    return sorted(
        file.name.removesuffix(".pt") for file in MODELS_FOLDER.iterdir() if file.name.endswith(".pt")
    )


def find_model(name_or_path: str | Path) -> ModelFile:
    """A built-in model by its name, or any model file by its path; raises InputError listing the names.

    A built-in model comes before a file of its name; where there is such a file, a DoubtfulResult says so.
    """
    name = str(name_or_path)
    if name in built_in_models():
        if Path(name).is_file():
            doubt([f"'{name}' is the built-in model; the file of that name is not read (./{name} would be)"])
        with resources.as_file(MODELS_FOLDER / f"{name}.pt") as file:
            return load_model_file(file)
    path = Path(name)
    if path.is_file():
        return load_model_file(path)
    outside = next((each for each in known_models() if each.name == name), None)
    if outside is not None:
        raise InputError(
            f"the model '{name}' is not in the package, and there is no such file here",
            f"give the path of {outside.file} of the source repository ({outside.size / 1e6:.1f} MB, SHA-256 "
            f"{outside.sha256})",
        )
    known = [*built_in_models(), *(each.name for each in known_models())]
    raise InputError(
        f"there is no model '{name}': no such file, and no built-in model of that name",
        meant(name, known, "known models"),
    )


@public
def list_models() -> list[ModelCard]:
    """Cards of the built-in models, in order of their names."""
    return [describe_model(find_model(name), name) for name in built_in_models()]


def describe_model(model: ModelFile, name: str | None = None) -> ModelCard:
    """The card of a model.

    name: to show; default: the experiment's name.  Raises InputError if the experiment is not valid.
    """
    experiment = experiment_of(model)
    return ModelCard(
        name=name or experiment.name,
        psf=experiment.describe_optics(),
        wavelength_um=experiment.microscope.wavelength,
        pixel_nm=round(1000 * experiment.microscope.pixel_um, 3),
        z_um=experiment.z_um,
        scenes=[_describe_scene(key, scene) for key, scene in experiment.scenes.items()],
        network=experiment.network.describe(),
        threshold=model.threshold,
        facts=model.card,
        sha256=model.sha256,
    )


def export_model(name_or_path: str | Path, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write a model's ``experiment.yaml``, ``mask.npy`` (rad) and ``card.json`` into a folder.

    The folder is created if it does not exist. For a measured PSF ``psf.tif`` replaces mask.npy; if the model
    contains only the hash of its mask, there is no mask.npy.  Returns the files written.
    """
    model = find_model(name_or_path)
    experiment = experiment_of(model)
    optics = _optics_file(experiment, model)
    names = ["experiment.yaml", *([] if optics is None else [optics]), "card.json"]
    files = {name: folder / name for name in names}
    make_folder(folder)
    for path in files.values():
        claim_name(path, overwrite=overwrite)
    if optics == "mask.npy":
        phase = experiment_mask(experiment, phase=model.mask)().detach()
        write_mask(files[optics], phase.numpy(), overwrite=overwrite)
        experiment = _naming(experiment, str(files[optics]))
    elif optics is not None and model.planes is not None:
        write_psf(files[optics], model.planes, overwrite=overwrite)
        named = str(files[optics])
        experiment = experiment.with_(psf=experiment.psf.renamed(lambda path: named, model.planes))
    write_experiment(experiment, files["experiment.yaml"])
    write_text(files["card.json"], json.dumps(dict(model.card), indent=2) + "\n")
    return list(files.values())


def _optics_file(experiment: Experiment, model: ModelFile) -> str | None:
    """Name of the file from which the experiment's PSF is made; None if the model does not contain it."""
    if not experiment.psf.needs_mask:
        return None if model.planes is None else "psf.tif"
    return None if isinstance(experiment.mask, FileMask) and model.mask is None else "mask.npy"


def _naming(experiment: Experiment, file: str) -> Experiment:
    """The experiment with its mask file named; masks described by numbers are not changed."""
    if not isinstance(experiment.mask, FileMask):
        return experiment
    return experiment.with_(mask=experiment.mask.with_(path=file))


def _describe_scene(name: str, scene: Scene) -> SceneCard:
    prior = scene.emitters
    return SceneCard(name, prior.count.describe(), prior.photons.describe(), scene.background.describe())
