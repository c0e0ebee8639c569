"""Time one training step: seconds, memory, and the share of the convolutions' own speed.

    python bench/train_step.py [--steps 12] [--threads 2] [--device cpu] [--only saehd-df-ud]
                               [--precision fp32|bf16] [--batch 4] [--clock wall|cpu]
                               [--compiled] [--plain-memory] [--plan]

The steps run under `kept_memory`, as in the trainer; `--plain-memory` turns that off. Each case
runs in its own process, so peak memory is that of the case: the growth of the process since its
libraries were loaded, or on a GPU what PyTorch had allocated.

`share`: each convolution of the step is run alone, with the same shapes and precision, forward and
both backward passes, by PyTorch's own layers. The share is the sum of their best times divided by
the best time of the step. It can exceed 100 %, since some gradients in the step are computed in a
faster way than PyTorch's.

`--clock cpu` measures the CPU time of the process, for a machine under other load, with
`--threads 1`. `--plan` adds what `faceloom train --plan` predicts. On CUDA also: MFU (operations
per second relative to the card's data sheet) and idle (share of time without a running kernel).
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faceloom.core.threads import wait_briefly

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "saehd-df-ud": ("SAEHD", {"archi": "df-ud"}),
    "saehd-liae-ud": ("SAEHD", {"archi": "liae-ud"}),
    "saehd-liae-udt": ("SAEHD", {"archi": "liae-udt"}),
    "amp": ("AMP", {"resolution": 128}),
    "quick96": ("Quick96", {}),
    "saehd-liae-udt-256": (
        "SAEHD",
        {
            "archi": "liae-udt",
            "resolution": 256,
            "ae_dims": 512,
            "e_dims": 96,
            "d_dims": 96,
            "d_mask_dims": 24,
        },
    ),
    "saehd-df-ud-320": ("SAEHD", {"archi": "df-ud", "resolution": 320}),
}
# Run without --only; the others are for GPUs.
USUAL = ("saehd-df-ud", "saehd-liae-ud", "saehd-liae-udt", "amp", "quick96")
WARM_UP = 3


def main() -> None:
    options = _options()
    wait_briefly()  # set in this environment, which the processes of the cases inherit
    print("case                   best s  median s  cpu s/step  peak MB  conv s  share", end="")
    print("  plan s  plan MB" if options.plan else "", end="")
    print("   MFU  idle" if options.device.startswith("cuda") else "")
    precisions = [options.precision] if options.precision else ["fp32", "bf16"]
    context = multiprocessing.get_context("spawn")
    for name in options.only or USUAL:
        for precision in precisions:
            with context.Pool(1) as pool:
                print(pool.apply(measure_case, (name, precision, options)), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", choices=sorted(CASES), nargs="+")
    parser.add_argument("--precision", choices=["fp32", "bf16"])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--plain-memory", action="store_true")
    parser.add_argument("--plan", action="store_true")
    return parser.parse_args()


def make_model(name: str, *, batch: int, device: str, precision: Any, compiled: bool) -> Any:
    """The model of a case."""
    from faceloom.models import build_model

    class_name, _ = CASES[name]
    return build_model(
        class_name,
        settings_of(name, batch),
        device=device,
        seed=0,
        precision=precision,
        compiled=compiled,
    )


def settings_of(name: str, batch: int) -> Any:
    """The settings of a case."""
    from faceloom.models import MODELS

    class_name, values = CASES[name]
    return MODELS[class_name].settings(batch_size=batch, **values)


def measure_case(name: str, precision: Any, options: argparse.Namespace) -> str:
    """One row of the table."""
    import torch

    from faceloom.nn import kept_memory
    from faceloom.training.planning import calibrate, simulate

    if options.clock == "cpu":
        calibrate.time.perf_counter = time.process_time
    torch.set_num_threads(options.threads)
    settings, device = settings_of(name, options.batch), torch.device(options.device)
    with contextlib.nullcontext() if options.plain_memory else kept_memory():
        row, best = _steps(name, precision, options)
        work = simulate.simulate(
            CASES[name][0], settings, precision=precision, host_layers=device.type == "cpu"
        )
        alone = sum(
            count
            * calibrate.convolution_seconds(
                shape, device=device, precision=precision, plain=True, rounds=5
            )
            for shape, count in work.convolutions.items()
        )
    row += f" {alone:7.3f} {alone / best:6.0%}"
    if options.plan:
        row += _planned(name, work, settings, precision, device)
    if device.type == "cuda":
        row += _gpu_figures(work.flops, best, name, precision, options)
    return row


def _steps(name: str, precision: Any, options: argparse.Namespace) -> tuple[str, float]:
    """The first columns of a row, and the seconds of the best step."""
    import torch

    from faceloom.training.planning.noise import train_on_noise

    cuda = options.device.startswith("cuda")
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    torch.nn.Conv2d(8, 8, 3)(torch.rand(1, 8, 8, 8)).sum().backward()  # trigger lazy loading
    before = _resident_mb()
    model = make_model(
        name,
        batch=options.batch,
        device=options.device,
        precision=precision,
        compiled=options.compiled,
    )
    for _ in range(WARM_UP):
        train_on_noise(model, batch_size=options.batch)
    times: list[float] = []
    cpu = time.process_time()
    for _ in range(options.steps):
        times.append(
            timed(lambda: train_on_noise(model, batch_size=options.batch), cuda=cuda, clock=clock)
        )
    cpu = (time.process_time() - cpu) / options.steps
    peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else _peak_mb() - before
    best = min(times)
    return (
        f"{name + ' ' + precision:22s} {best:6.3f} {statistics.median(times):9.3f}"
        f" {cpu:11.3f} {peak:8.0f}"
    ), best


def timed(work: Callable[[], object], *, cuda: bool, clock: Callable[[], float]) -> float:
    """Seconds that `work` takes, including the GPU's part."""
    import torch

    start = clock()
    work()
    if cuda:
        torch.cuda.synchronize()
    return clock() - start


def _planned(name: str, work: Any, settings: Any, precision: Any, device: Any) -> str:
    from faceloom.training.planning.calibrate import calibrate
    from faceloom.training.planning.estimate import estimate

    rates = calibrate(work, settings, device=device, precision=precision)
    found = estimate(
        CASES[name][0],
        settings,
        precision=precision,
        device_kind=device.type,
        rates=rates,
        work=work,
    )
    return f" {found.seconds:7.3f} {found.total / 2**20:8.0f}"


def _gpu_figures(
    flops: int, best: float, name: str, precision: Any, options: argparse.Namespace
) -> str:
    import torch

    from faceloom.core import InputError
    from faceloom.training.planning.cards import find_card
    from faceloom.training.planning.noise import train_on_noise

    try:
        card = find_card(torch.cuda.get_device_name(options.device))
        peak = (card.bf16_tflops if precision == "bf16" else None) or card.fp32_tflops or 0
        used = f"{flops / best / (peak * 1e12):6.0%}" if peak else "     ?"
    except InputError:
        used = "     ?"
    model = make_model(
        name,
        batch=options.batch,
        device=options.device,
        precision=precision,
        compiled=options.compiled,
    )
    for _ in range(WARM_UP):
        train_on_noise(model, batch_size=options.batch)
    torch.cuda.synchronize()
    activities = [torch.profiler.ProfilerActivity.CUDA]
    start = time.perf_counter()
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in range(5):
            train_on_noise(model, batch_size=options.batch)
        torch.cuda.synchronize()
        spent = time.perf_counter() - start
    busy = sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6
    return f"{used} {max(0.0, 1 - busy / spent):5.0%}"


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _peak_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
