"""An exponential moving average of the weights, with steadier results than the last weights.

Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992), with the
exponential window and warm-up that are usual for image networks.
"""

# torch's list arithmetic only has underscored names.
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping

import torch
from torch import Tensor

from faceloom.models import TrainableModel


class Ema:
    """Averages of a model's weights, except its discriminators'."""

    def __init__(self, model: TrainableModel, decay: float) -> None:
        self._decay = decay
        self._weights = {
            f"{network}.{key}": value
            for network, module in model.networks().items()
            if network not in model.optional_networks
            for key, value in module.state_dict().items()
        }
        self._means = {key: value.detach().clone() for key, value in self._weights.items()}

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Add the weights after `iteration` steps; the first steps count for more."""
        decay = min(self._decay, (1 + iteration) / (10 + iteration))
        torch._foreach_lerp_(list(self._means.values()), list(self._weights.values()), 1.0 - decay)

    @torch.no_grad()
    def load(self, means: Mapping[str, Tensor]) -> None:
        """Continue from saved averages; missing ones start from the weights."""
        for key, value in self._means.items():
            if key in means and means[key].shape == value.shape:
                value.copy_(means[key])

    def tensors(self) -> dict[str, Tensor]:
        """The averages by `network.tensor`."""
        return self._means

    @contextlib.contextmanager
    def swapped_in(self) -> Generator[None]:
        """While inside, the model computes with the averages."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for key, mean in self._means.items():
            weight = self._weights[key]
            kept = weight.clone()
            weight.copy_(mean)
            mean.copy_(kept)
