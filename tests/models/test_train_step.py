"""The training step: its loss restated, its gradients' reach, resume, precision, schedules."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from faceloom.core import InputError
from faceloom.models import (
    FaceModel,
    Quick96Settings,
    SaehdSettings,
    SampleBatch,
    SampleNeeds,
    build_model,
    preferred_precision,
)
from faceloom.models.networks import Decoded
from faceloom.models.quick96 import quick96_losses
from faceloom.models.saehd.losses import rebuilding_losses, truth_of
from faceloom.nn import dssim, gaussian_blur
from faceloom.settings.models import MODEL_SETTINGS

TINY: dict[str, Any] = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16}


def face(side: int, size: int, hue: float, seed: int) -> SampleBatch:
    """`size` smooth pictures with a disc as face: easy to learn, different on both sides."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    shift = torch.rand(size, 2, 1, 1, generator=generator) * 0.2
    radius = ((x - shift[:, 0]) ** 2 + (y - shift[:, 1]) ** 2).sqrt()
    mask = (radius < 0.7).float()[:, None]
    bands = 0.5 + 0.3 * torch.sin(6 * x + hue + torch.arange(3.0)[:, None, None])
    target = (bands * (1 - 0.5 * radius[:, None].clamp(0, 1))).clamp(0, 1)
    return SampleBatch(target, target, mask, mask * (y < 0).float())


def tiny_model(archi: str = "df-ud", **options: Any) -> FaceModel:
    build = {key: options.pop(key) for key in ("precision", "seed") if key in options}
    return build_model("SAEHD", SaehdSettings(archi=archi, **TINY, **options), **build)


def random_decoded(side: int) -> tuple[Decoded, SampleBatch]:
    generator = torch.Generator().manual_seed(4)
    image, target = torch.rand(2, 2, 3, side, side, generator=generator)
    mask, predicted, eyes = torch.rand(3, 2, 1, side, side, generator=generator)
    return Decoded(image, predicted), SampleBatch(target, target, mask, eyes)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(("side", "windows"), [(128, (11,)), (256, (22, 11))])
