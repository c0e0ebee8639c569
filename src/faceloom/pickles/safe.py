"""Reading foreign pickles without running code from them.

DFL stores a face's metadata as a pickle inside the picture (docs/internals/formats.md). `loads`
understands the part of the pickle language that plain data and NumPy arrays need; a global outside
the allow-list is an error. `faceloom.pickles.writer` is the other direction.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from mmap import mmap
from typing import Any, Final

import numpy as np

from faceloom.core import FormatError
from faceloom.pickles.machine import OPERATIONS, Machine, Operation, Sink
from faceloom.pickles.numpy import (
    FACE_GLOBALS,
    Builder,
    Global,
    PendingArray,
    PendingDType,
    refused,
)

MAX_DEPTH: Final = 32
_STOP = 0x2E
_DAMAGE = (LookupError, ValueError, TypeError, struct.error, OverflowError)

# Limits of one batch of a stream: a thousand faces, as CPython batches them, of any kind.
_BATCH_OPERATIONS = 4_000_000
_BATCH_BYTES = 128 << 20

_LEAVES = frozenset({str, bytes, int, float, bool, type(None)})


def loads(
    data: bytes | mmap,
    *,
    max_bytes: int = 65_533,
    max_operations: int | None = None,
    allow: Mapping[tuple[str, str], Builder] = FACE_GLOBALS,
    operations: Mapping[int, Operation] = OPERATIONS,
    in_place: bool = False,
) -> Any:
    """The plain data (dict, list, tuple, str, bytes, numbers, NumPy arrays) in a pickle.

    Protocols 0 to 5. `allow` maps (module, name) to a builder for every global that may occur;
    `operations` maps opcodes to functions, for pickles that need more than the usual ones. With
    `in_place`, arrays of 4 KB and more are read-only views of `data`, which they keep alive, and
    long bytes outside of arrays are refused. Raises `FormatError` on any other global, on
    operations that plain data does not need, on damage, nesting deeper than 32, more than
    `max_bytes`, or more than `max_operations` opcodes; nothing is run then.
    """
    if len(data) > max_bytes:
        raise refused(f"{len(data)} bytes, at most {max_bytes} expected")
    try:
        machine = Machine(data if in_place else bytes(data), allow, in_place=in_place)
        most = len(data) + 1 if max_operations is None else max_operations
        value = _run(machine, most, operations)
        return _resolve(value, 0, [max(4096, 4 * len(data))])
    except _DAMAGE as error:
        raise FormatError(f"unsafe or damaged pickle: {type(error).__name__}") from None


def _run(machine: Machine, max_operations: int, operations: Mapping[int, Operation]) -> Any:
    data, operation_of = machine.data, operations.get
    for _ in range(max_operations):
        code = data[machine.position]
        machine.position += 1
        if code == _STOP:
            return machine.stack.pop()
        operation = operation_of(code)
        if operation is None:
            raise refused(f"operation {code:#04x}, which plain data does not need")
        operation(machine)
    raise refused(f"more than {max_operations} operations")


def _resolve(value: Any, depth: int, budget: list[int]) -> Any:
    """A copy without placeholders; bounded, because a memo can pack a huge tree into few bytes."""
    kind = type(value)
    if kind in _LEAVES:
        return value
    if depth > MAX_DEPTH:
        raise refused(f"nested deeper than {MAX_DEPTH}")
    if kind in (list, tuple, dict):
        budget[0] -= len(value)
        if budget[0] < 0:
            raise refused("it expands to far more than its size")
    if kind is list:
        pairs = _resolve_lists(value, budget) if depth < MAX_DEPTH else None
        return pairs or [
            item if type(item) in _LEAVES else _resolve(item, depth + 1, budget) for item in value
        ]
    if kind is tuple:
        return tuple(_resolve(item, depth + 1, budget) for item in value)
    if kind is dict:
        return {key: _resolve(item, depth + 1, budget) for key, item in value.items()}
    if kind is PendingArray and value.value is not None:
        return value.value
    if isinstance(value, (np.ndarray, np.generic)):
        return value
    raise refused("it contains something other than plain data")


def _resolve_lists(value: list[Any], budget: list[int]) -> list[Any] | None:
    """`_resolve` for lists of leaves, such as points, in a tenth of the time; None for others."""
    if set(map(type, value)) != {list}:
        return None
    total = sum(map(len, value))
    if total > budget[0] or not _LEAVES.issuperset(map(type, chain.from_iterable(value))):
        return None
    budget[0] -= total
    return list(map(list.copy, value))


# --- a large list or dictionary, piece by piece


def stream(
    data: bytes | mmap,
    *,
    start: int = 0,
    allow: Mapping[tuple[str, str], Builder] = FACE_GLOBALS,
    only: Collection[str] | None = None,
) -> Iterator[Any]:
    """The items of a pickled list, or the (key, value) pairs of a pickled dictionary, one by one.

    For pickles of any length: at most a thousand items, one batch of Python's pickler, are in
    memory. Items may share text and numbers, but not lists, dictionaries or arrays. The pickle
    begins at `start`; of items that are dictionaries, `only` these keys are kept. Raises
    `FormatError` as `loads`, after the items that precede the damage.
    """
    machine = Machine(data, allow, in_place=False)
    machine.position = start
    machine.memo = _Memo()
    sink = machine.sink = Sink()
    end = False
    while not end:
        try:
            before = machine.position
            end = _run_to_batch(machine, sink)
            budget = [max(4096, 4 * (machine.position - before))]
            items = [_resolve(_part(item, only), 1, budget) for item in sink.items]
            sink.items = []
            machine.memo.settle(machine)
        except _DAMAGE as error:
            raise FormatError(f"unsafe or damaged pickle: {type(error).__name__}") from None
        yield from zip(items[::2], items[1::2], strict=True) if sink.kind is dict else items
        del items  # before the next batch is read


def _part(item: Any, only: Collection[str] | None) -> Any:
    if only is None or type(item) is not dict:
        return item
    return {key: item[key] for key in only if key in item}


class _Memo(dict[int, Any]):
    """A memo that keeps of earlier batches only what later items may refer to."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[int, Any] = {}

    def __missing__(self, number: int) -> Any:
        return self._kept[number]

    def settle(self, machine: Machine) -> None:
        self._kept.update((number, value) for number, value in self.items() if _is_shared(value))
        machine.forgotten += len(self)
        self.clear()
        # Eight bytes is less than any text or call that a later item has a reason to refer to.
        if len(self._kept) > 4096 + machine.position // 8:
            raise refused("it memoizes more than its size explains")


