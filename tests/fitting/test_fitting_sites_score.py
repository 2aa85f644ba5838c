"""Score tests against the fit: what light would gain that is not in it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fitting_scenes import Scene
from test_fitting_sites import crowd, true_sites
from test_fitting_sites_arrangements import frames_of, whole_deviance

from deepstorm3d.fitting.sites.charts import COARSE, Charts
from deepstorm3d.fitting.sites.climb import climb_sites
from deepstorm3d.fitting.sites.covariance import Landscape
from deepstorm3d.fitting.sites.looks import dark_neighbours, gain_of_looks
from deepstorm3d.fitting.sites.movie import Movie
from deepstorm3d.fitting.sites.score import _drawn, _new_light, _seen, score_of_looks, score_over_frames
from deepstorm3d.fitting.sites.shared_information import shared_information
from deepstorm3d.fitting.sites.state import Sites


def without(made: Scene, seed: int, gone: int) -> tuple[Movie, Sites, Sites]:
    """Frames, the sites fitted with all looks, and those fitted without the looks of one site."""
    frames, sites = frames_of(made, made.noisy(seed)), true_sites(made)
    left = (sites.site != gone).nonzero()[:, 0]
    return frames, climb_sites(frames, sites).sites, climb_sites(frames, sites.of_looks(left).compact()).sites


def longest(made: Scene) -> int:
    return int(torch.bincount(true_sites(made).site).argmax())


def test_the_gain_of_a_molecule_in_all_its_frames_is_that_of_the_fit_with_it() -> None:
    made = crowd(3)
    gone = longest(made)
    frames, full, less = without(made, 3, gone)
    gain = whole_deviance(frames, less) - whole_deviance(frames, full)
    mine = full.frame[full.site == gone]
    assert len(mine) >= 4
    ends = mine.min()[None], mine.max()[None]
    told = float(score_over_frames(Landscape(frames, less), full.place[gone][None], *ends)[0])
    # Thousands of photons are far from none: the information is that of the dark frames, so it says more.
    assert 0.6 * gain < told < 2.5 * gain and gain > 100
    # Where there is nothing, there is nothing to gain.
    corner = torch.tensor([[0.2, 0.2, 0.5]]).double()
    assert float(score_over_frames(Landscape(frames, full), corner, *ends)[0]) < 16


def test_a_dim_look_gains_what_its_score_says() -> None:
    made = crowd(5)
    frames = frames_of(made, made.noisy(5))
    fitted = climb_sites(frames, climb_sites(frames, true_sites(made)).sites).sites
    land = Landscape(frames, fitted)
    tested = gain_of_looks(land, *dark_neighbours(fitted))
    # Most of the looks that could be are not there; of the others, the brightest are.
    assert float(tested.gain.median()) < 4
    strongest = tested.select(tested.gain.argsort(descending=True)[:3])
    for k in range(3):
        site, number, told = (column[k : k + 1] for column in (strongest.site, strongest.image, strongest.gain))
        score = score_of_looks(land, int(number), fitted.place[site])
        torch.testing.assert_close(score.pull.square() / score.left, told, rtol=1e-5, atol=0)
        after = climb_sites(frames, fitted.with_looks(site, number, strongest.photons[k : k + 1])).sites
        gain = whole_deviance(frames, fitted) - whole_deviance(frames, after)
        assert abs(gain - float(told)) < 0.3 + 0.15 * float(told)
        # Its σ by the score is that of the fit with it.
        look = int(((after.site == site) & (after.image == number)).nonzero()[0, 0])
        sigma = Landscape(frames, after).bound().photons[look : look + 1]
        torch.testing.assert_close(score.left.rsqrt(), sigma, rtol=0.15, atol=0)


@pytest.mark.parametrize("share", [None, 0.3])
def test_compiled_code_sees_new_light_as_tensors_do(share: float | None) -> None:
    made = crowd(3)
    land = Landscape(frames_of(made, made.noisy(3)), true_sites(made))
    view = land.terms[1].views[0]
    view = replace(view, channel=replace(view.channel, share=share))
    assert view.image.is_compiled
    # In the middle, at an edge, outside of it by half a spot, and outside of reach.
    width = view.light.frames.shape[2] * view.channel.psf.pixel_um
    x = torch.tensor([0.5 * width, 0.0, width + 0.6, width + 9.0])
    place = torch.stack([x, x.flip(0).clamp(0, width), torch.tensor([0.3, 0.9, 0.6, 0.5])], 1).double()
    one, other = _seen(view, place), _drawn(view, _new_light(view, place))
    assert float(one.looks.abs().amax()) > 0
    assert float(one.alone[3]) == 0 < float(one.alone[:3].min())
    for name in ("pull", "alone", "looks", "smooth"):
        expected = getattr(other, name)
        scale = float(expected.abs().max())
        torch.testing.assert_close(getattr(one, name), expected, rtol=0, atol=2e-5 * scale, msg=name)


def test_near_its_state_an_image_need_not_be_computed_again_for_a_score() -> None:
    made = crowd(4)
    frames, sites = frames_of(made, made.noisy(4)), true_sites(made)
    charts = Charts(frames, COARSE)
    Landscape(frames, sites, charts)
    moved = climb_sites(frames, sites, Charts(frames, COARSE)).sites
    near = Sites(
        sites.place + 0.05 * (moved.place - sites.place),
        sites.site,
        sites.image,
        sites.photons,
        sites.origin,
        sites.coefficients,
        sites.loose,
    )
    place = torch.tensor([[2.0, 2.5, 0.5], [4.0, 1.5, 0.7]]).double()
    by_chart = score_of_looks(Landscape(frames, near, charts), 2, place)
    exact = score_of_looks(Landscape(frames, near), 2, place)
    assert charts._charts[2] is not None and Landscape(frames, near, charts).terms[2].change is not None
    sigma = exact.left.sqrt()
    assert float(((by_chart.pull - exact.pull) / sigma).abs().max()) < 0.05
    torch.testing.assert_close(by_chart.left, exact.left, rtol=0.02, atol=0)


def test_all_looks_of_a_molecule_together_say_nothing_that_its_place_does_not() -> None:
    made = crowd(6)
    frames = frames_of(made, made.noisy(6))
    land = Landscape(frames, climb_sites(frames, true_sites(made)).sites)
    shared = shared_information(land)
    assert sum(len(group.sites) for group in shared.groups) >= 5
    for group in shared.groups:
        together = group.information.sum((1, 2))
        own = group.information.diagonal(dim1=1, dim2=2).sum(-1).diagonal(dim1=1, dim2=2)
        assert float((together.abs().amax((1, 2)) / own.amax(1)).max()) < 1e-5
        # Each alone says something, and as much of x with y as of y with x.
        torch.testing.assert_close(group.information, group.information.permute(0, 2, 1, 4, 3))
        assert bool((torch.linalg.eigvalsh(group.information[:, 0, 0]) > 0).all())
