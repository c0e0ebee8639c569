"""The network of Real-ESRGAN's "general" models: SRVGGNetCompact.

Wang et al., "Real-ESRGAN: training real-world blind super-resolution with pure synthetic data"
(2021).
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceloom.core import FormatError, WeightsError

_KEYS = ("params", "params_ema")


class CompactSR(nn.Module):
    """A plain stack of convolutions at the input's size, then one pixel shuffle.

    `features` channels, `convolutions` between the first and the last one. The output is added to
    the input enlarged by nearest-neighbour interpolation.
    """

    def __init__(self, *, features: int = 64, convolutions: int = 32, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(3, features, 3, padding=1), nn.PReLU(features)]
        for _ in range(convolutions):
            layers += [nn.Conv2d(features, features, 3, padding=1), nn.PReLU(features)]
        layers.append(nn.Conv2d(features, 3 * scale * scale, 3, padding=1))
        self.body = nn.Sequential(*layers)
        self.reach_px = convolutions + 2
        """Radius of the receptive field."""

    def forward(self, image: Tensor) -> Tensor:
        """b 3 h w RGB in [0, 1] → b 3 (scale·h) (scale·w)."""
        detail = F.pixel_shuffle(self.body(image), self.scale)
        return detail + F.interpolate(image, scale_factor=self.scale, mode="nearest")


def load_realesr(path: Path) -> CompactSR:
    """The network with the weights of `path` (realesr-general-x4v3.pth), in evaluation mode.

    Only tensors are read from the file. Raises `WeightsError` if it cannot be read, `FormatError`
    if it contains another network.
    """
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError):
        raise FormatError(f"{path}: damaged, or not a weights file") from None
    values = next((content[k] for k in _KEYS if isinstance(content, dict) and k in content), None)
    network = CompactSR()
    try:
        if values is None:
            raise ValueError("neither 'params' nor 'params_ema'")
        network.load_state_dict(values)
    except (RuntimeError, ValueError, AttributeError, TypeError):
        raise FormatError(f"{path}: not the weights of Real-ESRGAN general x4") from None
    return network.eval().requires_grad_(False)
