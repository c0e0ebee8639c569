"""Device, precision and threads of training."""

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
    """The device named `auto`, `cpu`, `cuda`, `cuda:n` or `mps`.

    `auto` prefers CUDA, then an Apple GPU, then the CPU. Raises `InputError` for a device that this
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
            raise InputError(f"device {name!r}: this machine has {count} CUDA devices; try auto")
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"device {name!r}: this machine has no Apple GPU; try auto")
    if device.type not in {"cpu", "mps"}:
        raise InputError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:1 … or mps")
    return device


def choose_precision(choice: PrecisionChoice, device: torch.device) -> Precision:
    """`choice`; for `auto`, bf16 where the device supports it in hardware."""
    return preferred_precision(device) if choice == "auto" else choice


def choose_compiled(choice: CompileChoice, device: torch.device) -> bool:
    """Whether to compile the training step.

    `auto` does so on CUDA (NVIDIA, and AMD with ROCm) only: on a CPU the compiled step was measured
    to be slower, on Apple's GPU it is untested.
    """
    return device.type == "cuda" if choice == "auto" else choice == "on"


@contextlib.contextmanager
def computing(*, device: torch.device, precision: Precision, threads: int) -> Generator[None]:
    """Set PyTorch's thread count and cuDNN's choice of kernels for a run, and restore them.

    In fp32, cuDNN is limited to deterministic kernels and true float32 (no TF32), so that a resumed
    run gives the same losses as an uninterrupted one. In bf16 it may use TF32 for the remaining
    float32 work, and benchmarks kernels. The matrix products of the losses are always true float32,
    PyTorch's default, which structural similarity needs. `threads` 0 keeps PyTorch's choice. On a
    CPU, freed memory stays in the process during the run.
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
