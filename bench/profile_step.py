"""Show where the time of a training step goes: convolutions, copies, losses, optimizer, …

    python bench/profile_step.py [--case saehd-df-ud] [--precision bf16] [--threads 2]
                                 [--device cpu] [--batch 4] [--steps 3] [--ops 12] [--compiled]

The profiler slows the step down: read the shares, not the seconds. `--ops` sets how many of the
most expensive operations are listed.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from train_step import CASES, WARM_UP, make_model

from faceloom.core.threads import wait_briefly

# Class → substrings of the names of operations and kernels; the first match counts.
CLASSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("convolution, backward", ("convolution_backward", "wgrad", "dgrad", "conv_bwd")),
    ("convolution, forward", ("convolution", "conv", "fprop", "implicit_gemm")),
    ("matrix products", ("mm", "matmul", "linear", "gemm", "cublas", "nvjet")),
    ("activations", ("leaky_relu", "sigmoid", "cos", "relu")),
    ("casts and copies", ("copy", "_to_copy", "cat", "contiguous", "memcpy", "clone", "fill")),
    ("compiled kernels", ("triton",)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--case", choices=sorted(CASES), default="saehd-df-ud")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--ops", type=int, default=12)
    parser.add_argument("--compiled", action="store_true")
    options = parser.parse_args()
    wait_briefly()

    import torch

    from faceloom.nn import kept_memory

    torch.set_num_threads(options.threads)
    with kept_memory():
        events = _profile(options)
    cuda = options.device.startswith("cuda")
    times: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    for event in events:
        spent = event.self_device_time_total if cuda else event.self_cpu_time_total
        name, inside = event.key, getattr(event, "inside_optimizer", False)
        times[name] += spent
        groups["optimizer" if inside else _class_of(name)] += spent
    _show("class", groups, options.steps, len(groups))
    _show("operation", times, options.steps, options.ops)


def _profile(options: argparse.Namespace) -> list[Any]:
    """Events of some steps; those of the optimizer's update are marked."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from faceloom.training.planning.noise import train_on_noise

    model = make_model(
        options.case,
        batch=options.batch,
        device=options.device,
        precision=options.precision,
        compiled=options.compiled,
    )
    for _ in range(WARM_UP):
        train_on_noise(model, batch_size=options.batch)
    activities = [ProfilerActivity.CPU]
    if options.device.startswith("cuda"):
        activities = [ProfilerActivity.CUDA]
    with profile(activities=activities) as profiler:
        for _ in range(options.steps):
            train_on_noise(model, batch_size=options.batch)
        if options.device.startswith("cuda"):
            torch.cuda.synchronize()
    events = [event for event in profiler.events() or [] if event.key != "ProfilerStep*"]
    for event in events:
        above: Any = event
        while above is not None and "Optimizer.step" not in above.key:
            above = above.cpu_parent
        event.inside_optimizer = above is not None
    return events


def _class_of(name: str) -> str:
    for label, parts in CLASSES:
        if any(part in name.lower() for part in parts):
            return label
    return "losses and the rest"


def _show(title: str, times: Counter[str], steps: int, count: int) -> None:
    total = sum(times.values())
    print(f"{title:40s}    ms/step  share")
    for name, spent in times.most_common(count):
        print(f"{name[:40]:40s} {spent / 1e3 / steps:10.1f} {spent / total:6.1%}")
    print()


if __name__ == "__main__":
    main()
