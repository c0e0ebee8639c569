"""AMP: its networks, its mixing of channels, its losses restated, what it trains, its resume
(docs/internals/networks.md)."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dfl_numpy import Oracle, Weights
from faceloom.core import InputError
from faceloom.core.config import validate
from faceloom.models import AmpSettings, SampleBatch, SampleNeeds, build_model
from faceloom.models.amp import model as amp_module
from faceloom.models.amp.losses import (
    Truth,
    dst_guard,
    fooling_losses,
    judging_losses,
    rebuilding_losses,
    src_guard,
)
from faceloom.models.amp.model import AmpModel, build_amp, drawn_channels
from faceloom.models.amp.network import AmpDims, AmpGraph
from faceloom.models.networks import Decoded
from faceloom.nn import blur_outside, dssim, gaussian_blur
from faceloom.settings.models import patch_step

INTER = 40
TINY: dict[str, Any] = {
    "resolution": 64,
    "ae_dims": 32,
    "inter_dims": INTER,
    "e_dims": 16,
    "d_dims": 16,
    "batch_size": 2,
    "train_inters": True,
}
FACES = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(9))


def tiny_model(seed: int = 5, *, precision: Any = "fp32", **options: Any) -> AmpModel:
    return build_amp(
        AmpSettings(**{**TINY, **options}),
        device=torch.device("cpu"),
        seed=seed,
        precision=precision,
    )


def face(size: int, hue: float, seed: int) -> SampleBatch:
    """`size` smooth pictures with a disc as face: easy to learn, different on both sides."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 64)] * 2, indexing="ij")
    shift = torch.rand(size, 2, 1, 1, generator=generator) * 0.2
    radius = ((x - shift[:, 0]) ** 2 + (y - shift[:, 1]) ** 2).sqrt()
    mask = (radius < 0.7).float()[:, None]
    bands = 0.5 + 0.3 * torch.sin(6 * x + hue + torch.arange(3.0)[:, None, None])
    target = (bands * (1 - 0.5 * radius[:, None].clamp(0, 1))).clamp(0, 1)
    return SampleBatch(target, target, mask, mask * (y < 0).float())


PAIR = face(2, 0.0, 1), face(2, 2.0, 2)
"""src and dst."""


def weights(model: AmpModel) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.detach().clone()
        for name, network in model.networks().items()
        for key, value in network.state_dict().items()
    }


def changed_networks(model: AmpModel) -> set[str]:
    before = weights(model)
    model.train_step(*PAIR, iteration=0)
    return {
        key.split(".")[0] for key, value in weights(model).items() if (value != before[key]).any()
    }


def test_parameter_counts_of_the_reference() -> None:
    with torch.device("meta"):
        graph = AmpGraph(AmpDims(resolution=224, ae=256, inter=1024, e=64, d=64, d_mask=22))
    counts = {
        name: sum(param.numel() for param in network.parameters())
        for name, network in graph.named_children()
    }
    assert counts == {
        "encoder": 22_076_928,
        "inter_src": 12_895_232,
        "inter_dst": 12_895_232,
        "decoder": 53_477_803,
    }
    assert sum(counts.values()) == 101_345_195


def test_parameter_counts_by_formula() -> None:
    def conv(k: int, i: int, o: int) -> int:
        return k * k * i * o + o

    def up(i: int, o: int) -> int:
        return conv(3, i, 4 * o)

    def res(c: int) -> int:
        return 2 * conv(3, c, c)

    r, ae, inter, e, d, dm = 96, 48, 72, 20, 18, 16
    side = r // 32
    encoder = conv(5, 3, e) + res(e) + conv(5, e, 2 * e) + conv(5, 2 * e, 4 * e)
    encoder += conv(5, 4 * e, 8 * e) + conv(5, 8 * e, 8 * e) + res(8 * e)
    encoder += 8 * e * side**2 * ae + ae
    dense2 = ae * side**2 * inter + side**2 * inter
    decoder = up(inter, 8 * d) + up(8 * d, 8 * d) + up(8 * d, 4 * d) + up(4 * d, 2 * d)
    decoder += 2 * res(8 * d) + res(4 * d) + res(2 * d) + conv(1, 2 * d, 3) + 3 * conv(3, 2 * d, 3)
    decoder += up(inter, 8 * dm) + up(8 * dm, 8 * dm) + up(8 * dm, 4 * dm) + up(4 * dm, 2 * dm)
    decoder += up(2 * dm, dm) + conv(1, dm, 1)
    with torch.device("meta"):
        graph = AmpGraph(AmpDims(r, ae, inter, e, d, dm))
    counts = [sum(p.numel() for p in network.parameters()) for network in graph.children()]
    assert counts == [encoder, dense2, dense2, decoder]


