"""Where and how exactly training computes."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Literal

import torch

from faceloom.core import InputError
from faceloom.models import Precision, preferred_precision
from faceloom.nn import kept_memory

PrecisionChoice = Literal["auto", "fp32", "bf16"]
CompileChoice = Literal["auto", "on", "off"]


def choose_device(name: str = "auto") -> torch.device:
    """The device called `auto`, `cpu`, `cuda`, `cuda:n` or `mps`.

    `auto` takes CUDA, else Apple's GPU, else the CPU. Raises `InputError` for a device that this
    machine or this build of PyTorch does not have.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:1 … or mps") from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise InputError(f"device {name!r}: there are {count} CUDA devices here; try auto")
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"device {name!r}: this machine has no Apple GPU; try auto")
    if device.type not in {"cpu", "mps"}:
        raise InputError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:1 … or mps")
    return device


def choose_precision(choice: PrecisionChoice, device: torch.device) -> Precision:
    """`choice`, or for `auto` bf16 where the device computes it in hardware."""
    return preferred_precision(device) if choice == "auto" else choice


def choose_compiled(choice: CompileChoice, device: torch.device) -> bool:
    """Whether to compile the training step: `auto` does on CUDA (NVIDIA, and AMD by ROCm), where
    it pays; on a CPU the compiled step is slower (stack.md), on Apple's GPU it is unproven."""
    return device.type == "cuda" if choice == "auto" else choice == "on"


@contextlib.contextmanager
def computing(*, device: torch.device, precision: Precision, threads: int) -> Generator[None]:
    """Set PyTorch's thread count and cuDNN's choice of kernels for a run, and put them back.

    In fp32 cuDNN is held to deterministic kernels and to true float32 (no TF32), so that a resumed
    run gives the losses of an uninterrupted one. In bf16 it may use TF32 for what is left, and
    tries kernels. The losses' matrix products are true float32 always: PyTorch's default, which
    structural similarity needs. `threads` 0 leaves PyTorch's own choice. On a CPU, freed memory
    stays with the process meanwhile.
    """
    cudnn = torch.backends.cudnn
    before = torch.get_num_threads(), cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    if threads:
        torch.set_num_threads(threads)
    if device.type == "cuda":
        exact = precision == "fp32"
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = not exact, exact, not exact
    try:
        with kept_memory() if device.type == "cpu" else contextlib.nullcontext():
            yield
    finally:
        torch.set_num_threads(before[0])
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = before[1:]
