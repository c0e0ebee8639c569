"""Every term of SAEHD's losses against a restatement, and where its gradient goes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import saehd_oracle as oracle
from faceloom.models import FaceModel, SaehdSettings, SampleBatch, build_model
from faceloom.models.networks import Decoded
from faceloom.models.pair import PairModel, StepLosses
from faceloom.models.saehd import identity as identity_module
from faceloom.models.saehd import perceptual as perceptual_module
from faceloom.models.saehd.losses import (
    SaehdObjective,
    background_guard,
    background_style_loss,
    face_style_loss,
)
from faceloom.nn import style_loss

SIDE = 64
TINY: dict[str, Any] = {
    "resolution": SIDE,
    "ae_dims": 32,
    "e_dims": 16,
    "d_dims": 16,
    "gan_dims": 4,
}


def waves(phase: float) -> Tensor:
    """Appendix A's two test pictures, `2 3 64 64`."""
    n, h, w, c = np.ogrid[:2, :SIDE, :SIDE, :3]
    x = 0.5 + 0.5 * np.sin(0.1 * h + 0.23 * w * (c + 1) + 0.7 * n + phase)
    return torch.from_numpy(x.astype(np.float32)).permute(0, 3, 1, 2)


def test_style_golden() -> None:
    out = style_loss(waves(0), waves(0.3), 8, 100.0)
    assert out.tolist() == pytest.approx([9.4431e-6, 2.07197e-5], rel=0.01)