def test_saehd_loss_restated(masked: bool, side: int, windows: tuple[int, ...]) -> None:
    decoded, batch = random_decoded(side)
    settings = SaehdSettings(resolution=side, masked_training=masked, eyes_mouth_prio=True)
    weight = (2 * gaussian_blur(batch.mask, side // 32)).clamp(0, 1) if masked else 1.0
    p, t, eyes = decoded.image, batch.target, batch.eyes_mouth
    assert eyes is not None
    structural = sum(10 / len(windows) * dssim(p * weight, t * weight, k).mean(1) for k in windows)
    axes = (1, 2, 3)
    expected = (
        structural
        + 10 * ((p * weight - t * weight) ** 2).mean(axes)
        + 10 * ((decoded.mask - batch.mask) ** 2).mean(axes)
        + 300 * (p * eyes - t * eyes).abs().mean(axes)
    )
    out = rebuilding_losses(decoded, truth_of(batch, settings))
    assert out.shape == (2,)
    assert torch.allclose(out, expected, rtol=1e-5)


def test_quick96_loss_restated() -> None:
    decoded, batch = random_decoded(96)
    weight = gaussian_blur(batch.mask, 3)
    p, t = decoded.image * weight, batch.target * weight
    expected = (
        10 * dssim(p, t, 8).mean(1)
        + 10 * ((p - t) ** 2).mean((1, 2, 3))
        + 10 * ((decoded.mask - batch.mask) ** 2).mean((1, 2, 3))
    )
    assert torch.allclose(quick96_losses(decoded, batch), expected, rtol=1e-5)


def test_masked_training_ignores_the_picture_far_outside() -> None:
    decoded, batch = random_decoded(128)
    mask = torch.zeros_like(batch.mask)
    mask[..., 40:90, 40:90] = 1
    image = decoded.image.clone().requires_grad_()
    batch = SampleBatch(batch.warped, batch.target, mask)
    losses = rebuilding_losses(Decoded(image, decoded.mask), truth_of(batch, SaehdSettings()))
    (gradient,) = torch.autograd.grad(losses.sum(), image)
    assert gradient[..., :20, :].abs().max() == 0
    assert gradient[..., 60, 60].abs().min() > 0


def test_missing_eyes_mask_is_an_error() -> None:
    model = tiny_model(eyes_mouth_prio=True)
    batch = face(64, 1, 0, 0)
    bare = SampleBatch(batch.warped, batch.target, batch.mask)
    with pytest.raises(InputError, match="eyes_mouth_prio"):
        model.train_step(bare, bare, iteration=0)
    with pytest.raises(InputError, match="64, 64"):
        model.predict(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("archi", "options"),
    [
        ("df-ud", {"eyes_mouth_prio": True, "blur_out_mask": True}),
        ("liae-udt", {"clipgrad": True}),
        ("liae", {"optimizer": "rmsprop", "masked_training": False}),
        ("df-dc", {"lr_dropout": "cpu", "learning_rate": 3e-4}),
        ("df-ud", {"precision": "bf16"}),
    ],
)
def test_a_tiny_model_learns(archi: str, options: dict[str, Any]) -> None:
    model = tiny_model(archi, **{"learning_rate": 1e-4, **options})
    src, dst = face(64, 2, 0.0, 1), face(64, 2, 2.0, 2)
    curve = [model.train_step(src, dst, iteration=i) for i in range(25)]
    for side in ("src", "dst"):
        assert not curve[0][side].requires_grad
        assert curve[-1][side].item() < 0.5 * curve[0][side].item(), side
    prediction = model.predict(dst.target)
    assert prediction.face.shape == (2, 3, 64, 64)
    assert prediction.mask_prd.shape == prediction.mask_dst.shape == (2, 1, 64, 64)
    for tensor in (prediction.face, prediction.mask_prd, prediction.mask_dst):
        assert tensor.dtype == torch.float32
        assert 0 <= tensor.min().item() <= tensor.max().item() <= 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("class_name", "options"),
    [
        ("SAEHD", {"archi": "df-ud", "eyes_mouth_prio": True, "gan_power": 0.1}),
        ("SAEHD", {"archi": "liae-ud", "face_style_power": 1.0, "bg_style_power": 1.0}),
        ("Quick96", {}),
        ("AMP", {"gan_power": 0.1}),
    ],
)
def test_losses_are_those_that_a_step_reports_and_change_nothing(
    class_name: str, options: dict[str, Any], precision: Any
) -> None:
    tiny = {**TINY, "inter_dims": 40} if class_name == "AMP" else TINY
    tiny = {} if class_name == "Quick96" else tiny
    settings = MODEL_SETTINGS[class_name](**{**tiny, **options})
    model: Any = build_model(class_name, settings, seed=2, precision=precision)
    side = settings.resolution
    src, dst = face(side, 2, 0.0, 1), face(side, 2, 2.0, 2)
    for iteration in (0, 1):
        before = copy.deepcopy([network.state_dict() for network in model.networks().values()])
        losses = model.losses(src, dst, iteration=iteration)
        assert losses.keys() == {"src", "dst"}
        assert not any(loss.requires_grad or loss.ndim for loss in losses.values())
        now = [network.state_dict() for network in model.networks().values()]
        for old, new in zip(before, now, strict=True):
            assert all(torch.equal(old[key], new[key]) for key in new)
        reported = model.train_step(src, dst, iteration=iteration)
        for name, loss in losses.items():
            assert loss.item() == pytest.approx(reported[name].item(), rel=1e-6)


def test_quick96_learns_and_its_schedule() -> None:
    model = build_model("Quick96", Quick96Settings(batch_size=1))
    src, dst = face(96, 1, 0.0, 1), face(96, 1, 2.0, 2)
    curve = [model.train_step(src, dst, iteration=i)["src"].item() for i in range(6)]
    assert curve[-1] < curve[0]
    needs = model.sample_needs
    assert [needs.repeats(i) for i in range(7)] == [False, False, False, True, False, False, True]
    assert [needs.draw_index(i) for i in range(8)] == [0, 1, 2, 2, 3, 4, 4, 5]
    assert torch.equal(src.unwarped().warped, src.target)


def test_needs_follow_the_settings() -> None:
    needs = tiny_model(
        random_warp=False, random_src_flip=True, eyes_mouth_prio=True, uniform_yaw=True
    ).sample_needs
    assert needs == SampleNeeds(
        resolution=64,
        batch_size=4,
        warp=False,
        src_flip=True,
        dst_flip=True,
        eyes_mouth=True,
        scale_range=0.15,
        uniform_yaw=True,
    )
    assert [needs.draw_index(i) for i in range(4)] == [0, 1, 2, 3]
    assert not needs.repeats(3)


def weights(model: FaceModel) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.detach().clone()
        for name, network in model.networks().items()
        for key, value in network.state_dict().items()
    }


def changed_networks(model: FaceModel) -> set[str]:
    before = weights(model)
    model.train_step(face(64, 1, 0, 1), face(64, 1, 2, 2), iteration=0)
    return {
        key.split(".")[0] for key, value in weights(model).items() if (value != before[key]).any()
    }


