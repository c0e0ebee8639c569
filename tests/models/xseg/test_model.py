"""XSeg: the network restated in NumPy, its tensors, its losses, and that it learns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from faceloom.core import InputError
from faceloom.models.base import MaskBatch
from faceloom.models.xseg.model import XsegModel, build_xseg, mask_losses, pretrain_losses
from faceloom.models.xseg.network import XsegNetwork
from faceloom.nn import dssim
from faceloom.settings.models import XsegSettings

CPU = torch.device("cpu")
SIDE = 64


def tiny(base: int = 4, precision: Any = "fp32", **settings: Any) -> XsegModel:
    return XsegModel(
        XsegSettings(**settings),
        device=CPU,
        seed=7,
        precision=precision,
        resolution=SIDE,
        base=base,
    )


def discs(count: int, seed: int) -> MaskBatch:
    """A bright disc somewhere on a dark, noisy ground, and where it is."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.linspace(-1, 1, SIDE)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    place = (torch.rand(count, 3, 1, 1, generator=generator) - 0.5) * 0.8
    radius = 0.5 + 0.3 * place[:, 2]
    mask = (((x - place[:, 0]) ** 2 + (y - place[:, 1]) ** 2).sqrt() < radius).float()[:, None]
    noise = torch.rand(count, 3, SIDE, SIDE, generator=generator)
    return MaskBatch(image=0.2 + 0.5 * mask + 0.2 * noise, target=mask)


# The network in NumPy: pictures `b h w c`, weights named and laid out as in DFL's files.


def to_dfl(network: XsegNetwork) -> dict[str, np.ndarray]:
    """Names `a/b/weight:0`; kernels HWIO (transposed: HWOI), dense (in, out)."""
    tensors: dict[str, np.ndarray] = {}
    for name, value in network.state_dict().items():
        array = value.double().numpy()
        axes = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[array.ndim]
        tensors[name.replace(".", "/") + ":0"] = array.transpose(axes)
    return tensors