def test_exactly_so_many_channels_and_any_of_them() -> None:
    draws = [drawn_channels(8, 40, 13, seed=3, iteration=i) for i in range(60)]
    for draw in draws:
        assert draw.shape == (8, 40)
        assert (draw.sum(1) == 13).all()
    often = torch.cat(draws).float().mean(0)
    assert often.min() > 0  # every channel is reachable,
    assert (often - 13 / 40).abs().max() < 5 * (0.22 / 480) ** 0.5  # and as likely as the others
    assert (draws[0] != draws[0][:1]).any()  # samples differ
    assert any((draws[0] != draw).any() for draw in draws[1:])  # iterations differ
    assert torch.equal(draws[7], drawn_channels(8, 40, 13, seed=3, iteration=7))
    assert not torch.equal(draws[7], drawn_channels(8, 40, 13, seed=4, iteration=7))


def test_processes_share_one_draw() -> None:
    whole = drawn_channels(6, 33, 10, seed=1, iteration=2)
    parts = [drawn_channels(2, 33, 10, seed=1, iteration=2, first=k) for k in (0, 2, 4)]
    assert torch.equal(torch.cat(parts), whole)


def dfl_weights(network: nn.Module) -> Weights:
    """The network's weights with DFL's names and layouts, float64."""
    layouts = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
    return {
        f"{name.replace('.', '/')}:0": p.detach().double().numpy().transpose(layouts[p.ndim])
        for name, p in network.named_parameters()
    }


