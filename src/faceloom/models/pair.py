"""The training step and the predictions that SAEHD and Quick96 share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from faceloom.core import InputError
from faceloom.models.base import (
    Precision,
    Prediction,
    Reconstruction,
    SampleBatch,
    SampleNeeds,
)
from faceloom.models.discriminators import Adversary, Evidence
from faceloom.models.networks import Graph
from faceloom.models.stepping import autocast, begin_step, checked_pictures, compiled_for
from faceloom.settings.models import ModelSettings

MAIN_OPTIMIZER = "src_dst_opt"


class StepLosses(NamedTuple):
    """The losses of a step, and the input of its discriminators."""

    total: Tensor
    """The sum of all losses over both batches, a scalar: what is differentiated."""
    src: Tensor
    """src's reported losses `b`, without gradients."""
    dst: Tensor
    """dst's reported losses `b`, without gradients."""
    seen: Mapping[str, Evidence] = MappingProxyType({})
    """For each discriminator, by its network's name."""


Objective = Callable[[Graph, SampleBatch, SampleBatch], StepLosses]
"""The losses of the networks on a batch of src and one of dst with equally many samples: a function
of tensors only, which can be compiled. Runs inside the model's autocast."""


@dataclass(frozen=True)
class PairSpec:
    """What distinguishes one class of pair models from another."""

    class_name: str
    settings: ModelSettings
    sample_needs: SampleNeeds
    make_objective: Callable[[], Objective]
    """Called before the first step: merging does not need what it loads."""
    make_optimizer: Callable[[list[nn.Parameter], int], Optimizer]
    """An optimizer over parameters, from a seed."""
    adversaries: Mapping[str, Adversary] = field(default_factory=dict)
    """Discriminators by their networks' names, in the order in which they train."""