class NumpyXseg:
    """DFL's forward pass, layer by layer from the reference's tables."""

    LEVELS = ((0, 2, 4), (1, 2, 3), (2, 2, 2), (3, 3, 2), (4, 3, 2), (5, 3, 2))

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.weights = weights

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        eps = abs(self.weights[f"{name}/frn/eps:0"][0])
        x = x / np.sqrt((x**2).mean((1, 2), keepdims=True) + eps)
        x = x * self.weights[f"{name}/frn/weight:0"] + self.weights[f"{name}/frn/bias:0"]
        return np.maximum(x, self.weights[f"{name}/tlu/tau:0"])

    def plain(self, name: str, x: np.ndarray) -> np.ndarray:
        kernel = self.weights[f"{name}/weight:0"]
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        return np.einsum("bhwcij,ijco->bhwo", windows, kernel) + self.weights[f"{name}/bias:0"]

    def block(self, name: str, x: np.ndarray) -> np.ndarray:
        return self.norm(name, self.plain(f"{name}/conv", x))

    def up(self, name: str, x: np.ndarray) -> np.ndarray:
        kernel = self.weights[f"{name}/conv/weight:0"]
        b, h, w, _ = x.shape
        out = np.zeros((b, 2 * h + 1, 2 * w + 1, kernel.shape[2]))
        for k in range(3):
            for m in range(3):
                out[:, k : k + 2 * h : 2, m : m + 2 * w : 2] += x @ kernel[k, m].T
        return self.norm(name, out[:, : 2 * h, : 2 * w] + self.weights[f"{name}/conv/bias:0"])

    def pool(self, x: np.ndarray, size: int) -> np.ndarray:
        row = np.array([math.comb(size - 1, k) for k in range(size)]) / 2 ** (size - 1)
        pad = ((size - 1) // 2, math.ceil((size - 1) / 2))
        padded = np.pad(x, ((0, 0), pad, pad, (0, 0)))
        h, w = x.shape[1], x.shape[2]
        rows = sum(row[k] * padded[:, k : k + h : 2] for k in range(size))
        return np.asarray(sum(row[k] * rows[:, :, k : k + w : 2] for k in range(size)))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        skips = []
        for level, depth, pool in self.LEVELS:
            for number in range(1, depth + 1):
                x = self.block(f"conv{level}{number}", x)
            skips.append(x)
            x = self.pool(x, pool)
        shape = x.transpose(0, 3, 1, 2).shape
        code = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        for name in ("dense1", "dense2"):
            code = code @ self.weights[f"{name}/weight:0"] + self.weights[f"{name}/bias:0"]
        x = code.reshape(shape).transpose(0, 2, 3, 1)
        for level, depth, _ in reversed(self.LEVELS):
            x = np.concatenate([self.up(f"up{level}", x), skips[level]], -1)
            for number in range(depth, 0, -1):
                x = self.block(f"uconv{level}{number}", x)
        return self.plain("out_conv", x)


def test_network_is_the_references() -> None:
    model = tiny(base=2)
    network = model.networks()["xseg"]
    assert isinstance(network, XsegNetwork)
    with torch.no_grad():  # away from the start, where biases and thresholds are 0
        for number, param in enumerate(network.parameters()):
            param.add_(
                torch.randn(param.shape, generator=torch.Generator().manual_seed(number)) / 9
            )
    batch = discs(2, seed=1)
    expected = NumpyXseg(to_dfl(network))(batch.image.double().numpy().transpose(0, 2, 3, 1))
    with torch.no_grad():
        logits = network(batch.image).numpy().transpose(0, 2, 3, 1)
    assert logits.shape == (2, SIDE, SIDE, 1)
    assert np.ptp(expected) > 0.1
    assert np.abs(logits - expected).max() < 1e-4
    masks = model.predict_mask(batch.image).numpy().transpose(0, 2, 3, 1)
    assert np.abs(masks - 1 / (1 + np.exp(-expected))).max() < 1e-4


def test_full_size_tensors() -> None:
    """The shapes of DFL's network with base 32 at 256 px."""
    with torch.device("meta"):
        network = XsegNetwork()
    shapes = {name: tuple(param.shape) for name, param in network.named_parameters()}
    blocks = {name.split(".")[0] for name in shapes}
    levels = (
        "01",
        "02",
        "11",
        "12",
        "21",
        "22",
        "31",
        "32",
        "33",
        "41",
        "42",
        "43",
        "51",
        "52",
        "53",
    )
    assert blocks == {f"conv{n}" for n in levels} | {f"uconv{n}" for n in levels} | {
        f"up{n}" for n in range(6)
    } | {"dense1", "dense2", "out_conv"}  # fmt: skip
    for name, shape in {
        "conv01.conv.weight": (32, 3, 3, 3),
        "conv31.conv.weight": (256, 128, 3, 3),
        "conv53.frn.eps": (1,),
        "conv53.tlu.tau": (256,),
        "dense1.weight": (512, 4096),
        "dense2.weight": (4096, 512),
        "up5.conv.weight": (256, 128, 3, 3),
        "up2.conv.weight": (256, 128, 3, 3),
        "up1.conv.weight": (128, 64, 3, 3),
        "up0.conv.weight": (64, 32, 3, 3),
        "uconv53.conv.weight": (256, 384, 3, 3),
        "uconv51.conv.weight": (256, 256, 3, 3),
        "uconv22.conv.weight": (128, 256, 3, 3),
        "uconv12.conv.weight": (64, 128, 3, 3),
        "uconv02.conv.weight": (32, 64, 3, 3),
        "uconv01.conv.weight": (32, 32, 3, 3),
        "out_conv.weight": (1, 32, 3, 3),
    }.items():
        assert shapes[name] == shape, name
    assert sum(param.numel() for param in network.parameters()) == _parameters_by_table()


def _parameters_by_table() -> int:
    def block(i: int, o: int) -> int:
        return 9 * i * o + o + 2 * o + 1 + o

    down = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256)]
    down += [(256, 256)] * 8
    up = [(256, 128)] * 4 + [(128, 64), (64, 32)]
    level = [(384, 256), (256, 256), (256, 256)] * 3
    level += [(256, 128), (128, 128), (128, 64), (64, 64), (64, 32), (32, 32)]
    dense = 4096 * 512 + 512 + 512 * 4096 + 4096
    return sum(block(i, o) for i, o in down + up + level) + dense + 9 * 32 + 1


def test_pretraining_ignores_the_skips() -> None:
    """What comes across is only what the dense centre carries: a change of the skips is lost."""
    network = tiny().networks()["xseg"]
    assert isinstance(network, XsegNetwork)
    image = discs(1, seed=3).image
    crossing = [network.get_submodule(f"uconv{n}") for n in ("02", "12", "22", "33", "43", "53")]
    with torch.no_grad():
        before = [network(image, skips=skips) for skips in (True, False)]
        for block in crossing:  # the weights that the skips, the later channels, meet
            weight = block.conv.weight  # type: ignore[union-attr]
            skip_channels = weight.shape[0]
            weight[:, -skip_channels:] += 1.0  # type: ignore[index]
        after = [network(image, skips=skips) for skips in (True, False)]
    assert not torch.allclose(before[0], after[0], atol=1e-3)
    assert torch.equal(before[1], after[1])


