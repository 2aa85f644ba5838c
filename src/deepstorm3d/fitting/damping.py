"""When a step of a fit is damped more, and when less (Levenberg-Marquardt), in compiled code and in torch."""

from __future__ import annotations

__all__ = ["AS_EXPECTED", "DAMPED"]

AS_EXPECTED = 0.7
"""Share of the gain of a quadratic likelihood from which on a step is followed by a less damped one."""

DAMPED = 0.1
"""Damping after a step that raised the deviance, at least, in units of the Fisher matrix's diagonal.

A smaller one changes only the steps of pairs at nearly one place.
"""