class PairModel:
    """A `FaceModel` whose src and dst pass through one graph together.

    After each step the discriminators train on the pictures of that step, made before the weights
    were updated. (DeepFaceLab makes them again with the new weights, two more passes per
    iteration.)
    """

    def __init__(
        self,
        spec: PairSpec,
        graph: Graph,
        *,
        device: torch.device,
        seed: int,
        precision: Precision,
        compiled: bool = False,
    ) -> None:
        """`graph` and the discriminators of `spec` must be on `device` already."""
        self._spec = spec
        self._graph = graph
        self._seed = seed
        self._precision: Precision = precision
        self._compiled = compiled
        self._optimizers: dict[str, Optimizer] = {}
        self._objective: Objective | None = None
        self._step_objective: Objective | None = None
        self._judge = compiled_for(device, self._judging) if compiled else self._judging
        self.device = device

    @property
    def class_name(self) -> str:
        return self._spec.class_name

    @property
    def settings(self) -> ModelSettings:
        return self._spec.settings

    @property
    def sample_needs(self) -> SampleNeeds:
        return self._spec.sample_needs

    @property
    def loss_names(self) -> tuple[str, ...]:
        return ("src", "dst")

    @property
    def optional_networks(self) -> frozenset[str]:
        return frozenset(self._spec.adversaries)

    @property
    def pretrain_resets(self) -> tuple[str, ...]:
        return tuple(name for name in self.networks() if name.startswith("inter"))

    def networks(self) -> Mapping[str, nn.Module]:
        judges = {name: one.network for name, one in self._spec.adversaries.items()}
        return {**dict(self._graph.named_children()), **judges}

    def optimizers(self) -> Mapping[str, Optimizer]:
        if not self._optimizers:
            networks = {MAIN_OPTIMIZER: self._graph}
            networks |= {one.optimizer_name: one.network for one in self._spec.adversaries.values()}
            self._optimizers = {
                name: self._spec.make_optimizer(list(network.parameters()), self._seed + number)
                for number, (name, network) in enumerate(networks.items())
            }
        return self._optimizers

    def freeze(self, network: str) -> None:
        """Exclude a network from training; its optimizer slots stay."""
        self._graph.get_submodule(network).requires_grad_(False)

    def train_step(
        self, src: SampleBatch, dst: SampleBatch, *, iteration: int
    ) -> dict[str, Tensor]:
        del iteration  # nothing here depends on it; the optimizers count their own steps
        src, dst = self._checked(src, dst)
        optimizers = self.optimizers()
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        losses = self._step_losses()(self._graph, src, dst)
        losses.total.backward()
        optimizers[MAIN_OPTIMIZER].step()
        reported = {"src": losses.src.mean(), "dst": losses.dst.mean()}
        for name, adversary in self._spec.adversaries.items():
            self._judge(name, losses.seen[name]).backward()
            optimizers[adversary.optimizer_name].step()
        return reported

    @torch.no_grad()
    def losses(
        self, src: SampleBatch, dst: SampleBatch, *, iteration: int = 0
    ) -> dict[str, Tensor]:
        del iteration
        losses = self._eager_objective()(self._graph, *self._checked(src, dst))
        return {"src": losses.src.mean(), "dst": losses.dst.mean()}

    @torch.inference_mode()
    def predict(self, faces: Tensor, *, morph: float = 1.0) -> Prediction:
        del morph
        with autocast(self.device, self._precision):
            return Prediction(*self._graph.swap(self._input(faces)))

    @torch.inference_mode()
    def reconstruct(self, src: Tensor, dst: Tensor, *, morph: float = 1.0) -> Reconstruction:
        del morph
        with autocast(self.device, self._precision):
            decoded = self._graph.rebuild(self._input(src), self._input(dst))
            swapped, swapped_mask, _ = self._graph.swap(self._input(dst))
        src_src, dst_dst = decoded.image.split([len(src), len(dst)])
        src_mask, dst_mask = decoded.mask.split([len(src), len(dst)])
        return Reconstruction(src_src, src_mask, dst_dst, dst_mask, swapped, swapped_mask)

    def _eager_objective(self) -> Objective:
        """The objective, created when first needed."""
        if self._objective is None:
            objective = self._spec.make_objective()

            def losses(graph: Graph, src: SampleBatch, dst: SampleBatch) -> StepLosses:
                with autocast(self.device, self._precision):
                    return objective(graph, src, dst)

            self._objective = losses
        return self._objective

    def _step_losses(self) -> Objective:
        """The objective of a training step, compiled if asked for; begins a new step then."""
        if not self._compiled:
            return self._eager_objective()
        if self._step_objective is None:
            self._step_objective = compiled_for(self.device, self._eager_objective())
        begin_step(self.device)
        return self._step_objective

    def _judging(self, name: str, evidence: Evidence) -> Tensor:
        """The sum over the batch of a discriminator's own loss."""
        with autocast(self.device, self._precision):
            return self._spec.adversaries[name].judging(evidence).sum()

    def _checked(self, src: SampleBatch, dst: SampleBatch) -> tuple[SampleBatch, SampleBatch]:
        """Both batches, ready for the graph; `InputError` when they do not fit the model."""
        if len(src.target) != len(dst.target):
            raise InputError(
                f"{self.class_name}: got {len(src.target)} src samples and {len(dst.target)} dst"
                " samples; a step needs equally many"
            )
        if self.sample_needs.eyes_mouth and (src.eyes_mouth is None or dst.eyes_mouth is None):
            raise InputError(
                f"{self.class_name}: eyes_mouth_prio is on, but the samples have no eyes_mouth mask"
            )
        return (
            replace(src, warped=self._input(src.warped)),
            replace(dst, warped=self._input(dst.warped)),
        )

    def _input(self, faces: Tensor) -> Tensor:
        return checked_pictures(
            faces,
            side=self._spec.settings.resolution,
            class_name=self.class_name,
            precision=self._precision,
        )


def stacked(src: SampleBatch, dst: SampleBatch) -> SampleBatch:
    """Both sides as one batch, src first; `warped`, which no loss uses, is src's."""
    eyes_mouth = None
    if src.eyes_mouth is not None and dst.eyes_mouth is not None:
        eyes_mouth = torch.cat([src.eyes_mouth, dst.eyes_mouth])
    return SampleBatch(
        warped=src.warped,
        target=torch.cat([src.target, dst.target]),
        mask=torch.cat([src.mask, dst.mask]),
        eyes_mouth=eyes_mouth,
    )