def _is_shared(value: Any) -> bool:
    if type(value) is tuple:
        return len(value) <= 8 and all(type(item) in _LEAVES for item in value)
    if type(value) is bytes:
        return len(value) <= 8
    return type(value) in (str, int, float) or isinstance(value, (Global, PendingDType, Sink))


def _run_to_batch(machine: Machine, sink: Sink) -> bool:
    """Continue until items have arrived; True at the end of the pickle."""
    data, operation_of = machine.data, _STREAM_OPERATIONS.get
    last = machine.position + _BATCH_BYTES
    for _ in range(_BATCH_OPERATIONS):
        code = data[machine.position]
        machine.position += 1
        if code == _STOP:
            if len(machine.stack) != 1 or machine.stack[0] is not sink:
                raise refused("it is not one list or dictionary")
            return True
        operation = operation_of(code)
        if operation is None:
            raise refused(f"operation {code:#04x}, which plain data does not need")
        operation(machine)
        if sink.items:
            return False
        if machine.position > last:
            break
    raise refused("an item of absurd size")


def _outermost(kind: type, code: int) -> Operation:
    """Make the outermost container the sink; treat any other as usual."""
    usual = OPERATIONS[code]

    def operation(m: Machine) -> None:
        sink = m.sink
        if sink is None or sink.kind is not None or m.stack or len(m.marks) > (code in b"ld"):
            usual(m)
            return
        if code in b"ld":
            m.since_mark()
        sink.kind = kind
        m.stack.append(sink)

    return operation


_STREAM_OPERATIONS: Final[Mapping[int, Operation]] = {
    **OPERATIONS,
    **{
        ord(sign): _outermost(kind, ord(sign))
        for sign, kind in zip("]l}d", [list, list, dict, dict], strict=True)
    },
}
