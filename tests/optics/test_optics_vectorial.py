"""The vectorial PSF as a function: derivatives, gradients, precision, small masks, its spec."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.errors import InputError
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.fisher import crlb
from deepstorm3d.optics.masks import PixelMask, TetrapodMask, ZernikePhase
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF, ScalarPSFSpec
from deepstorm3d.optics.vectorial import DipoleSpec, VectorialPSF, VectorialPSFSpec
from deepstorm3d.spec import spec_from_mapping

COARSE = Microscope(mask_pitch=72.0, focus=0.8)  # 57 mask pixels, 63 with supercritical light
TINY = Microscope(mask_pitch=300.0, focus=0.5)  # 15 mask pixels, images repeat after 26
LOPSIDED = {5: 0.6, 6: -0.4, 7: 0.8, 8: -0.5, 9: 0.6, 10: 0.3, 11: 0.4}
KINDS = {
    "free": DipoleSpec(),
    "free behind a polarizer": DipoleSpec(polarizer="y"),
    "fixed": DipoleSpec(dipole=(50.0, 20.0)),
    "fixed behind a polarizer": DipoleSpec(dipole=(50.0, 20.0), polarizer="x"),
    "without supercritical light": DipoleSpec(supercritical=False),
}


def lopsided(microscope: Microscope) -> ZernikePhase:
    """A mask without any symmetry."""
    return ZernikePhase(microscope, list(LOPSIDED), torch.tensor(list(LOPSIDED.values()), dtype=torch.float64))


def build(spec: DipoleSpec) -> VectorialPSF:
    return VectorialPSF(COARSE, lopsided(COARSE), spec, patch_px=15, blur_px=0.9)


@pytest.fixture(params=KINDS, scope="module")
def psf(request: pytest.FixtureRequest) -> VectorialPSF:
    return build(KINDS[request.param])


def places(*z: float) -> torch.Tensor:
    """Molecules off the pixels' middles."""
    rows = [[0.02 + 0.01 * row, 0.02 * row - 0.04, depth] for row, depth in enumerate(z)]
    return torch.tensor(rows, dtype=torch.float64)


