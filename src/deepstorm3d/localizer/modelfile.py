"""Model files: weights, the experiment that they were trained for, and measured figures in one file."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..io.torch_file import save_tensors
from ..psf_volume import PSFVolume

__all__ = ["FORMAT_VERSION", "ChannelFiles", "ModelFile", "load_model_file", "save_model_file"]

FORMAT_VERSION = 3
"""Of model files.

1: experiments of format version 1.  2: the planes of a measured PSF may stand beside them.  3: experiments of
format version 2.
"""
_MAGIC = "deepstorm3d-model"


@dataclass(frozen=True)
class ChannelFiles:
    """What a model holds of the files of a further channel.

    mask: (h, w) phase in rad, None if its experiment describes it or only its SHA-256 is known;
    planes: of a measured PSF, None if the PSF is computed.
    """

    mask: Tensor | None = None
    planes: PSFVolume | None = None


@dataclass(frozen=True)
class ModelFile:
    """Contents of a model file.

    experiment: the whole experiment as a plain mapping;  weights: of the NetworkLocalizer, with its
    normalisation;  threshold: smallest probability reported;  mask: (h, w) phase in rad, or None if
    only its SHA-256 (in the experiment) is known;  card: conditions, training cost and figures;
    planes: of the measured PSF that the model was trained for, None if the PSF is computed from a mask;
    channels: the same of further channels, by their names in the experiment;  sha256: of the file that it was
    read from, "" if it was not.
    """

    experiment: Mapping[str, Any]
    weights: Mapping[str, Tensor] = field(repr=False)
    threshold: float
    mask: Tensor | None = field(repr=False)
    card: Mapping[str, Any]
    planes: PSFVolume | None = None
    channels: Mapping[str, ChannelFiles] = field(default_factory=dict)
    sha256: str = ""


def save_model_file(model: ModelFile, path: Path) -> None:
    """Write a model file; raises InputError if it cannot be written."""
    contents = {
        "magic": _MAGIC,
        "format_version": FORMAT_VERSION,
        "experiment": _as_json_values(model.experiment),
        # Float16 needs half the space and is more precise than bfloat16, in which the network computes.
        "weights": {name: _half_if_large(tensor) for name, tensor in model.weights.items()},
        "threshold": float(model.threshold),
        "mask": model.mask,
        "card": _as_json_values(model.card),
    }
    if model.planes is not None:
        contents["planes"] = _stored(model.planes)
    if model.channels:
        contents["channels"] = {
            name: {"mask": files.mask, "planes": None if files.planes is None else _stored(files.planes)}
            for name, files in model.channels.items()
        }
    save_tensors(contents, path)


def _stored(planes: PSFVolume) -> dict[str, Any]:
    return {**vars(planes), "values": planes.values.detach().cpu().clone()}


def _as_json_values(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Reduce a mapping to numbers, texts, lists and dicts.

    A single object of another class (for instance torch's version) would make the file unreadable with
    ``weights_only``.
    """
    return json.loads(json.dumps(dict(mapping), default=str))


def _half_if_large(tensor: Tensor) -> Tensor:
    """Convert convolution weights to float16; statistics and scalars keep their precision."""
    tensor = tensor.detach().cpu()
    return tensor.half() if tensor.is_floating_point() and tensor.ndim == 4 else tensor


def load_model_file(path: Path) -> ModelFile:
    """Read a model file. Nothing in it is executed (``weights_only``).

    Raises InputError if the file does not exist, is not a model file, or has a newer format.
    """
    if not path.is_file():
        raise InputError(f"there is no model file {path}")
    try:
        stored = path.read_bytes()
        contents = torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path} is not a model file of deepstorm3d, or it is damaged") from error
    if not isinstance(contents, dict) or contents.get("magic") != _MAGIC:
        raise InputError(f"{path} is not a model file of deepstorm3d")
    version = contents.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {version}, this program reads up to "
            f"{FORMAT_VERSION}: install a newer deepstorm3d"
        )
    missing = {"format_version", "experiment", "weights", "threshold", "mask", "card"} - set(contents)
    if missing:
        raise InputError(f"{path} is a damaged model file: it lacks {', '.join(sorted(missing))}")
    weights = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in contents["weights"].items()
    }
    planes = PSFVolume(**contents["planes"]) if "planes" in contents else None
    channels = {
        name: ChannelFiles(files["mask"], None if files["planes"] is None else PSFVolume(**files["planes"]))
        for name, files in contents.get("channels", {}).items()
    }
    return ModelFile(
        experiment=contents["experiment"],
        weights=weights,
        threshold=contents["threshold"],
        mask=contents["mask"],
        card=contents["card"],
        planes=planes,
        channels=channels,
        sha256=hashlib.sha256(stored).hexdigest(),
    )
