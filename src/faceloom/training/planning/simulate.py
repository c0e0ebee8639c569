"""Simulating a training step without arithmetic: what it allocates, computes and moves.

The model's own `train_step` runs on tensors with a shape but no memory (PyTorch's fake tensors), so
nothing here repeats the models' structure. An eager step is counted exactly; a compiled one needs
less.
"""

# torch has no public module for fake tensors.
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from faceloom.models import ModelSettings, Precision, build_model
from faceloom.nn.half import copy_to_renew
from faceloom.training.planning.noise import train_on_noise

# The first step allocates what stays: gradients and copies.
_STEPS = 2
_CONVOLUTIONS: Final = ("convolution.default", "_convolution_pointwise.default")
_PRODUCTS: Final = ("mm.default", "addmm.default", "bmm.default", "baddbmm.default")


class Convolution(NamedTuple):
    """One convolution of a step."""

    input: tuple[int, ...]
    """`b i h w`."""
    weight: tuple[int, ...]
    """`o i k k`."""
    stride: int
    to_input: bool
    """Whether its input has a gradient, as all but pictures do."""


@dataclass(frozen=True)
class Simulated:
    """What one step needs, in bytes and operations."""

    parameters: int
    """Number of trained parameters."""
    weights: int
    """Bytes of all networks' weights."""
    slots: int
    """Bytes of the optimizers' slots."""
    copies: int
    """Bytes of bfloat16 copies that persist between steps."""
    gradients: int
    """Bytes of gradients at the end of the backward pass."""
    peak: int
    """Bytes allocated at the worst moment, including those above."""
    flops: int
    """Operations of convolutions and matrix products, forward and backward; a multiplication and
    an addition are two."""
    product_flops: int
    """Those in float32 matrix products."""
    moved: int
    """Bytes read and written by everything but convolutions and the optimizer."""
    convolutions: Counter[Convolution] = field(default_factory=Counter)
    """How often each convolution runs forward."""


def simulate(
    class_name: str, settings: ModelSettings, *, precision: Precision, host_layers: bool
) -> Simulated:
    """Simulate two steps of a model and count the second.

    `host_layers`: use the bfloat16 layers for CPUs (`faceloom.nn.half`).
    """
    with _Fakes(), _Ledger() as ledger, _host_layers(host_layers):
        model: Any = build_model(class_name, settings, precision=precision)
        # The update works in blocks: it needs little memory, and its traffic is computed by hand.
        for optimizer in model.optimizers().values():
            optimizer.step = lambda: None
        weights, slots = _weights(model), _slots(model)
        for _ in range(_STEPS):
            ledger.restart()
            train_on_noise(model, batch_size=settings.batch_size)
        parameters = [p for p in weights if p.requires_grad]
        return Simulated(
            parameters=sum(p.numel() for p in parameters),
            weights=_bytes(weights),
            slots=_bytes(slots),
            copies=_bytes(c for c in map(copy_to_renew, weights) if c is not None),
            gradients=_bytes(p.grad for p in parameters if p.grad is not None),
            peak=ledger.peak,
            flops=ledger.flops,
            product_flops=ledger.product_flops,
            moved=ledger.moved,
            convolutions=ledger.convolutions,
        )


@contextlib.contextmanager
def _host_layers(enabled: bool) -> Generator[None]:
    mkldnn: Any = torch.backends.mkldnn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about GPUs of other makers, whenever the switch is set
        with mkldnn.flags(enabled=enabled and mkldnn.enabled):
            yield


def _weights(model: Any) -> list[Tensor]:
    return [p for network in model.networks().values() for p in network.parameters()]


def _slots(model: Any) -> list[Tensor]:
    states = [o.state.values() for o in model.optimizers().values()]
    return [v for state in states for slots in state for v in slots.values()]


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class _Fakes(FakeTensorMode):
    """Fake tensors for all but what is built on the meta device, which has no memory anyway. (Fake
    modules cannot be moved from it.)"""

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        on_meta = all(t.device.type == "meta" and not isinstance(t, FakeTensor) for t in tensors)
        asked = kwargs.get("device")
        place = "" if asked is None else torch.device(asked).type
        if on_meta and (place == "meta" or (tensors and not place)):
            return func(*args, **kwargs)
        return super().__torch_dispatch__(func, types, args, kwargs)


class _Ledger(TorchDispatchMode):
    """Counts what is allocated, computed and moved."""

    def __init__(self) -> None:
        super().__init__()
        self._alive: set[int] = set()
        self.live = self.peak = self.flops = self.product_flops = self.moved = 0
        self.convolutions: Counter[Convolution] = Counter()

    def restart(self) -> None:
        """Start to count a step; what is allocated stays."""
        self.peak = self.live
        self.flops = self.product_flops = self.moved = 0
        self.convolutions = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.__name__
        outputs = [t for t in tree_leaves(result) if isinstance(t, FakeTensor)]
        for tensor in outputs:
            self._note(tensor)
        if func.is_view:
            return result
        operations = _operations(name, args, outputs)
        self.flops += operations
        if name in _PRODUCTS and outputs[0].dtype == torch.float32:
            self.product_flops += operations
        if "convolution" not in name:
            inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, FakeTensor)]
            self.moved += _bytes(inputs) + _bytes(outputs)
        if name in _CONVOLUTIONS:
            self.convolutions[_convolution(name, args, outputs[0])] += 1
        return result

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._alive:
            return
        size = storage.nbytes()
        self._alive.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.live -= size


def _operations(name: str, args: Any, outputs: list[Any]) -> int:
    """Operations of a convolution, its backward pass, or a matrix product; else 0."""
    if name in _CONVOLUTIONS:
        each = (args[0] if _is_transposed(name, args) else outputs[0]).numel()
        return 2 * each * args[1][0].numel()
    if name == "convolution_backward.default":
        grad, _, weight = args[:3]
        passes = sum(args[10][:2])
        each = (args[1] if args[7] else grad).numel() * weight[0].numel()
        return 2 * passes * each
    if name in _PRODUCTS:
        return 2 * outputs[0].numel() * args[-2].shape[-1]
    return 0


def _is_transposed(name: str, args: Any) -> bool:
    return name == "convolution.default" and args[6]


def _convolution(name: str, args: Any, output: Tensor) -> Convolution:
    """A convolution; a transposed one becomes its inverse, which has the same three products."""
    x, weight = args[:2]
    stride = args[3][0] if name == "convolution.default" else args[4][0]
    if _is_transposed(name, args):
        return Convolution(tuple(output.shape), tuple(weight.shape), stride, True)
    return Convolution(tuple(x.shape), tuple(weight.shape), stride, x.shape[1] != 3)
