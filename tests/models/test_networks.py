"""Networks against the reference's tables and a NumPy restatement (training.md 1.3 to 1.13)."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from dfl_numpy import Oracle, Weights
from faceloom.models import Ledger, ledger, parse_archi
from faceloom.models.networks import Dims, make_graph
from faceloom.nn import initialize

ALL_ARCHIS = [
    f"{kind}-{''.join(flags)}" if flags else kind
    for kind in ("df", "liae")
    for count in range(5)
    for flags in combinations("udtc", count)
]


def count(network: nn.Module) -> int:
    return sum(param.numel() for param in network.parameters())


@pytest.mark.parametrize(
    ("archi", "dims", "encoder", "inter", "decoder", "total"),
    [
        ("df", (128, 256, 64, 64, 22), 4_306_560, 14_959_872, 19_136_000, 57_538_432),
        ("df-ud", (128, 256, 64, 64, 22), 4_306_560, 11_801_856, 19_181_291, 54_470_998),
        ("df-t", (128, 256, 64, 64, 22), 15_654_144, 6_308_096, 34_410_688, 90_783_616),
        ("liae", (128, 256, 64, 64, 22), 4_306_560, 26_249_472, 38_157_824, 94_963_328),
        ("liae-ud", (128, 256, 64, 64, 22), 4_306_560, 19_933_440, 38_203_115, 82_376_555),
        ("liae-udt", (224, 256, 64, 64, 22), 15_654_144, 12_870_400, 53_477_803, 94_872_747),
        ("liae-udt", (224, 512, 64, 64, 32), 15_654_144, 38_585_856, 86_800_045, 179_625_901),
        ("liae-udt", (320, 320, 80, 80, 26), 24_457_280, 41_024_320, 82_693_087, 189_199_007),
        ("df", (288, 384, 92, 72, 22), 8_895_480, 144_780_672, 26_403_536, 206_483_224),
        ("df-ud", (96, 128, 64, 64, 16), 4_306_560, 3_098_368, 15_444_701, 38_294_330),
    ],
)
def test_parameter_counts(
    archi: str, dims: tuple[int, ...], encoder: int, inter: int, decoder: int, total: int
) -> None:
    with torch.device("meta"):
        graph = make_graph(parse_archi(archi), Dims(*dims))
    networks = dict(graph.named_children())
    assert count(networks.pop("encoder")) == encoder
    for name, network in networks.items():
        assert count(network) == (inter if name.startswith("inter") else decoder), name
    assert count(graph) == total


@pytest.mark.parametrize(
    ("archi", "resolution", "e_dims", "expected"),
    [
        ("liae-ud", 128, 64, Ledger(8, 32768, 4, 8)),
        ("liae-udt", 224, 64, Ledger(7, 25088, 7, 7)),
        ("df-ud", 96, 64, Ledger(6, 18432, 3, 6)),
        ("df", 128, 64, Ledger(8, 32768, 8, 16)),
        ("df-t", 128, 64, Ledger(4, 8192, 8, 8)),
    ],
)
def test_ledger(archi: str, resolution: int, e_dims: int, expected: Ledger) -> None:
    assert ledger(parse_archi(archi), resolution, e_dims) == expected


@pytest.mark.parametrize(
    ("archi", "dims", "stages", "mask_stages"),
    [
        (
            "liae-ud",
            (128, 256, 64, 64, 22),
            [(512, 16), (256, 32), (128, 64)],
            [(176, 16), (88, 32), (44, 64), (22, 128)],
        ),
        (
            "liae-udt",
            (224, 512, 64, 64, 32),
            [(512, 14), (512, 28), (256, 56), (128, 112)],
            [(256, 14), (256, 28), (128, 56), (64, 112), (32, 224)],
        ),
        (
            "df-ud",
            (96, 128, 64, 64, 16),
            [(512, 12), (256, 24), (128, 48)],
            [(128, 12), (64, 24), (32, 48), (16, 96)],
        ),
    ],
)
def test_decoder_stages(
    archi: str,
    dims: tuple[int, ...],
    stages: list[tuple[int, int]],
    mask_stages: list[tuple[int, int]],
) -> None:
    with torch.device("meta"):
        graph = make_graph(parse_archi(archi), Dims(*dims))
        seen: dict[str, tuple[int, int]] = {}
        for name, module in graph.named_modules():
            match = re.fullmatch(r"decoder(?:_dst)?\.((?:upscale|upscalem)\d)", name)
            if match:
                module.register_forward_hook(
                    lambda _m, _i, out, key=match[1]: seen.update({key: out.shape[1:3]})
                )
        image = torch.empty(1, 3, dims[0], dims[0])
        decoded = graph.rebuild(image, image)
    assert decoded.image.shape == (2, 3, dims[0], dims[0])
    assert decoded.mask.shape == (2, 1, dims[0], dims[0])
    assert [tuple(seen[f"upscale{i}"]) for i in range(len(stages))] == stages
    assert [tuple(seen[f"upscalem{i}"]) for i in range(len(mask_stages))] == mask_stages


def dfl_weights(network: nn.Module) -> Weights:
    """The network's weights with DFL's names and layouts, float64."""
    weights: Weights = {}
    for name, param in network.named_parameters():
        array = param.detach().double().numpy()
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        elif array.ndim == 2:
            array = array.T
        key = re.sub(r"downs/(\d)", r"downs_\1", name.replace(".", "/"))
        weights[f"{key}:0"] = array
    return weights


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("archi", ALL_ARCHIS)
def test_forward_agrees_with_numpy(archi: str, layout: torch.memory_format) -> None:
    parsed = parse_archi(archi)
    graph = make_graph(parsed, Dims(resolution=64, ae=6, e=4, d=4, d_mask=2))
    generator = torch.Generator().manual_seed(11)
    initialize(graph, generator)
    with torch.no_grad():
        for param in graph.parameters():
            if param.ndim == 1:  # biases that are not zero
                param.uniform_(-0.2, 0.2, generator=generator)
    src, dst = torch.rand(2, 2, 3, 64, 64, generator=generator)

    oracle = Oracle({flag for flag in "udtc" if getattr(parsed, flag)})
    nets = {name: dfl_weights(network) for name, network in graph.named_children()}
    flat_src, flat_dst = (
        oracle.encoder(nets["encoder"], x.double().permute(0, 2, 3, 1).numpy()) for x in (src, dst)
    )
    if parsed.kind == "df":
        code_src, code_dst = (oracle.inter(nets["inter"], f, 64) for f in (flat_src, flat_dst))
        ours = [("decoder_src", code_src), ("decoder_dst", code_dst), ("decoder_src", code_dst)]
    else:
        ab_src, ab_dst = (oracle.inter(nets["inter_AB"], f, 64) for f in (flat_src, flat_dst))
        b_dst = oracle.inter(nets["inter_B"], flat_dst, 64)
        pairs = [(ab_src, ab_src), (b_dst, ab_dst), (ab_dst, ab_dst)]
        ours = [("decoder", np.concatenate(pair, -1)) for pair in pairs]
    expected = [oracle.decoder(nets[name], code) for name, code in ours]

    with torch.no_grad():
        src, dst = src.contiguous(memory_format=layout), dst.contiguous(memory_format=layout)
        decoded = graph.rebuild(src, dst)
        swapped, swapped_mask, dst_mask = graph.swap(dst)
    close(decoded.image, np.concatenate([expected[0][0], expected[1][0]]))
    close(decoded.mask, np.concatenate([expected[0][1], expected[1][1]]))
    close(swapped, expected[2][0])
    close(swapped_mask, expected[2][1])
    close(dst_mask, expected[1][1])


def close(ours: torch.Tensor, expected: np.ndarray) -> None:
    assert np.abs(ours.permute(0, 2, 3, 1).numpy() - expected).max() < 1e-5


def test_tensor_names_are_dfls() -> None:
    dims = Dims(64, 6, 4, 4, 2)
    plain = dict(make_graph(parse_archi("df-ud"), dims).named_children())
    assert set(plain) == {"encoder", "inter", "decoder_src", "decoder_dst"}
    assert {key.rsplit("/", 1)[0] for key in dfl_weights(plain["encoder"])} == {
        f"down1/downs_{i}/conv1" for i in range(4)
    }
    assert {key.rsplit("/", 1)[0] for key in dfl_weights(plain["inter"])} == {
        "dense1",
        "dense2",
        "upscale1/conv1",
    }
    deep = dict(make_graph(parse_archi("liae-t"), dims).named_children())
    assert set(deep) == {"encoder", "inter_AB", "inter_B", "decoder"}
    assert {key.split("/")[0] for key in dfl_weights(deep["encoder"])} == {
        *(f"down{i}" for i in range(1, 6)),
        "res1",
        "res5",
    }
    assert {key.split("/")[0] for key in dfl_weights(deep["decoder"])} == {
        *(f"{part}{i}" for part in ("upscale", "upscalem", "res") for i in range(4)),
        "out_conv",
        "out_convm",
    }
