"""The pickle reader and writer against CPython's, the reference's golden bytes, and attacks."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import tracemalloc
from typing import Any

import numpy as np
import pytest

from face_inputs import AllowList
from faceloom.core import FormatError
from faceloom.pickles import machine as pickle_machine
from faceloom.pickles.safe import FACE_GLOBALS, loads, stream
from faceloom.pickles.writer import dump_arrays, dumps

GOLDEN = bytes.fromhex(
    "80037d7100580b000000736f757263655f726563747101636e756d70792e636f72652e6d756c746961727261790a"
    "5f7265636f6e7374727563740a7102636e756d70790a6e6461727261790a71034b00857104430162710587710652"
    "7107284b014b04857108636e756d70790a64747970650a710958020000006934710a898887710b52710c284b0358"
    "010000003c710d4e4e4e4affffffff4affffffff4b0074710e628943100a000000140000006e0000007800000071"
    "0f74711062732e"
)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        same = a.shape == b.shape and a.dtype.newbyteorder("=") == b.dtype.newbyteorder("=")
        return same and bool((a == b).all())
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


POINTS = np.random.default_rng(0).normal(size=(68, 2)) * 300
PLAIN: dict[str, Any] = {
    "face_type": "whole_face",
    "landmarks": POINTS.tolist(),
    "source_rect": np.array([10, 20, 110, 120]),
    "matrix": np.asfortranarray(POINTS[:2]),
    "big_endian": np.arange(5, dtype=">i4"),
    "kinds": [np.zeros((2, 0, 3), t) for t in ("b1", "u1", "i1", "u2", "f2", "f4", "u8", "i8")],
    "brow": np.float64(1.5),
    "scalars": [np.int32(-4), np.uint8(7), np.float32(0.25), np.bool_(True)],
    "ints": [0, 255, 256, 65535, 65536, -1, 2**31 - 1, -(2**31), 2**40, -(2**63), 2**64],
    "floats": [0.0, -0.5, 1e300, float("inf")],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "words": ["", "女 é", "x" * 300, "whole_face", True, False, None],
    "bytes": [b"", b"ab" * 400],
    "one": {"key": [7]},
    "empty": [{}, []],
    5: "a number as key",
}


def test_golden_bytes_both_ways():
    value = {"source_rect": np.array([10, 20, 110, 120], np.int32)}
    assert dumps(value) == GOLDEN
    assert equal(loads(GOLDEN), value)


@pytest.mark.parametrize("protocol", range(6))
def test_reads_what_cpython_writes(protocol: int):
    assert equal(loads(pickle.dumps(PLAIN, protocol)), PLAIN)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_numpy_1_and_2_spellings(protocol: int):
    data = pickle.dumps([np.arange(3), np.float64(2)], protocol)
    assert b"numpy._core" in data
    if protocol == 3:  # lengths are written in binary from 4 on
        data = data.replace(b"numpy._core", b"numpy.core")
    assert equal(loads(data), [np.arange(3), np.float64(2)])


def test_cpython_reads_what_we_write_with_the_listed_globals_only():
    data = dumps(PLAIN)
    assert equal(AllowList(io.BytesIO(data)).load(), PLAIN)
    assert equal(loads(data), PLAIN)
    assert data[:2] == b"\x80\x03" and b"numpy._core" not in data
    assert max(op.proto for op, _, _ in pickletools.genops(data)) <= 3


def test_many_values_outgrow_the_short_memo():
    value = [[f"key {i}", float(i)] for i in range(400)] * 2
    assert loads(dumps(value)) == pickle.loads(dumps(value)) == value


def test_arrays_come_out_writable_and_native():
    array = loads(dumps({"a": PLAIN["big_endian"]}))["a"]
    array[0] = 9
    assert array.dtype.isnative


@pytest.mark.parametrize(
    "value", [object(), {1.5: 2}, {(1,): 2}, np.array(["a"]), np.array([None]), 1 << 3000, {1, 2}]
)
def test_writer_refuses_what_is_not_plain(value: Any):
    with pytest.raises(FormatError, match="face metadata"):
        dumps({"x": value})


class Evil:
    def __init__(self, call: Any, *args: Any) -> None:
        self.call, self.args = call, args

    def __reduce__(self) -> Any:
        return self.call, self.args


def hostile() -> dict[str, bytes]:
    """Pickles that must do nothing; each says what it tries."""
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    bomb = b"\x80\x04]\x94" + b"".join(
        b"]\x94(" + b"h" + bytes([i]) + b"h" + bytes([i]) + b"e" for i in range(120)
    )
    core = b"cnumpy.core.multiarray\n"
    start = core + b"_reconstruct\n(cnumpy\nndarray\nK\0\x85C\x01btR"
    dtype = b"cnumpy\ndtype\n(X\x02\0\0\0%s\x89\x88tR(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xff"
    dtype += b"J\xff\xff\xff\xffK\0tb"
    array = start + b"(K\x01%s" + dtype % b"i4" + b"\x89%stb."
    attacks = {f"system {p}": pickle.dumps(Evil(os.system, "touch pwned"), p) for p in range(6)}
    attacks |= {
        "eval": pickle.dumps(Evil(eval, "1")),
        "getattr": pickle.dumps(Evil(getattr, "a", "b")),
        "call of an argument": b"(cnumpy\nndarray\nK\1tR.",
        "call of text": b"X\1\0\0\0a)R.",
        "memory from a number": b"c__builtin__\nbytes\n(J\0\0\0\x7ftR.",
        "class instance": b"cnumpy\nndarray\n)\x81.",
        "inst": b"(ios\nsystem\n.",
        "obj": b"(cos\nsystem\no.",
        "persistent id": b"Pfile\n.",
        "binary persistent id": b"K\1Q.",
        "extension": b"\x82\1.",
        "out of band buffer": b"\x97.",
        "stack global": b"\x8c\2os\x8c\6system\x93.",
        "stack global of numbers": b"K\1K\2\x93.",
        "dotted name": b"\x8c\x05numpy\x8c\x10ndarray.__class__\x93.",
        "bare global": b"cnumpy\nndarray\n.",
        "unfinished array": start + b".",
        "build on a dict": b"}}b.",
        "build on a list": b"](K\1tb.",
        "object array": array.replace(b"i4", b"O8") % (b"K\1\x85", b"]"),
        "text array": array.replace(b"i4", b"U1") % (b"K\1\x85", b"C\4abcd"),
        "array too large": array % (b"J\0\0\0\x7f\x85", b"C\4abcd"),
        "array too small": array % (b"K\1\x85", b"C\x08abcdefgh"),
        "array of negative size": array % (b"J\xff\xff\xff\xff\x85", b"C\4abcd"),
        "array of absurd empty size": array % (b"(K\0J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft", b"C\0"),
        "array of many dimensions": array % (b"(" + b"K\1" * 40 + b"t", b"C\4abcd"),
        "array in an array": array % (b"K\1\x85", start),
        "scalar of a wrong size": core + b"scalar\n(" + dtype % b"i4" + b"C\1atR.",
        "nesting": pickle.dumps(deep),
        "cycle": b"\x80\4]\x94h\0a.",
        "cycle through a dict": b"\x80\4}\x94X\1\0\0\0ah\0s.",
        "unfolding bomb": bomb + b".",
        "number bomb": b"\x8a\xff" + b"\xff" * 255 + b".",
        "number line bomb": b"I" + b"9" * 5000 + b"\n.",
        "long length": b"X\xff\xff\xff\xffabc.",
        "longer length": b"\x8e" + b"\xff" * 8 + b"abc.",
        "negative length": b"\x8b\xff\xff\xff\xffabc.",
        "unhashable key": b"}]K\1s.",
        "odd items": b"}(K\1u.",
        "unknown protocol": b"\x80\x09N.",
        "unknown operation": b"\xfe.",
        "empty": b"",
        "no stop": b"N",
        "empty stack": b".",
        "no mark": b"e.",
        "unknown memo": b"h\7.",
        "bad text": b"X\2\0\0\0\xff\xfe.",
        "too long": b"N" * 70_000 + b".",
    }
    return attacks


@pytest.mark.parametrize("attack", hostile())
def test_hostile_pickles_are_one_clear_error(
    attack: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FormatError, match=r"^unsafe or damaged pickle: .{8,}") as caught:
        loads(hostile()[attack])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_every_truncation_and_byte_change_is_an_error_or_plain_data():
    data = dumps({key: PLAIN[key] for key in ("source_rect", "brow", "tuples", "ints")})
    rng = np.random.default_rng(5)
    for end in range(len(data)):
        with pytest.raises(FormatError):
            loads(data[:end])
    for _ in range(4000):
        changed = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            changed[place] = rng.integers(0, 256)
        try:
            loads(bytes(changed))
        except FormatError:
            continue


def test_more_globals_may_be_allowed():
    data = b"csamplelib.Sample\nSampleType\nK\2\x85R."
    with pytest.raises(FormatError, match=r"samplelib\.Sample\.SampleType"):
        loads(data)
    allow = {**FACE_GLOBALS, ("samplelib.Sample", "SampleType"): lambda args: int(args[0])}
    assert loads(data, allow=allow) == 2


def test_a_large_limit_takes_large_data():
    data = dumps([bytes(100_000)])
    assert len(loads(data, max_bytes=1 << 20)[0]) == 100_000
    with pytest.raises(FormatError, match="65533"):
        loads(data)


def large_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    wide = rng.normal(size=(40, 50)).astype(np.float32)
    return {
        "rows": wide,
        "columns": np.asfortranarray(wide),
        "turned": wide[::-1].T,
        "half": wide.astype(np.float16),
        "bytes": np.arange(9000, dtype=np.uint8),
        "beyond the buffer": np.zeros((1 << 14, 3), np.int64),
        "small": wide[0, :3],
        "empty": wide[:0],
        "number": np.float32(2),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_in_place_gives_the_same_arrays_as_windows(protocol: int):
    data = pickle.dumps(large_arrays(), protocol)
    value = loads(data, max_bytes=1 << 30, in_place=True)
    assert equal(value, large_arrays())
    assert equal(loads(data, max_bytes=1 << 30), value)
    if protocol > 2:  # which spells bytes as text
        assert not value["rows"].flags.owndata and not value["columns"].flags.writeable


def test_arrays_written_one_at_a_time_are_a_pickle_of_protocol_4():
    file = io.BytesIO()
    dump_arrays(iter(large_arrays().items()), file)
    data = file.getvalue()
    assert data[:2] == b"\x80\x04" and b"numpy._core" not in data
    assert equal(AllowList(io.BytesIO(data)).load(), large_arrays())
    assert equal(loads(data, max_bytes=len(data), in_place=True), large_arrays())


def test_in_place_refuses_what_would_have_to_be_copied():
    for value in [bytes(5000), np.arange(5000, dtype=">i4")]:
        data = pickle.dumps([value], 4)
        assert len(loads(data)) == 1
        with pytest.raises(FormatError, match="unsafe or damaged"):
            loads(data, in_place=True)


def test_operations_are_bounded():
    data = pickle.dumps(list(range(1000)), 4)
    assert len(loads(data, max_operations=1100)) == 1000
    with pytest.raises(FormatError, match="more than 900 operations"):
        loads(data, max_operations=900)


# --- piece by piece


def faces(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(9)
    return [
        {
            "face_type": "whole_face",
            "name": f"{i:05d}_0.jpg",
            "landmarks": rng.normal(size=(68, 2)).tolist(),
            "rect": rng.integers(0, 900, 4),
            "shape": (512, 512, 3),
        }
        for i in range(count)
    ]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("count", [0, 1, 3, 1001])
def test_a_stream_gives_the_items_of_cpythons_pickles(protocol: int, count: int):
    items = faces(count)
    assert equal(list(stream(pickle.dumps(items, protocol))), items)
    named = {str(i): item for i, item in enumerate(items)}
    assert equal(dict(stream(pickle.dumps(named, protocol))), named)


def test_a_stream_may_give_some_keys_only():
    pairs = list(stream(pickle.dumps(faces(3), 4), only=("name", "none")))
    assert pairs == [{"name": f"{i:05d}_0.jpg"} for i in range(3)]


def test_a_stream_holds_a_batch_at_a_time():
    peaks: list[int] = []
    for count in (1000, 3000):
        data = pickle.dumps(faces(count), 4)
        tracemalloc.start()
        try:
            assert sum(1 for _ in stream(data)) == count
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


@pytest.mark.parametrize("attack", hostile())
def test_hostile_pickles_are_refused_by_a_stream_too(attack: str):
    data = hostile()[attack]
    if attack == "no mark":
        assert list(stream(b"](" + data)) == []  # an empty list
        return
    for prefix in (b"", b"\x80\x04](", b"\x80\x04}(K\0"):
        with pytest.raises(FormatError, match=r"^unsafe or damaged pickle: .{8,}"):
            list(stream(prefix + data))


@pytest.mark.parametrize(
    "data",
    [
        b"N.",
        b"]].",
        b"(K\1K\2l.",
        b"](]e](e.",
        b"\x80\x04]\x94(h\0e.",
        b"}(K\1e.",
        b"](K\1K\2u.",
        b"\x80\x04](]\x94ah\0a.",
    ],
)
def test_streams_of_odd_shape_are_refused(data: bytes):
    with pytest.raises(FormatError):
        list(stream(data))


def test_a_stream_refuses_to_look_back_at_what_it_has_handed_over():
    point = [1.0, 2.0]
    shared = [[point]] * 1500
    assert loads(pickle.dumps(shared, 4)) == shared
    with pytest.raises(FormatError, match="unsafe or damaged"):
        list(stream(pickle.dumps(shared, 4)))


@pytest.mark.parametrize("protocol", [1, 2, 3, 4])
def test_points_read_together_are_the_same_as_one_by_one(
    protocol: int, monkeypatch: pytest.MonkeyPatch
):
    rng = np.random.default_rng(4)
    points = rng.normal(size=(300, 2)).tolist()
    value = {"a": points, "b": [points[7], points[299], points[0]], "c": points[:1]}
    data = pickle.dumps(value, protocol)
    together = loads(data)
    assert together == value and together["b"][0] is not None
    monkeypatch.setattr(pickle_machine, "read_pairs", lambda *_: None)
    assert loads(data) == value