def test_the_analytic_derivatives_are_those_of_autograd(psf: VectorialPSF) -> None:
    # At the coverslip, where supercritical light fades fastest; deeper; and in the glass, continued and kept.
    for depth in (0.04, 1.3, -0.3, -0.9):
        xyz = places(depth)
        patches, slopes = psf.derivatives(xyz)
        jacobian = torch.autograd.functional.jacobian(lambda at: psf(at).values[0], xyz)
        assert isinstance(jacobian, torch.Tensor)
        torch.testing.assert_close(slopes[0], jacobian[:, :, 0].permute(2, 0, 1), rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(patches.values, psf(xyz).values)


def test_the_slope_in_blur_is_that_of_its_own_images(psf: VectorialPSF) -> None:
    xyz, blur = places(0.1, 0.7), torch.tensor([0.8, 1.1], dtype=torch.float64)
    _, slopes = psf.derivatives(xyz, blur, in_blur=True)
    step = 1e-4
    expected = (psf(xyz, blur + step).values - psf(xyz, blur - step).values) / (2 * step)
    torch.testing.assert_close(slopes[:, 3], expected, rtol=0, atol=1e-3 * float(expected.abs().max()))


def test_gradcheck_in_position_blur_and_focus() -> None:
    model = VectorialPSF(TINY, lopsided(TINY), patch_px=5)
    xyz = places(0.05, 0.6).requires_grad_()
    blur = torch.tensor([0.8, 1.1], dtype=torch.float64, requires_grad=True)
    focus = torch.tensor([0.3, 0.6], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, b, f: model(x, b, focus_um=f).values, (xyz, blur, focus))


def test_gradcheck_in_every_pixel_of_the_mask_and_through_the_derivatives() -> None:
    phase = torch.rand(15, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def images(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        model = VectorialPSF(TINY, PixelMask(values), patch_px=3, blur_px=0.8)
        patches, slopes = model.derivatives(places(0.1))
        return 100 * patches.values, slopes

    assert torch.autograd.gradcheck(images, phase.requires_grad_(), fast_mode=True)


def test_the_size_of_the_chunk_changes_nothing(psf: VectorialPSF) -> None:
    xyz = torch.rand(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole = psf.derivatives(xyz)
    psf.chunk = 2
    parts = psf.derivatives(xyz)
    psf.chunk = 8
    torch.testing.assert_close(whole[0].values, parts[0].values, rtol=0, atol=1e-14)
    torch.testing.assert_close(whole[1], parts[1], rtol=0, atol=1e-12)


def test_single_precision_follows_its_input_and_agrees_to_1e5_of_the_peak(psf: VectorialPSF) -> None:
    xyz = torch.tensor([[0.5, 1.3, 0.05], [4.0, -2.0, 2.8]], dtype=torch.float64)
    (double, slope), (single, rough) = psf.derivatives(xyz), psf.derivatives(xyz.float())
    assert (double.values.dtype, single.values.dtype) == (torch.float64, torch.float32)
    peak = double.values.amax((1, 2))
    assert ((double.values - single.values).abs().amax((1, 2)) < 1e-5 * peak).all()
    assert (slope - rough).abs().max() < 1e-4 * slope.abs().max()


def test_a_module_cast_to_single_precision_still_works() -> None:
    whole = build(DipoleSpec())
    before = whole(places(0.1)).values
    for cast in (whole.float(), build(DipoleSpec()).to(torch.float32)):
        assert (before - cast(places(0.1)).values).abs().max() < 1e-4 * before.max()


def test_no_emitters_give_no_patches(psf: VectorialPSF) -> None:
    patches, slopes = psf.derivatives(torch.zeros(0, 3))
    assert patches.values.shape == (0, 15, 15)
    assert (patches.corner.shape, patches.encircled_energy.shape, slopes.shape) == (
        (0, 2),
        (0,),
        (0, 3, 15, 15),
    )


@pytest.mark.parametrize("molecules", KINDS.values(), ids=KINDS)
def test_a_focus_of_its_own_for_each_image_is_another_microscope(molecules: DipoleSpec) -> None:
    xyz, focus = places(0.05, 1.0), torch.tensor([0.4, 1.2], dtype=torch.float64)
    together = build(molecules)(xyz, focus_um=focus)
    for row, nfp in enumerate(focus.tolist()):
        moved = VectorialPSF(COARSE.with_(focus=nfp), lopsided(COARSE), molecules, patch_px=15, blur_px=0.9)
        alone = moved(xyz[row : row + 1]).values[0]
        torch.testing.assert_close(together.values[row], alone, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("size", "full"), [(57, 63), (58, 64), (61, 75), (60, 62)])
def test_a_mask_that_covers_less_than_the_pupil_is_flat_beyond(size: int, full: int) -> None:
    phase = torch.rand(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    edge = (full - size) // 2
    whole = torch.nn.functional.pad(phase, [edge] * 4)
    images = [
        VectorialPSF(COARSE, PixelMask(each), patch_px=15)(places(0.05)).values for each in (phase, whole)
    ]
    torch.testing.assert_close(images[0], images[1], rtol=0, atol=1e-14)


def test_the_mask_beyond_the_aperture_shapes_supercritical_light_only() -> None:
    axis = torch.arange(63, dtype=torch.float64) - 31
    rim = torch.hypot(axis[:, None], axis) * 72.0 * 2 / COARSE.pupil_diameter > 1.33 / 1.45
    phase = torch.zeros(63, 63, dtype=torch.float64)
    flat, shaped = PixelMask(phase), PixelMask(phase + 2.0 * rim)
    for on in (True, False):
        spec = DipoleSpec(supercritical=on)
        one, other = (
            VectorialPSF(COARSE, mask, spec, patch_px=15)(places(0.05)).values for mask in (flat, shaped)
        )
        assert (float((one - other).abs().max()) > 0.05 * float(one.max())) == on


def test_a_mask_that_does_not_cover_the_aperture_is_refused() -> None:
    with pytest.raises(InputError, match="50x50 px, but light reaches"):
        VectorialPSF(COARSE, PixelMask(torch.zeros(50, 50)), patch_px=15)


def test_a_patch_that_would_fold_is_refused() -> None:
    with pytest.raises(InputError, match=r"61 px .* 26 px after .* at most 13 px or pupil oversampling 5"):
        VectorialPSF(TINY, lopsided(TINY), patch_px=61)


def test_a_learnt_mask_receives_a_gradient() -> None:
    mask = PixelMask(torch.zeros(57, 57), learn=True)
    VectorialPSF(COARSE, mask, patch_px=11)(torch.tensor([[0.0, 0.0, 0.3]])).values[0, 5, 5].backward()
    assert mask.phase.grad is not None
    assert mask.phase.grad.abs().max() > 0


def test_each_kind_of_record_builds_its_own_psf() -> None:
    mask = TetrapodMask().build(COARSE)
    scalar = spec_from_mapping(ScalarPSFSpec, {"patch_px": 15, "blur_px": 1.0, "apodized": False})
    assert isinstance(build_psf(scalar, COARSE, mask), ScalarPSF)
    new = spec_from_mapping(VectorialPSFSpec, {"patch_px": 15, "polarizer": "x"})
    psf = build_psf(new, COARSE, mask)
    assert isinstance(psf, VectorialPSF)
    expected = VectorialPSF(COARSE, mask, DipoleSpec(polarizer="x"), patch_px=15, blur_px=1.0)
    assert torch.equal(psf(places(0.2)).values, expected(places(0.2)).values)
    with pytest.raises(InputError, match=r"polarizer.*'z'"):
        spec_from_mapping(VectorialPSFSpec, {"polarizer": "z"})


def test_aberrations_lie_on_top_of_the_mask() -> None:
    mask = TetrapodMask().build(COARSE)
    spec = VectorialPSFSpec(patch_px=15, blur_px=0.0, aberrations={5: 0.3, 7: -0.2})
    on_top = ZernikePhase(COARSE, [5, 7], torch.tensor([0.3, -0.2], dtype=torch.float64), base=mask)
    values = build_psf(spec, COARSE, mask)(places(0.2)).values
    torch.testing.assert_close(values, VectorialPSF(COARSE, on_top, patch_px=15)(places(0.2)).values)
    assert float((values - VectorialPSF(COARSE, mask, patch_px=15)(places(0.2)).values).abs().max()) > 1e-3


def test_a_table_of_the_vectorial_psf_is_exact_to_one_percent_down_to_the_coverslip() -> None:
    # Supercritical light fades within 0.1 µm, two planes of the table.
    spec = VectorialPSFSpec(patch_px=21, blur_px=1.0)
    mask = lopsided(COARSE)
    table = spec.tabulate(COARSE, mask, (0.0, 1.0), (1.0, 1.0))
    xyz = places(0.0, 0.013, 0.027, 0.06, 0.11, 0.33, 0.71, 0.95)
    exact, slopes = build_psf(spec, COARSE, mask).derivatives(xyz)
    near, tilted = table.derivatives(xyz.float())
    assert float((near.values - exact.values).abs().max()) < 0.01 * float(exact.values.max())
    assert float((tilted - slopes).abs().max()) < 0.05 * float(slopes.abs().max())


def test_supercritical_light_tells_depth_at_the_coverslip() -> None:
    # Its share in the image changes within 0.1 µm: the bound in z is smaller than without it.
    xyz = torch.tensor([[0.0, 0.0, 0.05]], dtype=torch.float64)
    photons, background = torch.full((1,), 3000.0).double(), torch.full((1,), 5.0).double()
    with_, without = (
        crlb(build(DipoleSpec(supercritical=on)), xyz, photons, background)[0, 2].item() for on in (True, False)
    )
    assert 0 < with_ < without
