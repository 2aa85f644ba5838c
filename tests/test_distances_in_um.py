"""A distance in µm that is taken for nm is refused alike wherever one is given; 1 nm is taken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deepstorm3d.analysis.evaluation import MatchRule
from deepstorm3d.analysis.linking import LinkRule
from deepstorm3d.analysis.tracking import SearchRange
from deepstorm3d.errors import InputError
from deepstorm3d.rendering.gaussians import Gaussians


@pytest.mark.parametrize(
    ("what", "given"),
    [
        ("a blur", lambda nm: Gaussians(nm / 1000)),
        ("a distance", lambda nm: LinkRule(nm / 1000, nm / 1000)),
        ("a search range", lambda nm: SearchRange(nm / 1000, nm / 1000)),
        ("a radius of a hit", lambda nm: MatchRule(nm)),
    ],
)
def test_a_distance_in_um_is_refused_and_1_nm_is_taken(what: str, given: Callable[[float], object]) -> None:
    given(1.0)
    with pytest.raises(InputError) as refused:
        given(0.3)
    told = f"{what} of 0.3 nm is less than 1 nm, the least that is taken; it is in nm: 0.3 µm are 300"
    assert str(refused.value) == told
