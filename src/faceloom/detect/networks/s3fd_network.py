"""S3FD's network: VGG-16 with six heads. Layers have the names used in its weight files."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

_CONVOLUTIONS: Final = (
    ("conv1_1", 3, 64),
    ("conv1_2", 64, 64),
    ("conv2_1", 64, 128),
    ("conv2_2", 128, 128),
    ("conv3_1", 128, 256),
    ("conv3_2", 256, 256),
    ("conv3_3", 256, 256),
    ("conv4_1", 256, 512),
    ("conv4_2", 512, 512),
    ("conv4_3", 512, 512),
    ("conv5_1", 512, 512),
    ("conv5_2", 512, 512),
    ("conv5_3", 512, 512),
)
_HEADS: Final = (
    ("conv3_3_norm", 256, 4),
    ("conv4_3_norm", 512, 2),
    ("conv5_3_norm", 512, 2),
    ("fc7", 1024, 2),
    ("conv6_2", 512, 2),
    ("conv7_2", 256, 2),
)
_NORM_FLOOR = 1e-10


class L2Norm(nn.Module):
    """Scales every pixel's channels to unit length, then by one weight per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """`b c h w` to the same."""
        length = x.square().sum(dim=1, keepdim=True).sqrt() + _NORM_FLOOR
        return x / length * self.weight.view(1, -1, 1, 1)


class S3fdNetwork(nn.Module):
    """From `b 3 h w` (RGB, 0 to 255, minus the means) to scores and boxes at strides 4 to 128.

    `narrow` divides the channels of all layers: 1 in the files, more in tests.
    """

    def __init__(self, narrow: int = 1) -> None:
        super().__init__()
        n = narrow
        for name, channels_in, channels_out in _CONVOLUTIONS:
            first = channels_in if channels_in == 3 else channels_in // n
            self.add_module(name, nn.Conv2d(first, channels_out // n, 3, padding=1))
        self.fc6 = nn.Conv2d(512 // n, 1024 // n, 3, padding=3)
        self.fc7 = nn.Conv2d(1024 // n, 1024 // n, 1)
        self.conv6_1 = nn.Conv2d(1024 // n, 256 // n, 1)
        self.conv6_2 = nn.Conv2d(256 // n, 512 // n, 3, stride=2, padding=1)
        self.conv7_1 = nn.Conv2d(512 // n, 128 // n, 1)
        self.conv7_2 = nn.Conv2d(128 // n, 256 // n, 3, stride=2, padding=1)
        self.conv3_3_norm = L2Norm(256 // n)
        self.conv4_3_norm = L2Norm(512 // n)
        self.conv5_3_norm = L2Norm(512 // n)
        for name, channels, classes in _HEADS:
            self.add_module(f"{name}_mbox_conf", nn.Conv2d(channels // n, classes, 3, padding=1))
            self.add_module(f"{name}_mbox_loc", nn.Conv2d(channels // n, 4, 3, padding=1))

    def forward(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Six pairs: probability of a face `b h w`, and the box's shifts `b 4 h w`."""
        features = self._features(x)
        answers: list[tuple[Tensor, Tensor]] = []
        for (name, _, _), feature in zip(_HEADS, features, strict=True):
            classes = self._layer(f"{name}_mbox_conf", feature)
            if classes.shape[1] == 4:
                # The finest level has three background classes; the strongest one counts.
                background = classes[:, :3].amax(dim=1, keepdim=True)
                classes = torch.cat([background, classes[:, 3:]], dim=1)
            answers.append((classes.softmax(dim=1)[:, 1], self._layer(f"{name}_mbox_loc", feature)))
        return answers

    def _features(self, x: Tensor) -> list[Tensor]:
        kept: dict[str, Tensor] = {}
        stage = "1"
        for name, _, _ in _CONVOLUTIONS:
            if name[4] != stage:
                x, stage = max_pool2d(x, 2), name[4]
            x = relu(self._layer(name, x))
            kept[name] = x
        x = relu(self.fc7(relu(self.fc6(max_pool2d(x, 2)))))
        f6 = relu(self.conv6_2(relu(self.conv6_1(x))))
        f7 = relu(self.conv7_2(relu(self.conv7_1(f6))))
        return [
            self.conv3_3_norm(kept["conv3_3"]),
            self.conv4_3_norm(kept["conv4_3"]),
            self.conv5_3_norm(kept["conv5_3"]),
            x,
            f6,
            f7,
        ]

    def _layer(self, name: str, x: Tensor) -> Tensor:
        return self.get_submodule(name)(x)
