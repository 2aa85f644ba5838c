"""The kinds of network that an experiment may name; others can be registered."""

from __future__ import annotations

from typing import Annotated

from ..kinds import Kinds
from .coarse import CoarseSpec
from .mixture import MixtureSpec
from .network import NetworkSpec
from .voxel import VoxelSpec

__all__ = ["NETWORKS", "AnyNetwork"]

NETWORKS = Kinds(CoarseSpec, MixtureSpec, VoxelSpec)
"""All kinds of network. ``NETWORKS.register`` adds one that is defined elsewhere."""

AnyNetwork = Annotated[NetworkSpec, NETWORKS]
"""A network of any kind, as a field of a record."""
