"""Packs and saved metadata as DeepFaceLab makes and reads them, with the standard library's pickle.

The classes whose names are in a pack are made up here under the names that the reference gives
(docs/internals/formats.md); nothing of ours takes part.
"""

from __future__ import annotations

import pickle
import struct
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

FACE_TYPES = {
    "half_face": 0,
    "midfull_face": 1,
    "full_face": 2,
    "full_face_no_align": 3,
    "whole_face": 4,
    "head": 10,
    "head_no_align": 20,
    "mark_only": 100,
}


@contextmanager
def dfl_modules() -> Generator[tuple[type[IntEnum], type[IntEnum]]]:
    """`samplelib.Sample.SampleType` and `facelib.FaceType.FaceType`, importable for a while."""
    sample = IntEnum(
        "SampleType",
        {"IMAGE": 0, "FACE": 1, "FACE_PERSON": 2, "FACE_TEMPORAL_SORTED": 3},
        module="samplelib.Sample",
    )
    face = IntEnum(
        "FaceType", {k.upper(): v for k, v in FACE_TYPES.items()}, module="facelib.FaceType"
    )
    for kind in (sample, face):  # as the interpreter of DFL's time pickles a member: by value
        kind.__reduce_ex__ = lambda self, _: (type(self), (self.value,))  # type: ignore
    made: dict[str, ModuleType] = {}
    for package, module, kind in (("samplelib", "Sample", sample), ("facelib", "FaceType", face)):
        made[package] = ModuleType(package)
        made[f"{package}.{module}"] = ModuleType(f"{package}.{module}")
        setattr(made[f"{package}.{module}"], kind.__name__, kind)
    sys.modules.update(made)
    try:
        yield sample, face
    finally:
        for name in made:
            del sys.modules[name]


def dfl_config(name: str, face_type: str = "whole_face", **changes: Any) -> dict[str, Any]:
    """A face's entry in a pack's table; its enumerations as plain text, made members on writing."""
    return {
        "sample_type": "FACE",
        "filename": name,
        "face_type": face_type.upper(),
        "shape": (128, 128, 3),
        "landmarks": np.random.default_rng(len(name)).normal(size=(68, 2)).tolist(),
        "seg_ie_polys": {"polys": []},
        "xseg_mask": None,
        "xseg_mask_compressed": None,
        "eyebrows_expand_mod": 1.0,
        "source_filename": "00017.png",
        "person_name": None,
        **changes,
    }


def dfl_pack(
    configs: Sequence[dict[str, Any]],
    files: Sequence[bytes],
    *,
    relative: bool = False,
    protocol: int = 4,
) -> bytes:
    """A pack as DFL writes it; `relative`: with the last offset as the others are."""
    with dfl_modules() as (sample, face):
        table = [
            {
                **config,
                "sample_type": sample[config["sample_type"]],
                "face_type": face[config["face_type"]],
            }
            for config in configs
        ]
        pickled = pickle.dumps(table, protocol)
    start = 16 + len(pickled) + 8 * (len(files) + 1)
    offsets = np.concatenate([[0], np.cumsum([len(file) for file in files])]).astype("<u8")
    if not relative:
        offsets[-1] += start
    return b"".join(
        (struct.pack("<QQ", 1, len(pickled)), pickled, offsets.astype("<u8").tobytes(), *files)
    )


class _Dfl(pickle.Unpickler):
    """CPython's unpickler with the globals that the reference lists for packs."""

    def find_class(self, module: str, name: str) -> Any:
        assert (module, name) in {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("samplelib.Sample", "SampleType"),
            ("facelib.FaceType", "FaceType"),
        }
        return super().find_class(module, name)


def dfl_open_pack(path: Path) -> list[tuple[dict[str, Any], bytes]]:
    """What DFL reads of a pack: each face's entry, and the bytes that it takes for its file."""
    with path.open("rb") as file, dfl_modules() as (sample, face):
        version, length = struct.unpack("<QQ", file.read(16))
        assert version == 1
        start = file.tell()
        table = _Dfl(file).load()
        assert file.tell() == start + length
        offsets = struct.unpack(f"<{len(table) + 1}Q", file.read(8 * (len(table) + 1)))
        data = file.tell()
        found: list[tuple[dict[str, Any], bytes]] = []
        for i, config in enumerate(table):
            assert type(config["sample_type"]) is sample and type(config["face_type"]) is face
            file.seek(data + offsets[i])
            found.append((config, file.read(offsets[i + 1] - offsets[i])))
        return found