def test_style_agrees_with_numpy_and_is_flat_where_there_is_no_spread() -> None:
    x, y = torch.rand(2, 3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    y = y * 0.3
    expected = oracle.style(x.double().numpy(), y.double().numpy(), 8, 7.0)
    assert style_loss(x, y, 8, 7.0).numpy() == pytest.approx(expected, rel=1e-4)
    black = torch.zeros(1, 3, SIDE, SIDE, requires_grad=True)
    style_loss(black, y[:1], 8, 1.0).sum().backward()
    assert black.grad is not None
    assert black.grad.isfinite().all()


def batch(seed: int, size: int = 2) -> SampleBatch:
    generator = torch.Generator().manual_seed(seed)
    warped, target = torch.rand(2, size, 3, SIDE, SIDE, generator=generator)
    mask, eyes_mouth = torch.zeros(2, size, 1, SIDE, SIDE)
    mask[..., 10:50, 15 + seed : 45 + seed] = 1
    eyes_mouth[..., 20:30, 20:40] = 1
    return SampleBatch(warped, target, mask, eyes_mouth)


class Recognised(nn.Module):
    """A stand-in for SFace: unit vectors of coarse colours."""

    def embed(self, faces: Tensor) -> Tensor:
        return F.normalize(F.avg_pool2d(faces - 0.5, 16).flatten(1))


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of the two judges with weights of their own were asked for."""
    asked: list[str] = []

    def load_perceptual(device: torch.device) -> Any:
        asked.append(f"perceptual {device}")
        return lambda x, y: (x - y).abs().mean((1, 2, 3))

    def load_identity(device: torch.device, *, face_type: str, resolution: int) -> Recognised:
        asked.append(f"identity {device} {face_type} {resolution}")
        return Recognised()

    monkeypatch.setattr(perceptual_module, "load_perceptual", load_perceptual)
    monkeypatch.setattr(identity_module, "load_identity", load_identity)
    return asked


def build(archi: str = "df-ud", **options: Any) -> PairModel:
    model = build_model("SAEHD", SaehdSettings(archi=archi, **TINY, **options), seed=3)
    assert isinstance(model, PairModel)
    return model


def losses_of(model: PairModel, src: SampleBatch, dst: SampleBatch) -> StepLosses:
    return model._step_losses()(model._graph, src, dst)


def numpy(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().double().numpy() for tensor in tensors]


def restated(model: PairModel, src: SampleBatch, dst: SampleBatch) -> tuple[Any, Any, Any]:
    """src's and dst's reported losses and what is not reported, each `b`, by the oracle."""
    settings = model.settings
    assert isinstance(settings, SaehdSettings)
    graph, size = model._graph, len(src.target)
    codes = graph.encode(src.warped, dst.warped)
    made = graph.decode(codes)
    swap, swap_mask = numpy(*graph.decode_swap(codes.swap))
    (ps, pd), (pms, pmd) = (np.split(x, [size]) for x in numpy(made.image, made.mask))
    ts, ms, es = numpy(src.target, src.mask, src.eyes_mouth)
    td, md, ed = numpy(dst.target, dst.mask, dst.eyes_mouth)
    if settings.blur_out_mask:
        ts, td = oracle.blurred_outside(ts, ms), oracle.blurred_outside(td, md)
    ws, wd = (oracle.weight(m) if settings.masked_training else 1.0 for m in (ms, md))
    if not settings.eyes_mouth_prio:
        es = ed = None
    of_src = oracle.rebuilding(ps, ts, pms, ms, es, ws)
    of_dst = oracle.rebuilding(pd, td, pmd, md, ed, wd)
    power = settings.face_style_power
    of_src += oracle.style(swap * swap_mask, pd * pmd, SIDE // 8, 10_000 * power / 100)
    q = settings.bg_style_power / 100
    of_src += oracle.background_style(swap, td, swap_mask, pmd, q)
    of_src += settings.perceptual_power * np.abs(ts * ws - ps * ws).mean((1, 2, 3))
    of_dst += settings.perceptual_power * np.abs(td * wd - pd * wd).mean((1, 2, 3))
    if settings.identity_power:
        eps, ets, esw = (Recognised().embed(torch.from_numpy(x)).numpy() for x in (ps, ts, swap))
        unlike = 2 - oracle.cosine(eps, ets) - oracle.cosine(esw, ets.mean(0))
        of_src += settings.identity_power * unlike
    hidden = np.zeros(size)
    if settings.gan_power:
        seen = torch.from_numpy((ps * ws).astype(np.float32))
        for logits in numpy(*model.networks()["GAN"](seen)):
            hidden += settings.gan_power * oracle.cross_entropy(logits, 1)
        if settings.masked_training:
            assert not isinstance(ws, float)
            hidden += oracle.guard(ps, ts, ws)
    if settings.true_face_power:
        (logits,) = numpy(model.networks()["code_discriminator"](codes.src))
        hidden += settings.true_face_power * oracle.cross_entropy(logits, 1)
    return of_src, of_dst, hidden


@pytest.mark.parametrize(
    ("archi", "options"),
    [
        ("df-ud", {"eyes_mouth_prio": True, "blur_out_mask": True}),
        ("df", {"face_style_power": 2.0}),
        ("liae-udt", {"bg_style_power": 50.0, "face_style_power": 1.0}),
        ("liae", {"bg_style_power": 50.0, "masked_training": False}),
        ("df-t", {"true_face_power": 0.5}),
        ("liae-ud", {"gan_power": 0.7}),
        ("df-ud", {"gan_power": 0.7, "gan_patch_size": 30, "masked_training": False}),
        ("df-ud", {"gan_power": 0.7, "blur_out_mask": True, "true_face_power": 0.3}),
        ("df-ud", {"perceptual_power": 3.0}),
        ("liae-ud", {"identity_power": 2.0, "masked_training": False}),
    ],
)
def test_losses_restated(archi: str, options: dict[str, Any]) -> None:
    model, src, dst = build(archi, **options), batch(1), batch(4)
    of_src, of_dst, hidden = restated(model, src, dst)
    losses = losses_of(model, src, dst)
    assert losses.src.numpy() == pytest.approx(of_src, rel=2e-5)
    assert losses.dst.numpy() == pytest.approx(of_dst, rel=2e-5)
    total = of_src.sum() + of_dst.sum() + hidden.sum()
    assert losses.total.item() == pytest.approx(total, rel=2e-5)
    # What is reported leaves the adversarial part out.
    reported = model.train_step(src, dst, iteration=0)
    assert reported["src"].item() == pytest.approx(of_src.mean(), rel=2e-5)
    assert reported["dst"].item() == pytest.approx(of_dst.mean(), rel=2e-5)


def test_losses_sum_over_the_batch() -> None:
    model = build(face_style_power=1.0, bg_style_power=9.0, gan_power=0.1, true_face_power=0.1)
    one, other = batch(1, 1), batch(4, 1)
    twice = [SampleBatch(*(torch.cat([t, t]) for t in vars(b).values())) for b in (one, other)]
    single = losses_of(model, one, other)
    double = losses_of(model, twice[0], twice[1])
    assert double.total.item() == pytest.approx(2 * single.total.item(), rel=1e-5)
    assert torch.allclose(double.src, single.src.repeat(2), rtol=1e-5)


def test_terms_that_a_new_model_hardly_has_restated() -> None:
    generator = torch.Generator().manual_seed(8)
    swap, image, target = torch.rand(3, 2, 3, SIDE, SIDE, generator=generator)
    swap_mask, mask = torch.rand(2, 2, 1, SIDE, SIDE, generator=generator)
    made = Decoded(image * 0.5, mask)
    s, sm, p, m, t = numpy(swap, swap_mask, made.image, mask, target)
    style = face_style_loss(swap, swap_mask, made, 0.3)
    assert style.numpy() == pytest.approx(oracle.style(s * sm, p * m, 8, 30.0), rel=1e-4)
    around = background_style_loss(swap, swap_mask, made, target, 40.0)
    expected = oracle.background_style(s, t, sm, m, 0.4)
    assert around.numpy() == pytest.approx(expected, rel=1e-4)
    guard = background_guard(swap, target, mask)
    assert guard.numpy() == pytest.approx(oracle.guard(s, t, m), rel=1e-5)


def gradients(model: PairModel, losses: StepLosses) -> dict[str, list[Tensor]]:
    """By network; what a network does not get is zero."""
    networks = {name: list(net.parameters()) for name, net in model.networks().items()}
    flat = [param for params in networks.values() for param in params]
    found = iter(torch.autograd.grad(losses.total, flat, materialize_grads=True))
    return {name: [next(found) for _ in params] for name, params in networks.items()}


def moved_by(archi: str, **options: Any) -> set[str]:
    """The networks whose gradients a term changes."""
    found: list[dict[str, list[Tensor]]] = []
    for extra in ({}, options):
        model = build(archi, **extra)
        found.append(gradients(model, losses_of(model, batch(1), batch(4))))
    plain, styled = found
    return {
        name
        for name, params in plain.items()
        if any(not torch.equal(a, b) for a, b in zip(params, styled[name], strict=True))
    }


def test_where_the_styles_gradients_go() -> None:
    assert moved_by("df-ud", face_style_power=5.0) == {"decoder_src"}
    assert moved_by("liae-ud", face_style_power=5.0) == {"decoder"}
    assert moved_by("df-ud", bg_style_power=5.0) == {"encoder", "inter", "decoder_src"}
    everything_but_dst = {"encoder", "inter_AB", "decoder"}
    assert moved_by("liae-ud", bg_style_power=5.0) == everything_but_dst
    assert moved_by("df-ud", true_face_power=0.5) == {"encoder", "inter"}


def test_identity_of_the_swap_teaches_the_decoder_alone() -> None:
    model = build("df-ud", identity_power=5.0)
    objective = model._spec.make_objective()
    assert isinstance(objective, SaehdObjective)
    calls: list[Tensor] = []
    decode = model._graph.decode_swap
    model._graph.decode_swap = lambda code: calls.append(code) or decode(code)  # type: ignore[method-assign]
    objective(model._graph, batch(1), batch(4))
    assert [code.requires_grad for code in calls] == [False]


def test_the_generators_step_leaves_the_discriminators_and_the_reverse() -> None:
    model = build("df-ud", gan_power=0.5, true_face_power=0.5)
    judges = {"GAN", "code_discriminator"}
    losses = losses_of(model, batch(1), batch(4))
    for name, params in gradients(model, losses).items():
        assert (name in judges) == all(not g.any() for g in params), name
    own = {name: model._judging(name, evidence) for name, evidence in losses.seen.items()}
    for judge, loss in own.items():
        found = gradients(model, losses._replace(total=loss))
        assert {name for name, g in found.items() if any(x.any() for x in g)} == {judge}


def test_the_discriminators_learn_from_what_the_step_made_before_its_update() -> None:
    model = build("df-ud", gan_power=0.5, true_face_power=0.5, blur_out_mask=True)
    before = copy.deepcopy(dict(model.networks()))
    src, dst = batch(1), batch(4)
    with torch.no_grad():
        codes = model._graph.encode(src.warped, dst.warped)
        fake = model._graph.decode(codes).image[:2]
    model.train_step(src, dst, iteration=0)

    (target, mask) = numpy(src.target, src.mask)
    w = torch.from_numpy(oracle.weight(mask)).float()
    real = torch.from_numpy(oracle.blurred_outside(target, mask)).float() * w
    expected = torch.zeros(())
    for true, false in zip(before["GAN"](real), before["GAN"](fake * w), strict=True):
        for logits, truth in ((true, 1.0), (false, 0.0)):
            truths = torch.full_like(logits, truth)
            error = F.binary_cross_entropy_with_logits(logits, truths, reduction="none")
            expected = expected + 0.5 * error.mean((1, 2, 3)).sum()
    # src's codes are the false ones: they shall become like dst's.
    for code, truth in ((codes.dst, 1.0), (codes.src, 0.0)):
        logits = before["code_discriminator"](code)
        error = F.binary_cross_entropy_with_logits(
            logits, torch.full_like(logits, truth), reduction="none"
        )
        expected = expected + 0.5 * error.mean((1, 2, 3)).sum()
    expected.backward()
    for name in ("GAN", "code_discriminator"):
        after = dict(model.networks()[name].named_parameters())
        for key, param in before[name].named_parameters():
            assert param.grad is not None
            assert torch.allclose(after[key].grad, param.grad, rtol=1e-3, atol=1e-6), key
            assert not torch.equal(after[key], param), f"{name}.{key} has not moved"


def norms(model: FaceModel) -> dict[str, float]:
    return {
        name: sum(value.double().norm().item() for value in network.state_dict().values())
        for name, network in model.networks().items()
    }


def test_a_discriminator_changes_neither_the_start_nor_the_size_of_the_rest() -> None:
    plain, judged = norms(build()), norms(build(gan_power=0.1, true_face_power=0.1))
    assert plain.items() < judged.items()


def test_judges_with_weights_are_loaded_for_training_alone(loaded: list[str]) -> None:
    model = build("df-ud", perceptual_power=0.1, identity_power=0.1, face_type="whole_face")
    model.predict(batch(1).target)
    assert loaded == []
    for i in range(2):
        model.train_step(batch(1), batch(4), iteration=i)
    assert loaded == ["perceptual cpu", "identity cpu whole_face 64"]
    build().train_step(batch(1), batch(4), iteration=0)
    assert len(loaded) == 2


def test_bf16_step_with_everything_stays_close() -> None:
    settings = SaehdSettings(
        archi="df-ud", gan_power=0.1, true_face_power=0.01, face_style_power=1.0, **TINY
    )
    one, two = (
        build_model("SAEHD", settings, seed=3, precision=p).train_step(
            batch(1), batch(4), iteration=0
        )
        for p in ("fp32", "bf16")
    )
    for side in ("src", "dst"):
        assert two[side].item() == pytest.approx(one[side].item(), rel=5e-3)