def restated(model: AmpModel, channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`FACES` swapped with the first so many channels from inter_src, in NumPy `b h w c`; last
    dst-dst's mask."""
    oracle = Oracle({"u", "d", "t"})
    nets = {name: dfl_weights(network) for name, network in model.networks().items()}
    vector = oracle.encoder(nets["encoder"], FACES.double().permute(0, 2, 3, 1).numpy())
    vector = vector @ nets["encoder"]["dense1/weight:0"] + nets["encoder"]["dense1/bias:0"]

    def code(name: str) -> np.ndarray:
        flat = vector @ nets[name]["dense2/weight:0"] + nets[name]["dense2/bias:0"]
        return flat.reshape(-1, INTER, 2, 2).transpose(0, 2, 3, 1)

    src, dst = code("inter_src"), code("inter_dst")
    image, mask = oracle.decoder(
        nets["decoder"], np.concatenate([src[..., :channels], dst[..., channels:]], -1)
    )
    return image, mask, oracle.decoder(nets["decoder"], dst)[1]


@pytest.mark.parametrize(("morph", "channels"), [(0.0, 0), (0.33, 13), (0.5, 20), (1.0, 40)])
def test_swap_agrees_with_numpy(morph: float, channels: int) -> None:
    model = tiny_model()
    made = model.predict(FACES, morph=morph)
    parts = (made.face, made.mask_prd, made.mask_dst)
    for ours, theirs in zip(parts, restated(model, channels), strict=True):
        assert ours.dtype == torch.float32
        np.testing.assert_allclose(ours.permute(0, 2, 3, 1).numpy(), theirs, atol=1e-5)


def test_names_are_those_of_the_reference() -> None:
    names = {name: set(net.state_dict()) for name, net in tiny_model().networks().items()}
    assert set(names) == {"encoder", "inter_src", "inter_dst", "decoder"}
    assert names["inter_src"] == names["inter_dst"] == {"dense2.weight", "dense2.bias"}
    convs = {"down1.conv1", "res1.conv1", "res1.conv2", "res5.conv1", "res5.conv2", "dense1"}
    convs |= {f"down{i}.conv1" for i in range(2, 6)}
    assert {re.sub(r"\.(weight|bias)$", "", name) for name in names["encoder"]} == convs


def test_morph_0_is_dst_itself() -> None:
    model = tiny_model()
    rebuilt = model.reconstruct(FACES, FACES, morph=0.0)
    assert torch.equal(rebuilt.src_dst_mask, model.predict(FACES, morph=0.0).mask_prd)
    assert torch.allclose(rebuilt.src_dst, rebuilt.dst_dst, atol=1e-6)
    nets = model.networks()
    with torch.no_grad():
        image, mask = nets["decoder"](nets["inter_dst"](nets["encoder"](FACES)))
    swapped = model.predict(FACES, morph=0.0)
    assert torch.equal(swapped.face, image)
    assert torch.equal(swapped.mask_prd, mask)
    assert torch.equal(swapped.mask_dst, mask)
    assert not torch.allclose(model.predict(FACES, morph=1.0).face, image, atol=1e-3)


def test_src_is_rebuilt_from_both_inters() -> None:
    model = tiny_model(morph_factor=0.25)
    rebuilt = model.reconstruct(FACES, FACES)
    # src-src mixes a quarter of the channels, as a swap of the same face by that much does.
    assert torch.allclose(rebuilt.src_src, model.predict(FACES, morph=0.25).face, atol=1e-6)
    assert torch.allclose(rebuilt.src_dst, model.predict(FACES, morph=1.0).face, atol=1e-6)


@pytest.mark.parametrize("morph", [-0.1, 1.01])
def test_morph_out_of_range(morph: float) -> None:
    with pytest.raises(InputError, match="morph"):
        tiny_model().predict(FACES, morph=morph)


def random_case(side: int) -> tuple[Decoded, Truth]:
    generator = torch.Generator().manual_seed(4)
    image, target = torch.rand(2, 2, 3, side, side, generator=generator)
    mask, made, eyes = torch.rand(3, 2, 1, side, side, generator=generator)
    weight = (2 * gaussian_blur(mask, side // 32)).clamp(0, 1)
    return Decoded(image, made), Truth(target, mask, eyes, weight)


@pytest.mark.parametrize(("side", "windows"), [(64, (5, 2)), (224, (19, 9))])
def test_rebuilding_losses_restated(side: int, windows: tuple[int, int]) -> None:
    made, truth = random_case(side)
    p, t, w, axes = made.image, truth.image, truth.weight, (1, 2, 3)
    expected = (
        5 * dssim(p * w, t * w, windows[0]).mean(1)
        + 5 * dssim(p * w, t * w, windows[1]).mean(1)
        + 10 * ((p - t) * w).square().mean(axes)
        + 300 * ((p - t) * truth.eyes_mouth).abs().mean(axes)
        + 10 * (made.mask - truth.mask).square().mean(axes)
    )
    assert torch.allclose(rebuilding_losses(made, truth), expected, rtol=1e-5)


def total_variation(x: np.ndarray) -> np.ndarray:
    return np.array([sum((np.diff(s, axis=a) ** 2).sum() for a in (1, 2)) for s in x])


def test_guards_restated() -> None:
    made, truth = random_case(64)
    p, t, w = (x.double().numpy() for x in (made.image, truth.image, truth.weight))
    away = (((p - t) * (1 - w)) ** 2).mean((1, 2, 3))
    of_dst = 0.1 * away + 1e-6 * total_variation(p * (1 - w))
    of_src = 0.02 * away + 1e-6 * total_variation(p)
    np.testing.assert_allclose(dst_guard(made.image, truth).numpy(), of_dst, rtol=1e-5)
    np.testing.assert_allclose(src_guard(made.image, truth).numpy(), of_src, rtol=1e-5)


def entropy(logits: torch.Tensor, target: int) -> np.ndarray:
    x = logits.double().numpy()
    return np.logaddexp(0, -x if target else x).reshape(len(x), -1).mean(1)


def test_adversarial_losses_restated() -> None:
    generator = torch.Generator().manual_seed(6)
    real, made = (
        (
            torch.randn(4, 1, 8, 8, generator=generator),
            torch.randn(4, 1, 64, 64, generator=generator),
        )
        for _ in range(2)
    )
    fooling = entropy(made[0], 1) + entropy(made[1], 1)
    judging = fooling * 0
    for k in (0, 1):
        judging = judging + (entropy(real[k], 1) + entropy(made[k], 0)) / 8
    np.testing.assert_allclose(fooling_losses(made).numpy(), fooling, rtol=1e-5)
    np.testing.assert_allclose(judging_losses(real, made).numpy(), judging, rtol=1e-5)


@pytest.mark.parametrize("gan_power", [0.0, 0.3])
def test_a_step_descends_all_terms(gan_power: float) -> None:
    """The step's gradient is that of the terms put together by hand, sum over the batch."""
    options: dict[str, Any] = {"gan_power": gan_power, "blur_out_mask": gan_power > 0}
    model, twin = (tiny_model(**options) for _ in range(2))
    reported = model.train_step(*PAIR, iteration=3)
    src, dst = PAIR
    nets = twin.networks()
    vectors = nets["encoder"](torch.cat([src.warped, dst.warped]))
    of_dst, of_src = nets["inter_dst"](vectors), nets["inter_src"](vectors)
    b = drawn_channels(2, INTER, 20, seed=5, iteration=3).float()[..., None, None]
    code = torch.cat([b * of_src[:2] + (1 - b) * of_dst[:2], of_dst[2:]])
    image, mask = nets["decoder"](code)
    masks = torch.cat([src.mask, dst.mask])
    weight = (2 * gaussian_blur(masks, 2)).clamp(0, 1)
    assert src.eyes_mouth is not None and dst.eyes_mouth is not None
    eyes = torch.cat([src.eyes_mouth, dst.eyes_mouth])
    target = torch.cat([src.target, dst.target])
    if gan_power:
        target = blur_outside(target, masks)
    truth = Truth(target, masks, eyes, weight)
    losses = rebuilding_losses(Decoded(image, mask), truth)
    total = losses.sum() + dst_guard(image[2:], truth.of(slice(2, 4))).sum()
    if gan_power:
        total = total + gan_power * fooling_losses(nets["GAN"](image * weight)).sum()
        total = total + src_guard(image[:2], truth.of(slice(2))).sum()
    total.backward()
    assert reported["src"].item() == pytest.approx(losses[:2].mean().item(), rel=1e-5)
    assert reported["dst"].item() == pytest.approx(losses[2:].mean().item(), rel=1e-5)
    for name in ("encoder", "inter_src", "inter_dst", "decoder"):
        pairs = zip(model.networks()[name].parameters(), nets[name].parameters(), strict=True)
        for ours, theirs in pairs:
            assert ours.grad is not None and theirs.grad is not None
            assert torch.allclose(
                ours.grad, theirs.grad, rtol=1e-3, atol=1e-4 * theirs.grad.abs().max().item() + 1e-7
            )
    if gan_power:
        judge = nets["GAN"]
        judge.zero_grad()
        real, made = truth.image * weight, (image * weight).detach()
        judging_losses(judge(real), judge(made)).sum().backward()
        for ours, theirs in zip(
            model.networks()["GAN"].parameters(), judge.parameters(), strict=True
        ):
            assert ours.grad is not None and theirs.grad is not None
            assert torch.allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_resting_inters_stay_as_they_are() -> None:
    everything = {"encoder", "inter_src", "inter_dst", "decoder"}
    assert changed_networks(tiny_model(train_inters=True)) == everything
    resting = tiny_model(train_inters=False)
    assert changed_networks(resting) == {"encoder", "decoder"}
    kept = len(resting.optimizers()["src_dst_opt"].state)
    assert kept == sum(name.startswith(("encoder", "decoder")) for name in weights(resting))
    assert changed_networks(tiny_model(train_inters=False, gan_power=0.1)) == {
        "encoder",
        "decoder",
        "GAN",
    }


@pytest.mark.parametrize(
    "options",
    [
        {"blur_out_mask": True, "train_inters": False},
        {"clipgrad": True, "precision": "bf16", "gan_power": 0.1, "models_opt_on_gpu": False},
        {"lr_dropout": "cpu", "learning_rate": 5e-4},
    ],
)
def test_a_tiny_model_learns(options: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"learning_rate": 2e-4, **options}
    model = tiny_model(**settings)
    curve = [model.train_step(*PAIR, iteration=i) for i in range(12)]
    for side in ("src", "dst"):
        assert not curve[0][side].requires_grad
        assert curve[-1][side].item() < 0.8 * curve[0][side].item(), side


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resume_is_exact(precision: str) -> None:
    options: dict[str, Any] = {"gan_power": 0.1, "lr_dropout": "y", "precision": precision}
    straight = tiny_model(**options)
    expected = [straight.train_step(*PAIR, iteration=i) for i in range(3)][-1]
    first, second = tiny_model(**options), tiny_model(**options)
    first.train_step(*PAIR, iteration=0)
    for name, network in first.networks().items():
        rows = {key: value.contiguous() for key, value in network.state_dict().items()}
        second.networks()[name].load_state_dict(rows)
    for name, optimizer in first.optimizers().items():
        second.optimizers()[name].load_state_dict(copy.deepcopy(optimizer.state_dict()))
    out = [second.train_step(*PAIR, iteration=i) for i in (1, 2)][-1]
    assert {key: value.item() for key, value in out.items()} == {
        key: value.item() for key, value in expected.items()
    }
    resumed = weights(second)
    for key, value in weights(straight).items():
        assert torch.equal(value, resumed[key]), key


def test_seed_decides_the_weights_and_the_discriminator_leaves_them_alone() -> None:
    state = torch.get_rng_state()
    one, same, other = (weights(tiny_model(seed)) for seed in (1, 1, 2))
    judged = weights(tiny_model(1, gan_power=0.1))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert all(torch.equal(one[key], judged[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_step_is_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling finds no place where Python would have to take over, and changes nothing."""

    def whole(_device: torch.device, function: Any) -> Any:
        return torch.compile(function, fullgraph=True, backend="eager")

    monkeypatch.setattr(amp_module, "compiled_for", whole)
    settings = AmpSettings(**TINY, gan_power=0.1, blur_out_mask=True)
    plain, compiled = (
        build_amp(settings, device=torch.device("cpu"), seed=1, precision="fp32", compiled=compiled)
        for compiled in (False, True)
    )
    for i in range(2):
        ours, theirs = (model.train_step(*PAIR, iteration=i) for model in (plain, compiled))
        for side in ("src", "dst"):
            assert ours[side].item() == pytest.approx(theirs[side].item(), rel=1e-5)


def test_checkpointing_changes_no_gradient() -> None:
    plain, spare = tiny_model(), tiny_model(checkpointing=True)
    for model in (plain, spare):
        model.train_step(*PAIR, iteration=0)
    for key, value in weights(plain).items():
        assert torch.equal(value, weights(spare)[key]), key


def test_needs_and_names() -> None:
    model = tiny_model(random_warp=False, uniform_yaw=True, ct_mode="rct", ct_statistics="whole")
    assert model.sample_needs == SampleNeeds(
        resolution=64,
        batch_size=2,
        warp=False,
        src_flip=False,
        dst_flip=True,
        eyes_mouth=True,
        scale_range=0.15,
        uniform_yaw=True,
        ct_mode="rct",
        ct_statistics="whole",
    )
    assert model.class_name == "AMP"
    assert model.optional_networks == frozenset()
    judged = build_model("AMP", AmpSettings(**TINY, gan_power=1))
    assert judged.optional_networks == {"GAN"}
    assert set(judged.optimizers()) == {"src_dst_opt", "GAN_opt"}
    src, dst = PAIR
    with pytest.raises(InputError, match="no eyes_mouth mask"):
        model.train_step(SampleBatch(src.warped, src.target, src.mask), dst, iteration=0)
    with pytest.raises(InputError, match="64, 64"):
        model.predict(torch.zeros(1, 3, 32, 32))


def test_defaults_are_the_references() -> None:
    settings = AmpSettings()
    assert (settings.resolution, settings.face_type, settings.batch_size) == (224, "whole_face", 8)
    assert (settings.ae_dims, settings.inter_dims, settings.morph_factor) == (256, 1024, 0.5)
    assert (settings.e_dims, settings.d_dims, settings.mask_dims) == (64, 64, 22)
    assert (settings.patch_size, settings.gan_dims, settings.gan_power) == (28, 16, 0)
    assert settings.learning_rate == 5e-5
    assert not settings.train_inters


def test_the_default_patch_fits_every_resolution() -> None:
    for resolution in range(64, 641, 32):
        settings = AmpSettings(resolution=resolution, gan_power=0.1)
        assert resolution % patch_step(settings.patch_size) == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"resolution": 112}, "halves the picture five times: use 96 or 128"),
        ({"resolution": 650}, "at most 640"),
        ({"face_type": "h"}, "full_face, whole_face, head, not half_face"),
        ({"face_type": "mf"}, "not midfull_face"),
        ({"inter_dims": 4096}, "at most 2048"),
        ({"morph_factor": 0.6}, "at most 0.5"),
        ({"morph_factor": 0.05}, "at least 0.1"),
        ({"e_dims": 33}, "e_dims 33 is odd.*use 34"),
        ({"pretrain": True}, "does not pretrain.*no two sides"),
        ({"gan_power": 0.1, "gan_patch_size": 126}, "gan_patch_size 126"),
        ({"optimizer": "rmsprop"}, "unknown setting 'optimizer'"),
        ({"masked_training": False}, "unknown setting 'masked_training'"),
    ],
)
def test_illegal_settings_say_why(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        validate(AmpSettings, values, where="test")
