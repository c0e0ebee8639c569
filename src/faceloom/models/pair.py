"""The training step and the predictions that SAEHD and Quick96 share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from faceloom.core import InputError
from faceloom.models.base import (
    Precision,
    Prediction,
    Reconstruction,
    SampleNeeds,
    TrainBatch,
)
from faceloom.models.graph import Decoded, Graph
from faceloom.models.settings import ModelSettings
from faceloom.nn import initialize


@dataclass(frozen=True)
class Recipe:
    """What sets one class of models apart from another."""

    class_name: str
    settings: ModelSettings
    sample_needs: SampleNeeds
    losses: Callable[[Decoded, TrainBatch], Tensor]
    """Per-sample losses `b` of what the decoders made of a batch."""
    make_optimizer: Callable[[list[nn.Parameter], int], Optimizer]
    """An optimizer over parameters, from a seed."""


class PairModel:
    """A `FaceModel` whose src and dst go through one graph in one pass."""

    def __init__(
        self,
        recipe: Recipe,
        make_graph: Callable[[], Graph],
        *,
        device: torch.device,
        seed: int,
        precision: Precision,
    ) -> None:
        self._recipe = recipe
        self._seed = seed
        self._precision: Precision = precision
        self.device = device
        with torch.device("meta"):  # no default initialisation: it would draw from the global RNG
            graph = make_graph().to_empty(device="cpu")
        initialize(graph, torch.Generator().manual_seed(seed))
        self._layout = torch.channels_last if precision == "bf16" else torch.contiguous_format
        self._graph = _laid_out(graph.to(device), self._layout)
        self._optimizer: Optimizer | None = None

    @property
    def class_name(self) -> str:
        return self._recipe.class_name

    @property
    def settings(self) -> ModelSettings:
        return self._recipe.settings

    @property
    def sample_needs(self) -> SampleNeeds:
        return self._recipe.sample_needs

    @property
    def loss_names(self) -> tuple[str, ...]:
        return ("src", "dst")

    @property
    def optional_networks(self) -> frozenset[str]:
        return frozenset()

    @property
    def pretrain_resets(self) -> tuple[str, ...]:
        return tuple(name for name in self.networks() if name.startswith("inter"))

    def networks(self) -> Mapping[str, nn.Module]:
        return dict(self._graph.named_children())

    def optimizers(self) -> Mapping[str, Optimizer]:
        if self._optimizer is None:
            self._optimizer = self._recipe.make_optimizer(
                list(self._graph.parameters()), self._seed
            )
        return {"src_dst_opt": self._optimizer}

    def freeze(self, network: str) -> None:
        """Leave a network out of training; its optimizer slots stay."""
        self._graph.get_submodule(network).requires_grad_(False)

    def train_step(self, src: TrainBatch, dst: TrainBatch, *, iteration: int) -> dict[str, Tensor]:
        del iteration  # nothing here depends on it; the optimizers count their own steps
        optimizer = self.optimizers()["src_dst_opt"]
        optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            decoded = self._graph.rebuild(self._input(src.warped), self._input(dst.warped))
        losses = self._recipe.losses(decoded, _stacked(src, dst))
        losses.sum().backward()
        optimizer.step()
        of_src, of_dst = losses.detach().split([len(src.target), len(dst.target)])
        return {"src": of_src.mean(), "dst": of_dst.mean()}

    @torch.inference_mode()
    def predict(self, faces: Tensor, *, morph: float = 1.0) -> Prediction:
        del morph
        with self._autocast():
            return Prediction(*self._graph.swap(self._input(faces)))

    @torch.inference_mode()
    def reconstruct(self, src: Tensor, dst: Tensor, *, morph: float = 1.0) -> Reconstruction:
        del morph
        with self._autocast():
            decoded = self._graph.rebuild(self._input(src), self._input(dst))
            swapped, swapped_mask, _ = self._graph.swap(self._input(dst))
        src_src, dst_dst = decoded.image.split([len(src), len(dst)])
        src_mask, dst_mask = decoded.mask.split([len(src), len(dst)])
        return Reconstruction(src_src, src_mask, dst_dst, dst_mask, swapped, swapped_mask)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self._precision == "bf16"
        )

    def _input(self, faces: Tensor) -> Tensor:
        side = self._recipe.settings.resolution
        if faces.ndim != 4 or faces.shape[1:] != (3, side, side):
            raise InputError(
                f"{self.class_name}: pictures of shape {tuple(faces.shape)} given, the model takes"
                f" (batch, 3, {side}, {side})"
            )
        return faces.contiguous(memory_format=self._layout)


def _laid_out(graph: Graph, layout: torch.memory_format) -> Graph:
    """`graph` with its convolution weights stored in `layout`, so that no step rearranges them."""
    for param in graph.parameters():
        if param.ndim == 4:
            param.data = param.data.contiguous(memory_format=layout)
    return graph


def _stacked(src: TrainBatch, dst: TrainBatch) -> TrainBatch:
    """Both sides as one batch, src first; `warped`, which no loss reads, stays src's."""
    eyes_mouth = None
    if src.eyes_mouth is not None and dst.eyes_mouth is not None:
        eyes_mouth = torch.cat([src.eyes_mouth, dst.eyes_mouth])
    return TrainBatch(
        warped=src.warped,
        target=torch.cat([src.target, dst.target]),
        mask=torch.cat([src.mask, dst.mask]),
        eyes_mouth=eyes_mouth,
    )
