"""Time one training step: seconds best and median, CPU seconds, peak memory.

    python bench/train_step.py [--steps 12] [--threads 2] [--device cpu] [--only saehd-bf16]
                               [--plain-memory]

The steps run under `kept_memory`, as in the trainer; `--plain-memory` leaves it out.

Each case runs in a process of its own, so that peak memory is the case's. Beside the steps it
times one large convolution, forward and backward: on a machine that others use too, compare the
two rather than trust the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable

CASES = {
    "saehd-fp32": ("SAEHD", "fp32"),
    "saehd-bf16": ("SAEHD", "bf16"),
    "quick96-fp32": ("Quick96", "fp32"),
    "quick96-bf16": ("Quick96", "bf16"),
}
BATCH = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", choices=sorted(CASES))
    parser.add_argument("--plain-memory", action="store_true")
    options = parser.parse_args()
    print("case           best s  median s  cpu s/step  peak MB   conv GFLOP/s")
    context = multiprocessing.get_context("spawn")
    for name in [options.only] if options.only else CASES:
        with context.Pool(1) as pool:
            print(pool.apply(_case, (name, options)))


def _case(name: str, options: argparse.Namespace) -> str:
    import torch

    from faceloom.nn import kept_memory

    torch.set_num_threads(options.threads)
    with contextlib.nullcontext() if options.plain_memory else kept_memory():
        return _measure(name, options.steps, options.device)


def _measure(name: str, steps: int, device: str) -> str:
    import torch

    step = _make_step(name, device)
    for _ in range(2):
        step()
    walls: list[float] = []
    cpu = time.process_time()
    for _ in range(steps):
        walls.append(_timed(step, device))
    cpu = (time.process_time() - cpu) / steps
    peak = (
        torch.cuda.max_memory_allocated() / 2**20
        if device.startswith("cuda")
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    flops = _convolution_gflops(device, CASES[name][1])
    return (
        f"{name:13s} {min(walls):7.3f} {statistics.median(walls):9.3f} {cpu:11.3f}"
        f" {peak:8.0f} {flops:14.0f}"
    )


def _timed(work: Callable[[], object], device: str) -> float:
    import torch

    start = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _make_step(name: str, device: str) -> Callable[[], object]:
    import torch

    from faceloom.models import Quick96Settings, SaehdSettings, TrainBatch, build_model

    class_name, precision = CASES[name]
    settings = (
        Quick96Settings(batch_size=BATCH)
        if class_name == "Quick96"
        else SaehdSettings(archi="df-ud", batch_size=BATCH)
    )
    model = build_model(class_name, settings, device=device, seed=0, precision=precision)
    generator = torch.Generator().manual_seed(0)
    side = settings.resolution

    def random(channels: int) -> torch.Tensor:
        return torch.rand(BATCH, channels, side, side, generator=generator).to(device)

    src, dst = (TrainBatch(random(3), random(3), random(1).round()) for _ in range(2))
    return lambda: model.train_step(src, dst, iteration=0)


def _convolution_gflops(device: str, precision: str) -> float:
    """Best speed of a 3×3 convolution 256 → 512 on 4×32×32, forward and backward."""
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    layout = torch.channels_last if precision == "bf16" else torch.contiguous_format
    x = torch.rand(BATCH, 256, 32, 32, device=device, dtype=dtype).to(memory_format=layout)
    conv = torch.nn.Conv2d(256, 512, 3, padding=1, device=device, dtype=dtype)
    x.requires_grad_()

    def work() -> None:
        conv(x).sum().backward()

    work()
    best = min(_timed(work, device) for _ in range(10))
    return 3 * 2 * BATCH * 32 * 32 * 256 * 512 * 9 / best / 1e9


if __name__ == "__main__":
    main()
