"""Files of transforms: what was written comes back, and Picasso's are read as it means them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

import deepstorm3d as ds
from deepstorm3d.channels import ChannelPair, Transform
from deepstorm3d.errors import InputError, MissingPixelSize
from deepstorm3d.field import Field
from two_channels import TwoChannels


def channels(degree: int = 2) -> ChannelPair:
    transform = TwoChannels(1, seed=2).transform().raised(max(2, degree))
    if degree == 1:
        transform = Transform.affine(transform.matrix, torch.tensor([0.5, -1.5]))
    fields = Field(240, 250, 0.11), Field(230, 260, 0.12, (260, 0))
    return ChannelPair(transform, (0.15, 0.002), fields, ("A.hdf5", "B.hdf5"), {"pairs": 321, "from": "beads"})


def places() -> torch.Tensor:
    return 26 * torch.rand(100, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_transform_comes_back_as_it_was_written(tmp_path: Path, degree: int):
    path, kept = tmp_path / "t.yaml", channels(degree)
    ds.write_transform(path, kept)
    read = ds.read_transform(path)
    torch.testing.assert_close(read.transform.apply(places()), kept.transform.apply(places()), rtol=0, atol=0)
    assert (read.depth, read.fields, read.names) == (kept.depth, kept.fields, kept.names)
    assert read.facts == kept.facts


def test_the_file_says_its_units_and_the_formula(tmp_path: Path):
    ds.write_transform(tmp_path / "t.yaml", channels())
    text = (tmp_path / "t.yaml").read_text(encoding="utf-8")
    assert "z' = z + depth offset" in text
    for line in text.splitlines():
        assert line.startswith("#") or "#" in line, line


def test_a_written_file_is_not_replaced_unasked(tmp_path: Path):
    ds.write_transform(tmp_path / "t.yaml", channels())
    with pytest.raises(InputError, match="exists"):
        ds.write_transform(tmp_path / "t.yaml", channels())
    with pytest.raises(InputError, match=r"\.yaml"):
        ds.write_transform(tmp_path / "t.csv", channels())


def test_a_wrong_key_and_too_few_coefficients_are_named(tmp_path: Path):
    path = tmp_path / "t.yaml"
    ds.write_transform(path, channels())
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for change, message in (
        ({"scale": 3}, "did you mean 'scale_um'"),
        ({"x_um": [1.0, 2.0], "y_um": [1.0, 2.0]}, "2 coefficients are no polynomial"),
        ({"x_um": [1.0, 2.0, 3.0]}, "x_um has 3 coefficients and y_um 6"),
    ):
        path.write_text(yaml.safe_dump(content | change), encoding="utf-8")
        with pytest.raises(InputError, match=message):
            ds.read_transform(path)
    path.write_text("psf: {}", encoding="utf-8")
    with pytest.raises(InputError, match="no transform between two channels"):
        ds.read_transform(path)
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(InputError, match="not valid YAML"):
        ds.read_transform(path)


# As Picasso 0.11.3 writes them: pixels, x before y, 0 the centre of the first pixel; (x - center) * scale.
PICASSO = {
    "affine": {"model": "affine", "matrix": [[1, 0.5, 3], [0, 2, -4], [0, 0, 1]], "domain": [[0, 0], [99, 79]]},
    "translation": {"model": "translation", "shift": [3.0, -4.0], "domain": None},
    "polynomial2": {
        "model": "polynomial2",
        "forward": [[50.0, 10.0, 0.0, 2.0, 0.0, 0.0], [40.0, 0.0, 10.0, 0.0, 1.0, 0.0]],
        "center": [50.0, 40.0],
        "scale": 0.1,
        "domain": [[0, 0], [99, 79]],
    },
}


# Pixel (30, 40) of the first channel, in the second: u = -2 and v = 0 of the polynomial.
@pytest.mark.parametrize(
    ("kind", "there"), [("affine", (53.0, 76.0)), ("translation", (33.0, 36.0)), ("polynomial2", (38.0, 40.0))]
)
def test_picassos_registration_is_in_pixels_of_the_first_channel(
    tmp_path: Path, kind: str, there: tuple[float, float]
):
    path = tmp_path / "movie_channel_reg.yaml"
    whole = {
        "model": "channel-registration",
        "n_channels": 2,
        "reference": 0,
        "source": "beads",
        "n_pairs": [7],
    }
    path.write_text(yaml.safe_dump(whole | {"channel_transforms": [{}, PICASSO[kind]]}), encoding="utf-8")
    read = ds.read_transform(path, pixel_um=0.1)
    place = torch.tensor([[3.0, 4.0]])
    assert (read.transform.apply(place)[0] / 0.1).tolist() == pytest.approx(there, abs=1e-6)
    assert read.facts["pairs"] == 7
    with pytest.raises(MissingPixelSize, match="in pixels"):
        ds.read_transform(path)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_what_is_written_for_picasso_means_the_same_in_its_pixels(tmp_path: Path, degree: int):
    path, kept = tmp_path / "a_channel_reg.yaml", channels(degree)
    ds.write_transform(path, kept)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    identity, entry = content["channel_transforms"]
    assert content["model"] == "channel-registration" and identity["matrix"][0] == [1.0, 0.0, 0.0]
    px = places() / 0.11
    if degree == 1:
        matrix = torch.tensor(entry["matrix"], dtype=torch.float64)
        there = px @ matrix[:2, :2].T + matrix[:2, 2]
    else:
        u, v = ((px - torch.tensor(entry["center"], dtype=torch.float64)) * entry["scale"]).unbind(1)
        powers = [(a - b, b) for a in range(degree + 1) for b in range(a + 1)]
        design = torch.stack([u**i * v**j for i, j in powers], dim=1)
        there = design @ torch.tensor(entry["forward"], dtype=torch.float64).T
        assert entry["model"] == f"polynomial{degree}" and entry["roundtrip_rms_px"] < 0.05
    for given in (None, 0.1, 0.12):
        read = ds.read_transform(path, pixel_um=given)
        torch.testing.assert_close(read.transform.apply(places()), kept.transform.apply(places()))
        assert [field.pixel_um for field in read.fields] == [0.11, 0.12]
    torch.testing.assert_close(0.12 * there, kept.transform.apply(places()), rtol=0, atol=1e-8)


def test_what_picasso_has_and_we_do_not_is_refused_by_name(tmp_path: Path):
    path = tmp_path / "a_channel_reg.yaml"
    projective = {"model": "projective", "matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}
    for entries, message in (([{}, projective], "'projective' is not read"), ([{}], "has 1 channels")):
        content = {"model": "channel-registration", "channel_transforms": entries}
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        with pytest.raises(InputError, match=message):
            ds.read_transform(path, pixel_um=0.1)
    affine = {"model": "channel-registration", "channel_transforms": [{}, PICASSO["affine"]]}
    for damage in (
        {"n_pairs": 5},
        {"n_pairs": ["many"]},
        {"Pixelsizes": ["wide", 110]},
        {"reference": None},
        {"channel_transforms": [{}, None]},
        {"channel_transforms": [{}, {"model": "affine", "matrix": [[1, 0]]}]},
        {"channel_transforms": 3},
    ):
        path.write_text(yaml.safe_dump(affine | damage), encoding="utf-8")
        with pytest.raises(InputError, match="no whole channel registration"):
            ds.read_transform(path, pixel_um=0.1)
    path.write_text(yaml.safe_dump({"model": "channel-registration"}), encoding="utf-8")
    with pytest.raises(InputError, match="no whole channel registration"):
        ds.read_transform(path, pixel_um=0.1)