def test_losses_restated() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(3, 1, 256, 256, generator=generator)
    target = (torch.rand(3, 1, 256, 256, generator=generator) > 0.4).float()
    p = logits.double().sigmoid()
    entropy = -(target * p.log() + (1 - target) * (1 - p).log()).mean((1, 2, 3))
    assert torch.allclose(mask_losses(logits, target), entropy.float(), atol=1e-5)
    rebuilt = logits.sigmoid()
    restated = (
        5 * dssim(target, rebuilt, 22)[:, 0]
        + 5 * dssim(target, rebuilt, 11)[:, 0]
        + 10 * (target - rebuilt).square().mean((1, 2, 3))
    )
    assert torch.allclose(pretrain_losses(rebuilt, target), restated, atol=1e-5)


def test_learns_a_disc() -> None:
    model = tiny(learning_rate=4e-3)
    losses = [float(model.train_step(discs(3, seed=n), iteration=n)["mask"]) for n in range(30)]
    assert losses[0] > 0.5
    assert np.mean(losses[-4:]) < 0.25
    unseen = discs(4, seed=99)
    found = model.predict_mask(unseen.image) > 0.5
    overlap = (found & (unseen.target > 0.5)).sum() / (found | (unseen.target > 0.5)).sum()
    assert overlap > 0.85


@pytest.mark.parametrize("pretrain", [False, True])
def test_the_loss_is_that_of_a_step_and_changes_nothing(pretrain: bool) -> None:
    model = tiny(pretrain=pretrain)
    batch = discs(2, 3)
    batch = MaskBatch(batch.image, batch.image.mean(1, keepdim=True)) if pretrain else batch
    for iteration in range(2):
        before = {
            key: value.clone() for key, value in model.networks()["xseg"].state_dict().items()
        }
        (loss,) = model.losses(batch).values()
        after = model.networks()["xseg"].state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)
        assert not loss.requires_grad
        reported = model.train_step(batch, iteration=iteration)["mask"]
        assert loss.item() == pytest.approx(reported.item(), rel=1e-6)


def test_bf16_learns_alike() -> None:
    full, half = tiny(learning_rate=1e-3), tiny(precision="bf16", learning_rate=1e-3)
    image = discs(2, seed=9).image
    difference = (full.predict_mask(image) - half.predict_mask(image)).abs()
    assert difference.mean() < 0.01 and difference.max() < 0.1
    for n in range(4):
        batch = discs(2, seed=n)
        losses = [float(model.train_step(batch, iteration=n)["mask"]) for model in (full, half)]
        assert losses[1] == pytest.approx(losses[0], rel=0.03)


def test_pretraining_learns_to_rebuild_in_grey() -> None:
    model = tiny(pretrain=True, learning_rate=4e-3)
    batch = discs(2, seed=5)
    grey = MaskBatch(batch.image, 0.3 + 0.4 * batch.target)
    losses = [float(model.train_step(grey, iteration=n)["mask"]) for n in range(12)]
    assert losses[-1] < 0.6 * losses[0]
    assert model.pretrain_resets == ()
    skip_side = model.networks()["xseg"].get_submodule("uconv02.conv")
    assert not skip_side.weight.grad[:, -4:].any()  # type: ignore[index,union-attr]


def test_checkpointing_changes_no_gradient() -> None:
    batch = discs(2, seed=1)
    plain, spared = tiny(), tiny(checkpointing=True)
    for model in (plain, spared):
        model.train_step(batch, iteration=0)
    for one, other in zip(
        plain.networks()["xseg"].parameters(), spared.networks()["xseg"].parameters(), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-6)


def test_built_model_and_its_settings() -> None:
    settings = XsegSettings(face_type="f")  # type: ignore[arg-type]
    assert settings.face_type == "full_face"
    assert XsegSettings().face_type == "whole_face"
    assert (settings.batch_size, settings.learning_rate) == (4, 1e-4)
    for wrong in ({"batch_size": 1}, {"batch_size": 17}, {"resolution": 128}):
        with pytest.raises(ValueError, match="XsegSettings"):
            XsegSettings(**wrong)
    model = build_xseg(settings, device=CPU, seed=0, precision="fp32")
    assert model.class_name == "XSeg" and model.loss_names == ("mask",)
    assert list(model.networks()) == ["xseg"] and list(model.optimizers()) == ["opt"]
    group = model.optimizers()["opt"].param_groups[0]
    assert (group["keep"], group["period"], group["clip_norm"]) == (0.3, 0, None)
    with pytest.raises(InputError, match="256"):
        model.predict_mask(torch.zeros(1, 3, 64, 64))


def test_building_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    one, other = tiny(), tiny()
    assert torch.equal(before, torch.random.get_rng_state())
    for a, b in zip(
        one.networks()["xseg"].parameters(), other.networks()["xseg"].parameters(), strict=True
    ):
        assert torch.equal(a, b)
