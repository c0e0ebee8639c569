"""XSeg: the model that learns a face's mask (reference: training.md 5.2)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from faceloom.models.base import MaskBatch, Precision
from faceloom.models.stepping import autocast, checked_pictures, compiled_for, layout_of
from faceloom.models.xseg.blocks import initialize_xseg
from faceloom.models.xseg.network import XsegNetwork
from faceloom.nn import RMSprop, squared_error, structural_loss
from faceloom.settings.models import XsegSettings

BASE = 32
KEEP = 0.3
"""Learning-rate dropout is always on, without a cosine."""
CLIP_NORM = 1.0


class XsegModel:
    """A `MaskModel`; `resolution` and `base` differ from DFL's network in tests only."""

    def __init__(
        self,
        settings: XsegSettings,
        *,
        device: torch.device,
        seed: int,
        precision: Precision,
        compiled: bool = False,
        resolution: int | None = None,
        base: int = BASE,
    ) -> None:
        self.settings = settings
        self.device = device
        self.resolution = resolution or settings.resolution
        self._seed = seed
        self._precision: Precision = precision
        with torch.device("meta"):  # no default initialisation: it would draw from the global RNG
            network = XsegNetwork(self.resolution, base).to_empty(device="cpu")
        initialize_xseg(network, torch.Generator().manual_seed(seed))
        network.checkpointing = settings.checkpointing
        # A copy onto itself is more than the tensors without memory of the planner can do.
        self._network = network if device.type == "cpu" else network.to(device)
        for param in network.parameters():
            if param.ndim == 4:
                param.data = param.data.contiguous(memory_format=layout_of(precision))
        self._loss = compiled_for(device, self._losses) if compiled else self._losses
        self._optimizer: Optimizer | None = None

    @property
    def class_name(self) -> str:
        return "XSeg"

    @property
    def loss_names(self) -> tuple[str, ...]:
        return ("mask",)

    @property
    def optional_networks(self) -> frozenset[str]:
        return frozenset()

    @property
    def pretrain_resets(self) -> tuple[str, ...]:
        """None: all that pretraining learned is kept."""
        return ()

    def networks(self) -> Mapping[str, nn.Module]:
        return {"xseg": self._network}

    def optimizers(self) -> Mapping[str, Optimizer]:
        if self._optimizer is None:
            self._optimizer = RMSprop(
                list(self._network.parameters()),
                lr=self.settings.learning_rate,
                clip_norm=CLIP_NORM if self.settings.clipgrad else None,
                keep=KEEP,
                seed=self._seed,
            )
        return {"opt": self._optimizer}

    def train_step(self, batch: MaskBatch, *, iteration: int) -> dict[str, Tensor]:
        """One optimizer step; the loss "mask", a detached scalar on the device.

        In pretraining it is how well the picture in grey was rebuilt without the skips.
        """
        del iteration  # nothing here depends on it; the optimizer counts its own steps
        optimizer = self.optimizers()["opt"]
        optimizer.zero_grad(set_to_none=True)
        losses = self._loss(self._input(batch.image), batch.target)
        losses.sum().backward()
        optimizer.step()
        return {"mask": losses.detach().mean()}

    @torch.no_grad()
    def losses(self, batch: MaskBatch, *, iteration: int = 0) -> dict[str, Tensor]:
        del iteration
        return {"mask": self._losses(self._input(batch.image), batch.target).mean()}

    @torch.inference_mode()
    def predict_mask(self, faces: Tensor) -> Tensor:
        """The masks `b 1 r r` in [0, 1] of `b 3 r r` RGB in [0, 1]; in pretraining the pictures
        in grey. No gradients."""
        return self._logits(self._input(faces)).sigmoid()

    def _logits(self, image: Tensor) -> Tensor:
        with autocast(self.device, self._precision):
            logits = self._network(image, skips=not self.settings.pretrain)
        return logits.float()

    def _losses(self, image: Tensor, target: Tensor) -> Tensor:
        logits = self._logits(image)
        if self.settings.pretrain:
            return pretrain_losses(logits.sigmoid(), target)
        return mask_losses(logits, target)

    def _input(self, faces: Tensor) -> Tensor:
        return checked_pictures(
            faces, side=self.resolution, class_name=self.class_name, precision=self._precision
        )


def build_xseg(
    settings: XsegSettings,
    *,
    device: torch.device,
    seed: int,
    precision: Precision,
    compiled: bool = False,
) -> XsegModel:
    """A freshly initialised XSeg model."""
    return XsegModel(settings, device=device, seed=seed, precision=precision, compiled=compiled)


def mask_losses(logits: Tensor, target: Tensor) -> Tensor:
    """Per-sample cross-entropy `b` between `b 1 r r` logits and the mask, mean of its pixels."""
    losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return losses.flatten(1).mean(1)


def pretrain_losses(rebuilt: Tensor, grey: Tensor) -> Tensor:
    """Per-sample loss `b` of a rebuilt grey picture: 5 DSSIM in each of two windows (22 and 11
    pixels at 256) and 10 times the mean squared error."""
    return structural_loss(grey, rebuilt, grey.shape[-1]) + 10 * squared_error(grey, rebuilt)
