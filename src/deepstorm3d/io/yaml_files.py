"""YAML beside people's data, as Picasso, its plug-ins and editors leave it: any encoding, objects of Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError
from .texts import read_text

__all__ = ["read_documents"]


def read_documents(path: Path) -> list[Any]:
    """Every document of a YAML file as plain values; what a tag says to make of them is never made.

    Raises InputError where the file cannot be read or is no YAML.
    """
    text = read_text(path)
    try:
        return list(yaml.load_all(text, _TaggedLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a ValueError: 2024-02-30 is no date
        raise InputError(f"{path}: not valid YAML ({error})") from error


class _TaggedLoader(yaml.SafeLoader):
    """Reads objects of Python, which Picasso and its plug-ins write with a tag, as the plain values in them."""

    def untagged(self, _: str, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        return node.value


_TaggedLoader.add_multi_constructor("", _TaggedLoader.untagged)