def test_inter_ab_rests_without_random_warp() -> None:
    everything = {"encoder", "inter_AB", "inter_B", "decoder"}
    assert changed_networks(tiny_model("liae-ud")) == everything
    resting = tiny_model("liae-ud", random_warp=False)
    assert changed_networks(resting) == everything - {"inter_AB"}
    slots = resting.optimizers()["src_dst_opt"].state_dict()["state"]
    assert len(slots) == len(weights(resting))
    df = changed_networks(tiny_model("df", random_warp=False))
    assert df == {"encoder", "inter", "decoder_src", "decoder_dst"}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resume_is_exact(precision: str) -> None:
    options: dict[str, Any] = {"precision": precision, "lr_dropout": "y", "clipgrad": True}
    src, dst = face(64, 2, 0, 1), face(64, 2, 2, 2)
    straight = tiny_model(**options, seed=5)
    for i in range(4):
        expected = straight.train_step(src, dst, iteration=i)
    first = tiny_model(**options, seed=5)
    for i in range(2):
        first.train_step(src, dst, iteration=i)
    second = tiny_model(**options, seed=5)
    for name, network in first.networks().items():
        rows = {k: v.contiguous() for k, v in network.state_dict().items()}
        second.networks()[name].load_state_dict(rows)
    for name, optimizer in first.optimizers().items():
        second.optimizers()[name].load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for i in range(2, 4):
        out = second.train_step(src, dst, iteration=i)
    assert {k: v.item() for k, v in out.items()} == {k: v.item() for k, v in expected.items()}
    resumed = weights(second)
    for key, value in weights(straight).items():
        assert torch.equal(value, resumed[key]), key


def test_seed_decides_the_weights_and_nothing_else_is_drawn_from() -> None:
    state = torch.get_rng_state()
    one, same, other = (weights(tiny_model(seed=seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(torch.get_rng_state(), state)


def test_bf16_stays_close_to_fp32() -> None:
    src, dst = face(64, 2, 0, 1), face(64, 2, 2, 2)
    exact, fast = tiny_model("liae-ud"), tiny_model("liae-ud", precision="bf16")
    one = exact.train_step(src, dst, iteration=0)
    two = fast.train_step(src, dst, iteration=0)
    assert one["src"].item() == pytest.approx(two["src"].item(), rel=5e-3)
    gradients = [
        torch.cat([p.grad.flatten() for net in m.networks().values() for p in net.parameters()])
        for m in (exact, fast)
    ]
    assert F.cosine_similarity(*gradients, dim=0).item() > 0.99
    difference = exact.predict(dst.target).face - fast.predict(dst.target).face
    assert difference.abs().mean().item() < 0.02
    assert all(p.dtype == torch.float32 for n in fast.networks().values() for p in n.parameters())


def test_gradient_is_of_the_sum_over_the_batch() -> None:
    one, two = tiny_model(), tiny_model()
    src, dst = face(64, 1, 0, 1), face(64, 1, 2, 2)
    doubled = [SampleBatch(*(torch.cat([t, t]) for t in vars(b).values())) for b in (src, dst)]
    loss = one.train_step(src, dst, iteration=0)
    twice = two.train_step(*doubled, iteration=0)
    assert loss["src"].item() == pytest.approx(twice["src"].item(), rel=1e-5)
    norms = [
        math.sqrt(sum(p.grad.square().sum().item() for p in m.networks()["encoder"].parameters()))
        for m in (one, two)
    ]
    assert norms[1] == pytest.approx(2 * norms[0], rel=1e-3)


def test_reconstruct_is_consistent_with_predict() -> None:
    model = tiny_model("liae-udtc")
    src, dst = face(64, 3, 0, 1).target, face(64, 2, 2, 2).target
    rebuilt, predicted = model.reconstruct(src, dst), model.predict(dst)
    assert rebuilt.src_src.shape == (3, 3, 64, 64)
    assert rebuilt.dst_dst.shape == (2, 3, 64, 64)
    assert torch.allclose(rebuilt.src_dst, predicted.face, atol=1e-6)
    assert torch.allclose(rebuilt.src_dst_mask, predicted.mask_prd, atol=1e-6)
    assert torch.allclose(rebuilt.dst_dst_mask, predicted.mask_dst, atol=1e-6)
    assert rebuilt.src_src_mask.shape == (3, 1, 64, 64)


def test_preferred_precision_is_one_of_two() -> None:
    assert preferred_precision("cpu") in ("fp32", "bf16")
    assert preferred_precision("mps") == "fp32"
