"""Finding the best batch size for a device: `--batch auto`."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable

import torch

from faceloom.core import InputError
from faceloom.models import ModelSettings, Precision, TrainableModel, build_model
from faceloom.nn import kept_memory
from faceloom.training.planning.estimate import available_memory, batch_limits, estimate
from faceloom.training.planning.noise import train_on_noise

# Learning gains nothing from larger batches.
LIMIT = 128
# Share of a GPU's memory that the trial steps may use; previews and fragmentation need the rest.
SAFETY = 0.92
# On a CPU, doubling the batch must train this many times as many samples a second to be worth it,
# because more steps learn more than larger ones.
GAIN = 1.08


def find_batch(
    class_name: str, settings: ModelSettings, *, device: torch.device, precision: Precision
) -> int:
    """The best batch size for `settings` on `device`, at most 128.

    On a GPU it is the largest whose real steps fit into memory with some to spare. On a CPU, where
    memory is rarely the limit, it is the last that still trains more samples a second. Raises
    `InputError` if not even one sample fits.
    """
    low, high = batch_limits(settings)
    limit = min(LIMIT, high)
    if device.type == "cpu":
        fastest = _fastest(_host_speed(class_name, settings, precision), limit=limit)
        chosen = max(low, fastest) if fastest else 0
    else:
        chosen = largest(_device_trial(class_name, settings, device, precision), limit=limit)
    if chosen < low:
        raise InputError(
            f"{class_name}: not even one sample fits into the memory of this device; try"
            " checkpointing=true, models_opt_on_gpu=false, or a lower resolution"
        )
    return chosen


def largest(fits: Callable[[int], bool], *, limit: int) -> int:
    """The largest number up to `limit` that `fits`, 0 for none: by doubling, then bisection."""
    good, bad = 0, limit + 1
    trial = min(2, limit)
    while bad - good > 1:
        if fits(trial):
            good = trial
        else:
            bad = trial
        trial = min(2 * good, limit) if bad > limit else (good + bad) // 2
    return good


def _fastest(speed: Callable[[int], float], *, limit: int) -> int:
    """The last of 1, 2, 4, … with sufficiently more samples a second than the one before. A `speed`
    of 0 means that the batch does not fit."""
    chosen, best = 0, 0.0
    batch = 1
    while batch <= limit:
        rate = speed(batch)
        if rate < best * GAIN or not rate:
            break
        chosen, best = batch, rate
        batch *= 2
    return chosen


def _host_speed(
    class_name: str, settings: ModelSettings, precision: Precision
) -> Callable[[int], float]:
    """Samples a second by batch size, 0 if memory is too small."""
    room = available_memory(torch.device("cpu"))
    model = build_model(class_name, settings, precision=precision)

    def speed(batch: int) -> float:
        needs = estimate(
            class_name,
            settings.model_copy(update={"batch_size": batch}),
            precision=precision,
            device_kind="cpu",
        )
        if needs.total > room:
            return 0.0
        with kept_memory():
            times = [_timed(model, batch) for _ in range(3)]
        return batch / min(times[1:])

    return speed


def _device_trial(
    class_name: str, settings: ModelSettings, device: torch.device, precision: Precision
) -> Callable[[int], bool]:
    """Whether real steps with a batch size fit into the GPU's memory with some to spare."""
    model = build_model(class_name, settings, device=device, precision=precision)

    def fits(batch: int) -> bool:
        try:
            for _ in range(2):
                train_on_noise(model, batch_size=batch)
            room = _room_left(device)
        except torch.OutOfMemoryError:
            room = False
        for optimizer in model.optimizers().values():
            optimizer.zero_grad(set_to_none=True)
        gc.collect()
        with contextlib.suppress(AttributeError):
            torch.get_device_module(device).empty_cache()
        return room

    return fits


def _room_left(device: torch.device) -> bool:
    """Whether PyTorch and other programs leave enough of the GPU's memory free."""
    if device.type != "cuda":
        return True
    free, total = torch.cuda.mem_get_info(device)
    return free >= (1 - SAFETY) * total


def _timed(model: TrainableModel, batch: int) -> float:
    """The seconds of one step."""
    start = time.perf_counter()
    train_on_noise(model, batch_size=batch)
    return time.perf_counter() - start
