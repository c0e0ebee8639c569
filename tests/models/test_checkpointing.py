"""Activation checkpointing: the same numbers to the last bit, less memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from faceloom.models import SaehdSettings, parse_archi
from faceloom.models.networks import Dims, Graph, make_graph, recomputing_parts
from faceloom.nn import initialize

DIMS = Dims(resolution=64, ae=16, e=8, d=16, d_mask=8)


def graph_of(archi: str, checkpointing: bool) -> Graph:
    graph = make_graph(parse_archi(archi), DIMS)
    initialize(graph, torch.Generator().manual_seed(0))
    graph.checkpointing = checkpointing
    return graph


def run(archi: str, bf16: bool, checkpointing: bool) -> tuple[list[Tensor], int]:
    """Gradients of the weights, and the bytes that were kept for the backward pass."""
    graph = graph_of(archi, checkpointing)
    generator = torch.Generator().manual_seed(1)
    src, dst = torch.rand(2, 2, 3, 64, 64, generator=generator)
    weights = {p.untyped_storage().data_ptr() for p in graph.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            decoded = graph.rebuild(src, dst)
        loss = decoded.image.square().sum() + decoded.mask.sum()
    in_forward = sum(kept.values())
    loss.backward()
    grads = [p.grad for p in graph.parameters()]
    assert all(grad is not None for grad in grads)
    return [grad for grad in grads if grad is not None], in_forward


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("archi", ["df-ud", "liae-udtc"])
def test_same_gradients_from_fewer_bytes(archi: str, bf16: bool) -> None:
    plain, plain_bytes = run(archi, bf16, False)
    again, again_bytes = run(archi, bf16, True)
    for one, two in zip(plain, again, strict=True):
        assert torch.equal(one, two)
    assert again_bytes < 0.75 * plain_bytes


@pytest.mark.parametrize(("archi", "parts"), [("df", 3), ("liae-t", 2)])
def test_the_switch_reaches_every_part(archi: str, parts: int) -> None:
    graph: Any = graph_of(archi, True)
    assert len(recomputing_parts(graph)) == parts
    assert graph.checkpointing
    graph.checkpointing = False
    assert not any(part.checkpointing for part in recomputing_parts(graph))
    assert SaehdSettings(checkpointing=True).checkpointing
