"""SAEHD's options: ranges, what does not go together, pretraining, what each turns on."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from faceloom.core import InputError
from faceloom.core.config import validate
from faceloom.models import (
    MODELS,
    FaceModel,
    Quick96Settings,
    SaehdSettings,
    SampleBatch,
    build_model,
)
from faceloom.models.discriminators import CodeDiscriminator, PatchDiscriminator
from faceloom.nn import AdaBelief, RMSprop
from faceloom.settings.models import largest_patch_size, patch_strides

TINY: dict[str, Any] = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16}


def build(archi: str = "df-ud", **options: Any) -> FaceModel:
    return build_model("SAEHD", SaehdSettings(archi=archi, **TINY, **options))


def test_defaults_are_the_references() -> None:
    settings = SaehdSettings()
    off = [name for name in SaehdSettings.model_fields if name.endswith("_power")]
    assert len(off) == 7
    assert all(getattr(settings, name) == 0 for name in off)
    assert (settings.gan_patch_size, settings.gan_dims, settings.patch_size) == (None, 16, 16)
    assert (settings.ct_mode, settings.models_opt_on_gpu, settings.pretrain) == (
        "none",
        True,
        False,
    )
    assert SaehdSettings(gan_patch_size=30).patch_size == 30
    assert Quick96Settings().learning_rate == 2e-4


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("random_hsv_power", 0, 0.3),
        ("gan_power", 0, 5),
        ("gan_patch_size", 3, 640),
        ("gan_dims", 4, 512),
        ("true_face_power", 0, 1),
        ("face_style_power", 0, 100),
        ("bg_style_power", 0, 100),
        ("perceptual_power", 0, 10),
        ("identity_power", 0, 10),
    ],
)
def test_ranges(name: str, low: float, high: float) -> None:
    step = 1 if name in {"gan_patch_size", "gan_dims"} else 0.001
    for value in (low, high):
        assert getattr(SaehdSettings(archi="df", **{name: value}), name) == value
    for value in (low - step, high + step):
        with pytest.raises(InputError, match=f"{name}.*must be at (least|most)"):
            validate(SaehdSettings, {"archi": "df", name: value}, where="test")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"true_face_power": 0.1}, "true_face_power needs a df archi, not liae-ud.*use 0"),
        (
            {"resolution": 224, "gan_power": 0.1, "gan_patch_size": 126},
            "gan_patch_size 126 .* resolution 224: .* multiple of 64; use 125 or less",
        ),
        (
            {"resolution": 80, "archi": "df", "gan_power": 0.1, "gan_patch_size": 62},
            "multiple of 32; use 61 or less",
        ),
        ({"gan_power": 0.1, "gan_patch_size": 2}, "gan_patch_size.*at least 3"),
        ({"ct_mode": "rtc"}, "ct_mode.*did you mean 'rct'"),
        ({"random_hsv_power": 0.5}, "at most 0.3"),
    ],
)
def test_what_does_not_go_together_says_why(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        validate(SaehdSettings, values, where="test")
    assert "\n" not in str(caught.value)


def test_a_patch_size_is_no_matter_without_a_gan() -> None:
    assert SaehdSettings(resolution=224, gan_patch_size=126).gan_power == 0


@pytest.mark.parametrize("resolution", [64, 80, 112, 208, 496, 560, 640])
def test_the_patch_size_when_unset_fits_every_resolution(resolution: int) -> None:
    settings = SaehdSettings(archi="df", resolution=resolution, gan_power=0.1)
    stride_2 = patch_strides(settings.patch_size).count(2)
    assert resolution % 2**stride_2 == 0
    assert abs(settings.patch_size - resolution // 8) <= 17


def test_larger_patches_take_no_fewer_halvings() -> None:
    halvings = [patch_strides(size).count(2) for size in (*range(3, 140), 246, 248, 478, 480, 640)]
    assert halvings == sorted(halvings)
    assert largest_patch_size(640, 80) == 61
    assert [80 % 2 ** patch_strides(size).count(2) for size in (61, 62)] == [0, 16]
    assert largest_patch_size(10, 80) == 10


EVERYTHING: dict[str, Any] = {
    "archi": "df-ud",
    "random_warp": True,
    "random_src_flip": False,
    "random_dst_flip": False,
    "random_hsv_power": 0.1,
    "uniform_yaw": False,
    "ct_mode": "rct",
    "lr_dropout": "y",
    "gan_power": 0.1,
    "true_face_power": 0.1,
    "face_style_power": 1.0,
    "bg_style_power": 1.0,
    "perceptual_power": 1.0,
    "identity_power": 1.0,
    "masked_training": False,
    "eyes_mouth_prio": True,
    "blur_out_mask": True,
    "clipgrad": True,
    "optimizer": "rmsprop",
}


def test_pretraining_overrules_and_tells_it() -> None:
    usual = SaehdSettings(**EVERYTHING)
    assert usual.effective == usual
    assert usual.overridden == {}
    settings = SaehdSettings(pretrain=True, **EVERYTHING)
    forced = {
        "random_warp": False,
        "random_src_flip": True,
        "random_dst_flip": True,
        "random_hsv_power": 0,
        "uniform_yaw": True,
        "ct_mode": "none",
        "lr_dropout": "n",
        "gan_power": 0,
        "true_face_power": 0,
        "face_style_power": 0,
        "bg_style_power": 0,
        "perceptual_power": 0,
        "identity_power": 0,
    }
    assert settings.overridden == forced
    assert settings.effective.model_dump() == settings.model_dump() | forced
    # What agrees with pretraining anyway is not overruled.
    plain = SaehdSettings(pretrain=True)
    assert set(plain.overridden) == {"random_warp", "random_src_flip", "uniform_yaw"}


def test_a_pretraining_model_does_what_is_in_force() -> None:
    model = build_model("SAEHD", SaehdSettings(pretrain=True, **TINY, **EVERYTHING))
    needs = model.sample_needs
    assert (needs.warp, needs.src_flip, needs.dst_flip, needs.uniform_yaw) == (
        False,
        True,
        True,
        True,
    )
    assert (needs.hsv_power, needs.ct_mode, needs.eyes_mouth) == (0, "none", True)
    assert set(model.networks()) == {"encoder", "inter", "decoder_src", "decoder_dst"}
    assert model.optional_networks == frozenset()
    assert model.pretrain_resets == ("inter",)
    (optimizer,) = model.optimizers().values()
    assert isinstance(optimizer, RMSprop)
    (group,) = optimizer.param_groups
    assert (group["keep"], group["period"], group["clip_norm"]) == (None, 0, 1.0)
    # It keeps the user's settings, for when pretraining ends.
    assert model.settings.model_dump()["gan_power"] == 0.1


@pytest.mark.parametrize("random_warp", [True, False])
def test_pretraining_teaches_both_inters_of_liae(random_warp: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    warped, target = torch.rand(2, 1, 3, 64, 64, generator=generator)
    batch = SampleBatch(warped, target, torch.ones(1, 1, 64, 64))
    model = build("liae-ud", pretrain=True, random_warp=random_warp)
    assert model.pretrain_resets == ("inter_AB", "inter_B")
    model.train_step(batch, batch, iteration=0)
    for name, network in model.networks().items():
        assert all(param.grad is not None for param in network.parameters()), name


def test_samples_follow_the_settings() -> None:
    needs = build(random_hsv_power=0.05, ct_mode="sot").sample_needs
    assert (needs.hsv_power, needs.ct_mode, needs.ct_statistics) == (0.05, "sot", "inside")
    assert build(ct_statistics="whole").sample_needs.ct_statistics == "whole"


def test_discriminators_by_name_with_their_optimizers() -> None:
    model = build(
        true_face_power=0.01,
        gan_power=0.1,
        gan_patch_size=18,
        gan_dims=8,
        learning_rate=1e-4,
        clipgrad=True,
        lr_dropout="cpu",
    )
    networks = model.networks()
    assert list(networks)[-2:] == ["code_discriminator", "GAN"]
    assert model.optional_networks == {"code_discriminator", "GAN"}
    code, gan = networks["code_discriminator"], networks["GAN"]
    assert isinstance(code, CodeDiscriminator)
    assert isinstance(gan, PatchDiscriminator)
    assert code(torch.zeros(1, 32, 4, 4)).shape[:2] == (1, 1)  # 32 ae_dims, 64 / 16 px
    assert gan.in_conv.out_channels == 8
    assert [layer.stride[0] for layer in gan.convs] == [2, 1, 2, 2]  # type: ignore[union-attr,index]
    optimizers = model.optimizers()
    assert list(optimizers) == ["src_dst_opt", "D_code_opt", "GAN_opt"]
    for name, network in (("D_code_opt", code), ("GAN_opt", gan)):
        (group,) = optimizers[name].param_groups
        assert isinstance(optimizers[name], AdaBelief)
        assert group["params"] == list(network.parameters())
        assert (group["lr"], group["clip_norm"], group["keep"]) == (1e-4, 1.0, 0.3)
        assert (group["period"], group["masks_on_cpu"]) == (500, True)
    seeds = {one.param_groups[0]["seed"] for one in optimizers.values()}
    assert len(seeds) == 3
    only_gan = build("liae-ud", gan_power=0.1)
    assert only_gan.optional_networks == {"GAN"}
    assert list(only_gan.optimizers()) == ["src_dst_opt", "GAN_opt"]


def test_a_step_takes_as_many_of_each_side() -> None:
    one, two = (
        SampleBatch(torch.rand(n, 3, 64, 64), torch.rand(n, 3, 64, 64), torch.ones(n, 1, 64, 64))
        for n in (1, 2)
    )
    with pytest.raises(InputError, match="1 src samples and 2 dst samples"):
        build().train_step(one, two, iteration=0)


def test_quick96_has_a_rate_and_a_bound_but_no_pretraining() -> None:
    settings = Quick96Settings(learning_rate=1e-3, clipgrad=True)
    (optimizer,) = build_model("Quick96", settings).optimizers().values()
    (group,) = optimizer.param_groups
    assert (group["lr"], group["clip_norm"], group["keep"]) == (1e-3, 1.0, 0.3)
    with pytest.raises(InputError, match="less time than pretraining"):
        validate(Quick96Settings, {"pretrain": True}, where="test")


@pytest.mark.parametrize("name", ["SAEHD", "Quick96"])
def test_help_of_every_option_is_a_sentence(name: str) -> None:
    for key, field in MODELS[name].settings.model_fields.items():
        assert field.description is not None
        assert field.description.endswith("."), key
        assert len(field.description) > 20, key
