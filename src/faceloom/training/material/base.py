"""What a trainer needs of the samples, whatever kind of model they are for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceloom.training.distributed.parallel import World
from faceloom.training.previews.preview import Preview

Step = Callable[[int], dict[str, Tensor]]
"""One training step, given its iteration; returns the losses."""
Previewer = Callable[[NDArray[np.float32], int], Preview]
"""Makes a preview from all losses and the number of iterations done."""

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: spreads consecutive numbers over the seed space


class Material(Protocol):
    """The samples of a training; they stay loaded while models come and go."""

    @property
    def facesets(self) -> Mapping[str, str]:
        """Count and digest of the faces of each side."""
        ...

    def stepper(self, model: Any, seed: int, world: World) -> Step:
        """The training step of `model`, which must be of the class that the material is for."""
        ...

    def previewer(self, model: Any) -> Previewer:
        """Previews of `model`."""
        ...


def batch_generator(seed: int, number: int) -> torch.Generator:
    """The random generator of batch `number`, counted from 0: the same in any session."""
    return torch.Generator().manual_seed((seed + (number + 1) * _GOLDEN) % (1 << 63))
