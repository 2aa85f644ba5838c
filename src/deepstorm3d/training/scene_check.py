"""Checks of the scenes before training: whether there are emitters to find, and whether pixels saturate."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import InputError
from ..field import Field
from ..simulation.priors import Scene
from .sampler import FrameSampler

__all__ = ["refuse_without_labels", "refuse_without_neighbours", "saturation_warning"]

_EMITTERS_OF = 256  # crops of each scene in which emitters are counted
_IMAGES_OF = 16  # crops of each scene that are simulated to find saturated pixels
_SATURATED_SHARE = 0.01  # fraction of crops with saturated pixels above which a warning is given


def refuse_without_labels(scenes: Sequence[Scene], field: Field) -> None:
    """Raise InputError if no scene contains an emitter that a network should find; field: of a crop.

    A single scene without emitters is valid together with others: the network learns empty frames from it.
    """
    generator = torch.Generator().manual_seed(0)
    reasons = []
    for number, scene in enumerate(scenes, 1):
        emitters = scene.emitters.draw(_EMITTERS_OF, field, generator)
        if bool(scene.emitters.labelled(emitters).any()):
            return
        name = "" if len(scenes) == 1 else f"scene {number}: "
        if len(emitters):
            reasons.append(
                f"{name}the brightest of {len(emitters):,} emitters drawn has "
                f"{float(emitters.photons.max()):,.0f} photons, and those below min_photons = "
                f"{scene.emitters.min_photons:,.0f} are not labelled: lower emitters.min_photons or raise "
                "emitters.photons"
            )
        else:
            reasons.append(
                f"{name}{_EMITTERS_OF} crops of {field.width} × {field.height} px hold no emitter "
                f"({scene.emitters.count}): raise emitters.count"
            )
    raise InputError("there is nothing for a network to find in these scenes: " + "; ".join(reasons))


def refuse_without_neighbours(scenes: Sequence[Scene], context: int) -> None:
    """Raise InputError if a network sees neighbouring frames, but they never show the same molecules.

    context: frames before and after each that the network sees.
    """
    if context and not any(scene.emitters.blinking.lasts for scene in scenes):
        raise InputError(
            f"network.context is {context}, but in these scenes every frame has molecules of its own: the "
            "frames before and after would tell the network nothing",
            "let molecules last for several frames (`scenes.NAME.emitters.blinking.kind=exponential`), or set "
            "`network.context=0`",
        )


@torch.no_grad()
def saturation_warning(sampler: FrameSampler) -> str | None:
    """A warning if too many simulated crops have saturated pixels, else None."""
    generator = torch.Generator(sampler.device).manual_seed(0)
    limit = sampler.simulator.camera.saturation
    counts = torch.cat([sampler.expose(scene, _IMAGES_OF, generator).counts for scene in sampler.scenes])
    full = counts >= limit
    share = float(full.flatten(1).any(1).double().mean())
    if share <= _SATURATED_SHARE:
        return None
    return (
        f"{share:.0%} of the simulated frames have saturated pixels ({float(full.double().mean()):.2%} of all "
        f"pixels are at {limit:g} counts): the network learns from cut off images; lower emitters.photons, "
        "background or camera.gain, or correct camera.saturation"
    )
