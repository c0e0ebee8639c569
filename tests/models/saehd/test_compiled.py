"""A compiled training step against the eager one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from faceloom.models import FaceModel, SaehdSettings, SampleBatch, build_model
from faceloom.models import pair as pair_module
from faceloom.models.stepping import forget_compiled
from faceloom.nn import conv, convolve

TINY: dict[str, Any] = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16}


def graph_only(device: torch.device, function: Callable[..., Any]) -> Callable[..., Any]:
    """The tracing and the graph's own backward pass of a compilation, without its code."""
    del device
    return torch.compile(function, fullgraph=True, dynamic=False, backend="aot_eager")


@pytest.fixture(autouse=True)
def traced_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pair_module, "compiled_for", graph_only)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def batch(seed: int) -> SampleBatch:
    generator = torch.Generator().manual_seed(seed)
    warped, target = torch.rand(2, 2, 3, 64, 64, generator=generator)
    mask, eyes_mouth = torch.rand(2, 2, 1, 64, 64, generator=generator)
    return SampleBatch(warped, target, mask.round(), eyes_mouth.round())


def trained(model: FaceModel, *, steady: bool = False) -> list[float]:
    """The losses of two steps; `steady`: only the first may compile."""
    curve: list[float] = []
    for i in range(2):
        with torch._dynamo.config.patch(error_on_recompile=steady and i > 0):
            losses = model.train_step(batch(i), batch(10 + i), iteration=i)
            model.predict(batch(i).target)
        curve += [loss.item() for loss in losses.values()]
    return curve


@pytest.mark.parametrize(
    "options",
    [
        {"archi": "df-ud", "gan_power": 0.1, "gan_dims": 4, "true_face_power": 0.01},
        {"archi": "liae-ud", "eyes_mouth_prio": True, "blur_out_mask": True},
    ],
    ids=["df-gan", "liae"],
)
def test_compiled_step_is_the_eager_one_and_compiles_once(options: dict[str, Any]) -> None:
    settings = SaehdSettings(**TINY, **options)
    eager, graphed = (
        build_model("SAEHD", settings, seed=2, compiled=compiled) for compiled in (False, True)
    )
    assert trained(graphed, steady=True) == pytest.approx(trained(eager), rel=1e-5)
    for name, network in eager.networks().items():
        weights = network.state_dict()
        for key, value in graphed.networks()[name].state_dict().items():
            # Early steps are 3.5 learning rates each, whatever the gradient's size: a rounding of
            # it near 0 may turn one.
            apart = (value - weights[key]).abs()
            assert apart.max() < 4e-4, f"{name}.{key}"
            assert apart.mean() < 1e-6, f"{name}.{key}"


def test_any_number_of_models_can_be_compiled_one_after_the_other() -> None:
    """A recipe that resets networks builds dozens."""

    def of_model(power: float) -> Callable[[torch.Tensor], torch.Tensor]:
        return torch.compile(lambda x: power * x, fullgraph=True, dynamic=False, backend="eager")

    limit = torch._dynamo.config.recompile_limit
    for number in range(limit + 1):
        assert of_model(0.5 + number)(torch.ones(1)) == 0.5 + number
        forget_compiled()


def test_bf16_layers_can_be_traced() -> None:
    layer = conv(3, 4, 3)
    picture = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))

    def forward(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return convolve(x, layer, "leaky", 0.1)

    traced = graph_only(torch.device("cpu"), forward)(picture)
    assert traced.dtype == torch.bfloat16
    assert torch.allclose(traced, forward(picture), atol=0.02)
