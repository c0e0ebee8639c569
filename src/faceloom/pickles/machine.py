"""The interpreter behind `loads`: a stack, a memo, and the operations that plain data needs.

Nothing here imports or calls anything by name; any other operation is refused. We do not use
`pickle.Unpickler.find_class`: its C code allocates 1 GB for ten bytes (a memo index of 2**26),
hashes nested tuple keys for minutes, lets a pickle set attributes of allowed functions, and has no
limit on operations or nesting and no way to read a large list piece by piece.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from mmap import mmap
from typing import Any, Final

from faceloom.pickles.numpy import (
    Builder,
    Global,
    PendingArray,
    PendingDType,
    finish_array,
    finish_dtype,
    refused,
)
from faceloom.pickles.points import read_pairs

_MAX_INT_BYTES: Final = 16
_WINDOW_BYTES: Final = 4096


class Sink:
    """Stands for the outermost container when its content is read piece by piece."""

    __slots__ = ("items", "kind")

    def __init__(self) -> None:
        self.items: list[Any] = []
        """What arrived since it was last taken; keys and values of a dictionary alternate."""
        self.kind: type | None = None
        """`list` or `dict`, once known."""


class Machine:
    """Input, position, stack, stacks below open marks, and the memo."""

    __slots__ = (
        "allow",
        "data",
        "forgotten",
        "marks",
        "memo",
        "position",
        "sink",
        "stack",
        "window",
    )

    def __init__(
        self, data: bytes | mmap, allow: Mapping[tuple[str, str], Builder], *, in_place: bool
    ) -> None:
        self.data = data
        self.window = memoryview(data) if in_place else None
        self.allow = allow
        self.position = 0
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.forgotten = 0
        """Entries that were removed from the memo but still count in its numbering."""
        self.sink: Sink | None = None

    def take(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise refused("it ends too early")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def content(self, count: int) -> bytes | memoryview:
        """As `take`; for long content read in place, a view of the data rather than a copy."""
        if self.window is None or not _WINDOW_BYTES <= count <= len(self.data) - self.position:
            return self.take(count)
        self.position += count
        return self.window[self.position - count : self.position]

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise refused("an unterminated line")
        return self.take(end + 1 - self.position)[:-1]

    def since_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items


Operation = Callable[[Machine], None]


def _fixed(layout: str) -> Operation:
    """Push a number of fixed size."""
    form = struct.Struct(layout)

    def operation(m: Machine) -> None:
        m.stack.append(form.unpack_from(m.data, m.position)[0])
        m.position += form.size

    return operation


def _counted(layout: str, convert: Callable[[bytes], Any]) -> Operation:
    """Push what `convert` makes of length-prefixed bytes."""
    form = struct.Struct(layout)

    def operation(m: Machine) -> None:
        (length,) = form.unpack_from(m.data, m.position)
        m.position += form.size
        m.stack.append(convert(m.take(length)))

    return operation


def _content(layout: str) -> Operation:
    """Push length-prefixed bytes."""
    form = struct.Struct(layout)

    def operation(m: Machine) -> None:
        (length,) = form.unpack_from(m.data, m.position)
        m.position += form.size
        m.stack.append(m.content(length))

    return operation


def _constant(value: Any) -> Operation:
    return lambda m: m.stack.append(value)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


def _latin(raw: bytes) -> str:
    return raw.decode("latin-1")


def _long(raw: bytes) -> int:
    if len(raw) > _MAX_INT_BYTES:
        raise refused("a number of absurd size")
    return int.from_bytes(raw, "little", signed=True)


def _parse_int(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,38}", text):
        raise refused("an invalid number")
    return int(text)


def _op_int(m: Machine) -> None:
    text = m.line().decode("ascii")
    m.stack.append({"00": False, "01": True}[text] if text in ("00", "01") else _parse_int(text))


def _op_long(m: Machine) -> None:
    m.stack.append(_parse_int(m.line().decode("ascii").removesuffix("L")))


def _op_proto(m: Machine) -> None:
    if m.take(1)[0] > 5:
        raise refused("a protocol newer than 5")


def _op_frame(m: Machine) -> None:
    m.take(8)


def _op_mark(m: Machine) -> None:
    m.marks.append(m.stack)
    m.stack = []


def _op_pop_mark(m: Machine) -> None:
    m.since_mark()


def _op_pop(m: Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.since_mark()


def _set_items(target: Any, items: list[Any]) -> None:
    if len(items) % 2:
        raise refused("a key without a value")
    if any(type(key) not in (str, int) for key in items[::2]):
        raise refused("a key that is neither text nor number")
    if type(target) is dict:
        target.update(zip(items[::2], items[1::2], strict=True))
    elif isinstance(target, Sink) and target.kind is dict:
        target.items += items
    else:
        raise refused("items for something other than a dictionary")


def _op_dict(m: Machine) -> None:
    items = m.since_mark()
    target: dict[Any, Any] = {}
    _set_items(target, items)
    m.stack.append(target)


def _op_set_item(m: Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    _set_items(m.stack[-1], [key, value])


def _op_set_items(m: Machine) -> None:
    items = m.since_mark()
    _set_items(m.stack[-1], items)


def _extend(target: Any, items: list[Any]) -> None:
    if type(target) is list:
        target.extend(items)
    elif isinstance(target, Sink) and target.kind is list:
        target.items += items
    else:
        raise refused("items for something other than a list")


def _op_list(m: Machine) -> None:
    items = m.since_mark()
    m.stack.append(items)


def _op_empty_list(m: Machine) -> None:
    found = read_pairs(m.data, m.position - 1)
    if found is None:
        m.stack.append([])
        return
    first = len(m.memo) + m.forgotten
    numbers = found.numbers or range(first, first + len(found.pairs))
    m.memo.update(zip(numbers, found.pairs, strict=True))
    m.stack += found.pairs
    m.position = found.end


def _op_append(m: Machine) -> None:
    item = m.stack.pop()
    _extend(m.stack[-1], [item])


def _op_appends(m: Machine) -> None:
    items = m.since_mark()
    _extend(m.stack[-1], items)


def _op_tuple(m: Machine) -> None:
    items = m.since_mark()
    m.stack.append(tuple(items))


def _short_tuple(length: int) -> Operation:
    def operation(m: Machine) -> None:
        if len(m.stack) < length:
            raise refused("a tuple without items")
        m.stack[-length:] = [tuple(m.stack[-length:])]

    return operation


def _op_put(m: Machine) -> None:
    m.memo[_parse_int(m.line().decode("ascii"))] = m.stack[-1]


def _op_memoize(m: Machine) -> None:
    m.memo[len(m.memo) + m.forgotten] = m.stack[-1]


def _op_get(m: Machine) -> None:
    m.stack.append(m.memo[_parse_int(m.line().decode("ascii"))])


def _binary_put(layout: str) -> Operation:
    form = struct.Struct(layout)

    def operation(m: Machine) -> None:
        m.memo[form.unpack_from(m.data, m.position)[0]] = m.stack[-1]
        m.position += form.size

    return operation


def _binary_get(layout: str) -> Operation:
    form = struct.Struct(layout)

    def operation(m: Machine) -> None:
        m.stack.append(m.memo[form.unpack_from(m.data, m.position)[0]])
        m.position += form.size

    return operation


def _push_global(m: Machine, module: Any, name: Any) -> None:
    if type(module) is not str or type(name) is not str or (module, name) not in m.allow:
        raise refused(f"it asks for {module!s:.60}.{name!s:.60}, which plain data never needs")
    m.stack.append(Global(m.allow[(module, name)]))


def _op_global(m: Machine) -> None:
    module, name = m.line().decode("ascii"), m.line().decode("ascii")
    _push_global(m, module, name)


def _op_stack_global(m: Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    _push_global(m, module, name)


def _op_reduce(m: Machine) -> None:
    args, function = m.stack.pop(), m.stack.pop()
    if not isinstance(function, Global) or type(args) is not tuple:
        raise refused("a call of something other than a function")
    m.stack.append(function.build(args))


def _op_build(m: Machine) -> None:
    state, target = m.stack.pop(), m.stack[-1]
    if type(state) is not tuple:
        raise refused("an object of an unknown kind")
    if isinstance(target, PendingDType):
        finish_dtype(target, state)
    elif isinstance(target, PendingArray) and target.value is None:
        finish_array(target, state)
    else:
        raise refused("an object of an unknown kind")


OPERATIONS: Final[Mapping[int, Operation]] = {
    0x80: _op_proto,
    0x95: _op_frame,
    ord("("): _op_mark,
    ord("0"): _op_pop,
    ord("1"): _op_pop_mark,
    ord("2"): lambda m: m.stack.append(m.stack[-1]),
    ord("}"): lambda m: m.stack.append({}),
    ord("d"): _op_dict,
    ord("s"): _op_set_item,
    ord("u"): _op_set_items,
    ord("]"): _op_empty_list,
    ord("l"): _op_list,
    ord("a"): _op_append,
    ord("e"): _op_appends,
    ord(")"): _constant(()),
    ord("t"): _op_tuple,
    0x85: _short_tuple(1),
    0x86: _short_tuple(2),
    0x87: _short_tuple(3),
    ord("N"): _constant(None),
    0x88: _constant(True),
    0x89: _constant(False),
    ord("J"): _fixed("<i"),
    ord("K"): _fixed("<B"),
    ord("M"): _fixed("<H"),
    ord("I"): _op_int,
    ord("L"): _op_long,
    0x8A: _counted("<B", _long),
    0x8B: _counted("<i", _long),
    ord("G"): _fixed(">d"),
    ord("F"): lambda m: m.stack.append(float(m.line())),
    0x8C: _counted("<B", _text),
    ord("X"): _counted("<I", _text),
    0x8D: _counted("<Q", _text),
    ord("V"): lambda m: m.stack.append(m.line().decode("raw-unicode-escape")),
    ord("C"): _content("<B"),
    ord("B"): _content("<I"),
    0x8E: _content("<Q"),
    0x96: _content("<Q"),  # BYTEARRAY8: how protocol 5 stores an array's content
    ord("T"): _counted("<i", _latin),
    ord("U"): _counted("<B", _latin),
    ord("p"): _op_put,
    ord("q"): _binary_put("<B"),
    ord("r"): _binary_put("<I"),
    0x94: _op_memoize,
    ord("g"): _op_get,
    ord("h"): _binary_get("<B"),
    ord("j"): _binary_get("<I"),
    ord("c"): _op_global,
    0x93: _op_stack_global,
    ord("R"): _op_reduce,
    ord("b"): _op_build,
}
"""Byte → what to do."""
