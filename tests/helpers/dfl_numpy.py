"""DeepFaceLab's forward pass restated in plain NumPy: an oracle that shares no code with ours.

Pictures are `b h w c`, weights are named and laid out as in DFL's files: convolutions HWIO, dense
(in, out), vectors in c, h, w order (docs/internals/networks.md and docs/internals/formats.md).
Everything is float64.
"""

from __future__ import annotations

import numpy as np

Weights = dict[str, np.ndarray]


def conv(weights: Weights, name: str, x: np.ndarray, stride: int = 1) -> np.ndarray:
    kernel = weights[f"{name}/weight:0"]
    k = kernel.shape[0]
    padded = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
    windows = windows[:, ::stride, ::stride]
    return np.einsum("bhwcij,ijco->bhwo", windows, kernel) + weights[f"{name}/bias:0"]


def dense(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ weights[f"{name}/weight:0"] + weights[f"{name}/bias:0"]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def shuffle(x: np.ndarray) -> np.ndarray:
    """TensorFlow's depth_to_space with block size 2, loop by loop."""
    b, h, w, c4 = x.shape
    c = c4 // 4
    out = np.empty((b, 2 * h, 2 * w, c))
    for i in range(2):
        for j in range(2):
            start = (2 * i + j) * c
            out[:, i::2, j::2] = x[..., start : start + c]
    return out


class Oracle:
    """The networks of one architecture; `flags` is a set of the letters u, d, t, c."""

    def __init__(self, flags: set[str]) -> None:
        self.flags = flags

    def act(self, x: np.ndarray, slope: float) -> np.ndarray:
        return x * np.cos(x) if "c" in self.flags else np.where(x > 0, x, slope * x)

    def down(self, weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
        return self.act(conv(weights, f"{name}/conv1", x, 2), 0.1)

    def up(self, weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
        return shuffle(self.act(conv(weights, f"{name}/conv1", x), 0.1))

    def res(self, weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
        inner = self.act(conv(weights, f"{name}/conv1", x), 0.2)
        return self.act(x + conv(weights, f"{name}/conv2", inner), 0.2)

    def encoder(self, weights: Weights, x: np.ndarray) -> np.ndarray:
        if "t" in self.flags:
            x = self.res(weights, "res1", self.down(weights, "down1", x))
            for i in (2, 3, 4, 5):
                x = self.down(weights, f"down{i}", x)
            x = self.res(weights, "res5", x)
        else:
            for i in range(4):
                x = self.down(weights, f"down1/downs_{i}", x)
        flat = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        if "u" in self.flags:
            flat = flat / np.sqrt((flat**2).mean(1, keepdims=True) + 1e-6)
        return flat

    def inter(self, weights: Weights, flat: np.ndarray, resolution: int) -> np.ndarray:
        side = resolution // (32 if "d" in self.flags else 16)
        x = dense(weights, "dense2", dense(weights, "dense1", flat))
        x = x.reshape(len(x), -1, side, side).transpose(0, 2, 3, 1)
        return x if "t" in self.flags else self.up(weights, "upscale1", x)

    def decoder(self, weights: Weights, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, m = code, code
        for i in range(4 if "t" in self.flags else 3):
            x = self.res(weights, f"res{i}", self.up(weights, f"upscale{i}", x))
        if "d" in self.flags:
            heads = ("out_conv", "out_conv1", "out_conv2", "out_conv3")
            x = shuffle(np.concatenate([conv(weights, head, x) for head in heads], -1))
        else:
            x = conv(weights, "out_conv", x)
        for i in range(3 + len(self.flags & {"t", "d"})):
            m = self.up(weights, f"upscalem{i}", m)
        return sigmoid(x), sigmoid(conv(weights, "out_convm", m))
