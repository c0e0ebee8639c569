"""One of several training processes, or the only one: `python parallel_process.py OUT`.

Every process takes its part of the same global batches, and writes what it ended with to
`OUT/<size>-<rank>.pt`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from faceloom.core.errors import FaceloomError, InputError
from faceloom.models import FaceModel, SaehdSettings, SampleBatch, build_model
from faceloom.nn import AdaBelief
from faceloom.training.distributed import parallel, reduction

STEPS = 3
GLOBAL_BATCH = 4
TINY: dict[str, Any] = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16}
CASES: dict[str, dict[str, Any]] = {
    "df": {"archi": "df-ud", "true_face_power": 0.1, "clipgrad": True, "lr_dropout": "y"},
    "liae": {"archi": "liae-ud", "random_warp": False, "gan_power": 0.1, "gan_dims": 4},
}


def batch(seed: int, world: parallel.World) -> SampleBatch:
    """This process's samples of the global batch of `seed`."""
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.rand(GLOBAL_BATCH, 3, 8, 8, generator=generator)
    target = nn.functional.interpolate(pictures, size=64, mode="bicubic").clamp(0, 1)
    mask = torch.zeros(GLOBAL_BATCH, 1, 64, 64)
    mask[:, :, 12:52, 16:48] = 1
    part = slice(world.rank, None, world.size)
    return SampleBatch(target.roll(1, -1)[part], target[part], mask[part])


def train(options: dict[str, Any], world: parallel.World) -> dict[str, Any]:
    """`STEPS` steps of a model that only the first process has set up."""
    settings = SaehdSettings(learning_rate=1e-4, **TINY, **options)
    model: FaceModel = build_model("SAEHD", settings, seed=0 if world.first else 5)
    if world.first:
        for number, optimizer in enumerate(model.optimizers().values()):
            optimizer.param_groups[0]["step"] = 7 + number
            for slots in optimizer.state.values():
                slots["s"].fill_(1e-4)
    parallel.broadcast_model(model, world)
    parallel.reduce_gradients(model.optimizers(), world)
    rows: list[Tensor] = []
    for step in range(STEPS):
        losses = model.train_step(
            batch(2 * step, world), batch(2 * step + 1, world), iteration=step
        )
        rows.append(torch.stack([losses["src"], losses["dst"]]))
    tensors = {
        f"{name}.{key}": value.detach().clone()
        for name, network in model.networks().items()
        for key, value in network.state_dict().items()
    }
    for name, optimizer in model.optimizers().items():
        for number, slots in enumerate(optimizer.state.values()):
            tensors |= {f"{name}.{number}.{slot}": value for slot, value in slots.items()}
    return {
        "tensors": tensors,
        "losses": parallel.mean_losses(torch.stack(rows), world),
        "steps": [o.param_groups[0]["step"] for o in model.optimizers().values()],
    }


def toy(world: parallel.World) -> dict[str, Any]:
    """Gradients of rank + 1 for every weight; what was sent before the step, and what it saw."""
    reduction.BUCKET_BYTES = 64
    layers = [nn.Parameter(torch.zeros(12)) for _ in range(3)]
    resting = nn.Parameter(torch.zeros(2))
    optimizer = AdaBelief([resting, *layers], lr=0.1)
    summing = reduction.Reduction("toy", optimizer)
    summing.attach()
    seen: list[list[float | None]] = []
    sent: list[int] = []

    def step(*factors: float, keep: bool = False, used: int = 3) -> None:
        optimizer.zero_grad(set_to_none=not keep)
        for factor in factors:
            sum((world.rank + 1) * factor * layer.sum() for layer in layers[:used]).backward()
        sent.append(summing._sent)
        optimizer.step()
        seen.append([None if p.grad is None else p.grad[0].item() for p in (resting, *layers)])

    step(1.0)
    step(2.0)
    step(1.0, 2.0)  # two backward passes: what was sent after the first one is outdated
    step(5.0, keep=True)
    step(1.0, used=2)  # now a layer rests that has had a gradient
    step(1.0, used=2)
    return {"seen": seen, "sent": sent, "layer": layers[0].detach()}


def disagree(world: parallel.World) -> str:
    """What the processes say when each trains another parameter."""
    params = [nn.Parameter(torch.zeros(3)) for _ in range(2)]
    optimizer = AdaBelief(params, lr=0.1)
    parallel.reduce_gradients({"odd": optimizer}, world)
    params[world.rank].sum().backward()
    try:
        optimizer.step()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main(out: Path) -> None:
    torch.set_num_threads(1)
    world = parallel.world_from_environment()
    results: dict[str, Any] = {}
    try:
        with parallel.processes(world, torch.device("cpu")):
            results |= {name: train(case, world) for name, case in CASES.items()}
            if world.size > 1:
                results["toy"] = toy(world)
                results["disagree"] = disagree(world)
                results["object"] = parallel.broadcast_object({"from": world.rank}, world)
                if world.first:
                    raise InputError("the first process gives up")
                parallel.broadcast_object(None, world)
    except FaceloomError as error:
        results["end"] = f"{type(error).__name__}: {error}"
    torch.save(results, out / f"{world.size}-{world.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
