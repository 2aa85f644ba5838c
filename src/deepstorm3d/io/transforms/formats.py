"""Read and write a transform in the format that its content, or its ending, tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ...channels import ChannelPair
from ...errors import InputError
from ...front_door import public
from ..parts import claim_name, write_text
from ..yaml_files import read_documents
from .own_file import FORMAT, channels_of, text_of
from .picasso import MODEL, channels_of_picasso, picasso_mapping

__all__ = ["claim_transform", "read_transform", "write_transform"]

# How Picasso calls its own.
_PICASSO_ENDING = "_channel_reg.yaml"
_ENDINGS = (".yaml", ".yml")


def claim_transform(path: str | Path, *, overwrite: bool) -> Path:
    """Check, before any work is done, that a transform may be written there.

    Raises InputError for another ending than .yaml, and a name that is taken.
    """
    path = Path(path)
    if path.suffix.lower() not in _ENDINGS:
        raise InputError(f"{path}: a transform is a .yaml file, of the program's own or Picasso's format")
    claim_name(path, overwrite=overwrite)
    return path


@public
def write_transform(path: str | Path, channels: ChannelPair, *, overwrite: bool = False) -> None:
    """Write a transform with its depth offset and both fields.

    Parameters
    ----------
    path : path
        .yaml; a name that ends in ``_channel_reg.yaml`` is written for Picasso, in pixels and without depth.
    channels : ChannelPair
        ``registration.channels``.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    InputError
        For another ending, a name that is taken, and a file that cannot be written.
    """
    path = claim_transform(path, overwrite=overwrite)
    if path.name.endswith(_PICASSO_ENDING):
        write_text(path, yaml.safe_dump(picasso_mapping(channels), sort_keys=False))
    else:
        write_text(path, text_of(channels))


@public
def read_transform(path: str | Path, *, pixel_um: float | None = None) -> ChannelPair:
    """Read a transform that `write_transform` or Picasso wrote.

    Parameters
    ----------
    path : path
    pixel_um : float
        Camera pixel of both channels in the sample, for files of Picasso's own, which do not name it.

    Returns
    -------
    ChannelPair
        ``.transform``, ``.depth``, ``.apply(list of the first channel)``, ``.undo(list of the second)``.

    Raises
    ------
    InputError
        For a file that is no transform; MissingPixelSize where the pixel size is needed.
    """
    path = Path(path)
    content: Any = next(iter(read_documents(path)), None)
    kind = content.get("format", content.get("model")) if isinstance(content, dict) else None
    if kind == FORMAT:
        return channels_of(content, str(path))
    if kind == MODEL:
        return channels_of_picasso(content, pixel_um, str(path))
    raise InputError(
        f"{path} is no transform between two channels: neither one of this program nor a channel registration "
        "of Picasso"
    )
