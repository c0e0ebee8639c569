"""Files of S3FD and FAN in every form, against networks written anew; and hostile ones."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from faceloom.core import FormatError, WeightsError
from faceloom.detect.networks.fan import load_fan
from faceloom.detect.networks.fan_network import FanNetwork
from faceloom.detect.networks.s3fd import load_s3fd
from faceloom.detect.networks.s3fd_network import S3fdNetwork
from faceloom.weights.foreign_weights import read_weights
from foreign_files import (
    PublicFan,
    face_alignment_names,
    fan_forward,
    randomised,
    s3fd_forward,
    write_dfl,
)

# Published files are TorchScript, which PyTorch no longer recommends; loading does not use it.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

NARROW, WIDTH = 16, 8


def write_fan(kind: str, path: Path, state: dict[str, torch.Tensor]) -> Path:
    if kind == "dfl":
        return write_dfl(path, state)
    public = face_alignment_names(state)
    if kind == "stacked":
        torch.save(public, path, _use_new_zipfile_serialization=False)
    elif kind == "zip":
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in public.items()}}, path)
    else:
        module = PublicFan(WIDTH).eval()
        module.load_state_dict(public, strict=False)
        missing = set(public) - set(module.state_dict())
        assert not missing
        if kind == "scripted":
            torch.jit.script(module).save(str(path))
        else:
            with torch.no_grad():
                torch.jit.trace(module, torch.zeros(1, 3, 32, 32)).save(str(path))
    return path


@pytest.mark.parametrize("kind", ["dfl", "stacked", "zip", "scripted", "traced"])
def test_fan_reads_every_form_and_computes_what_the_reference_does(tmp_path, kind) -> None:
    state = randomised(FanNetwork(WIDTH), 1)
    network = load_fan(write_fan(kind, tmp_path / "fan", state), FanNetwork(WIDTH))
    for name, value in state.items():
        assert torch.equal(network.state_dict()[name], value), name
    if kind not in ("dfl", "stacked"):
        return  # the same tensors in the same network: the same outputs
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        ours, theirs = network(x), fan_forward(state, x)
    assert ours.shape == (1, 68, 16, 16)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize("kind", ["dfl", "stacked", "zip"])
def test_s3fd_reads_every_form_and_computes_what_the_reference_does(tmp_path, kind) -> None:
    state = randomised(S3fdNetwork(NARROW), 3)
    path = tmp_path / "s3fd"
    if kind == "dfl":
        write_dfl(path, state)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    network = load_s3fd(path, S3fdNetwork(NARROW))
    x = 100 * torch.randn(1, 3, 96, 136, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        ours, theirs = network(x), s3fd_forward(state, x)
    assert tuple(ours[0][0].shape[1:]) == (24, 34)
    for level, ((face, shifts), (scores, reference)) in enumerate(zip(ours, theirs, strict=True)):
        background = scores[:, :3].max(dim=1).values if level == 0 else scores[:, 0]
        odds = torch.exp(scores[:, -1] - background)
        torch.testing.assert_close(face, odds / (1 + odds), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(shifts, reference, rtol=1e-4, atol=1e-4)


def test_the_networks_are_as_large_as_the_known_files() -> None:
    """Counted by hand from the tables of pipeline.md 3.3 and 3.5."""
    convolutions = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
    convolutions += [(256, 512), *[(512, 512)] * 5, (512, 1024), (256, 512), (128, 256)]
    count = sum(9 * a * b + b for a, b in convolutions)
    count += 1024 * 1024 + 1024 + 1024 * 256 + 256 + 512 * 128 + 128 + 256 + 512 + 512
    heads = [(256, 8), (512, 6), (512, 6), (1024, 6), (512, 6), (256, 6)]
    count += sum(9 * a * b + b for a, b in heads)
    assert sum(value.numel() for value in S3fdNetwork().state_dict().values()) == count
    assert FanNetwork().conv1.weight.shape == (64, 3, 7, 7)
    assert FanNetwork().get_submodule("m_3.b2_plus.b2_plus.b2_plus.b2_plus.conv1")


def test_a_file_that_does_not_fit_says_so_in_one_line(tmp_path: Path) -> None:
    state = randomised(S3fdNetwork(NARROW), 5)
    path = tmp_path / "S3FD.npy"

    def reason(changed: dict[str, torch.Tensor]) -> str:
        write_dfl(path, changed)
        with pytest.raises(FormatError) as caught:
            load_s3fd(path, S3fdNetwork(NARROW))
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
        return str(caught.value)

    assert "lacks fc6.bias" in reason({k: v for k, v in state.items() if k != "fc6.bias"})
    assert "no place for extra" in reason({**state, "extra.weight": torch.zeros(3)})
    assert "shape" in reason({**state, "fc7.bias": torch.zeros(7)})
    assert "shape" in reason(randomised(S3fdNetwork(NARROW // 2), 5))
    assert "fc6.weight" in reason({**state, "fc6.weight": state["fc6.weight"].to(torch.int64)})
    with pytest.raises(FormatError, match="not FAN"):
        load_fan(path, FanNetwork(WIDTH))
    with pytest.raises(WeightsError, match="cannot be read"):
        load_fan(tmp_path / "none")


class Bomb:
    """Writes a file when unpickled by a reader that runs what it is told."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_nothing_in_a_hostile_file_is_run(tmp_path: Path) -> None:
    target = tmp_path / "run"
    pickled = pickle.dumps({"conv1_1.weight": Bomb(target)}, protocol=4)
    path = tmp_path / "net"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickled)
    stacked = io.BytesIO()
    torch.save({"a": Bomb(target)}, stacked, _use_new_zipfile_serialization=False)
    for content in (pickled, archive.getvalue(), stacked.getvalue()):
        path.write_bytes(content)
        with pytest.raises(FormatError) as caught:
            read_weights(path)
        assert "\n" not in str(caught.value)
        assert not target.exists()


def test_program_in_a_torchscript_file_is_not_looked_at(tmp_path: Path) -> None:
    """The archive's code members are made garbage; the tensors still come out."""
    state = randomised(FanNetwork(WIDTH), 6)
    path = write_fan("scripted", tmp_path / "fan.zip", state)
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(broken, "w") as new:
        assert any("/code/" in name for name in old.namelist())
        for name in old.namelist():
            new.writestr(name, b"}{" if "/code/" in name else old.read(name))
    network = load_fan(broken, FanNetwork(WIDTH))
    assert torch.equal(network.state_dict()["al_2.bias"], state["al_2.bias"])


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", ["dfl", "zip", "stacked"])
def test_damage_gives_one_line_and_no_other_error(tmp_path: Path, kind: str) -> None:
    state = {"a.weight": torch.arange(24.0).reshape(2, 3, 4), "b": torch.ones(5)}
    path = tmp_path / "net"
    if kind == "dfl":
        write_dfl(path, state)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    good = path.read_bytes()
    rng = np.random.default_rng(7)
    for trial in range(150):
        data = bytearray(good)
        if trial % 3 == 0:
            data = data[: rng.integers(len(data))]
        else:
            for position in rng.integers(len(data), size=1 + trial % 4):
                data[position] = rng.integers(256)
        path.write_bytes(data)
        try:
            read_weights(path)
        except FormatError as error:
            assert "\n" not in str(error)


def test_views_do_not_reach_outside_of_their_storage(tmp_path: Path) -> None:
    """Tensors that share a storage, transposed or cut, come out as PyTorch has them."""
    base = torch.arange(60.0)
    state = {"t": base.reshape(6, 10).T, "cut": base[7:19:3], "half": base.half(), "none": base[:0]}
    path = tmp_path / "net.pth"
    torch.save(state, path)
    arrays = read_weights(path).arrays
    for name, value in state.items():
        np.testing.assert_array_equal(arrays[name], value.numpy())
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    storage = next(name for name in members if name.endswith("/data/0"))
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, content[:40] if name == storage else content)
    with pytest.raises(FormatError, match="damaged"):
        read_weights(path)


def test_a_state_of_a_module_with_its_versions(tmp_path: Path) -> None:
    """`torch.save(network.state_dict())` has a dictionary of a kind of its own, with an attribute
    of versions."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    torch.save(network.state_dict(), tmp_path / "net.pth")
    torch.save({"state_dict": network.state_dict()}, tmp_path / "wrapped.pth")
    for name in ("net.pth", "wrapped.pth"):
        arrays = read_weights(tmp_path / name).arrays
        assert arrays.keys() == network.state_dict().keys()
        for key, value in network.state_dict().items():
            np.testing.assert_array_equal(arrays[key], value.numpy())


def _laughs() -> bytes:
    """A dictionary of two of the one before, forty times over."""
    data = b"\x80\x02}q\x00"
    for k in range(1, 30):
        data += b"}q%c(K\x01h%cK\x02h%cu" % (k, k - 1, k - 1)
    return data + b"."


def _endless_key() -> bytes:
    """A key of nested pairs, whose hash takes as long as its tree is large."""
    data = b"\x80\x02}K\x01K\x01\x86q\x00"
    for k in range(1, 60):
        data += b"h%ch%c\x86q%c" % (k - 1, k - 1, k)
    return data + b"Ns."


def _many_copies() -> bytes:
    """A list that TorchScript's helper is asked to make anew, again and again."""
    data = b"\x80\x02](" + b"N" * 200_000 + b"eq\x00("
    one = b"ctorch.jit._pickle\nbuild_intlist\nh\x00\x85R"
    return data + one * 20_000 + b"l."


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on a process's memory")
@pytest.mark.parametrize("make", [_laughs, _endless_key, _many_copies])
def test_small_lists_of_tensors_that_unfold_are_refused(tmp_path: Path, make) -> None:
    """In a process with a time and memory of its own, since it would not come back."""
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", make())
    program = (
        "import resource, sys; from pathlib import Path; from faceloom.core import FormatError;"
        "from faceloom.weights.torch_archive import read_archive;"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30));"
        "resource.setrlimit(resource.RLIMIT_CPU, (20, 20));\n"
        "try: read_archive(Path(sys.argv[1]).read_bytes(), 1 << 29)\n"
        "except FormatError as error: print(error)"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-300:]
    assert done.stdout.count("\n") == 1 and "MemoryError" not in done.stdout


def test_tensors_of_one_storage_take_its_memory_once(tmp_path: Path) -> None:
    base = torch.zeros(1 << 20)
    torch.save({f"view{i}": base for i in range(2000)}, tmp_path / "net.pth")
    arrays = read_weights(tmp_path / "net.pth").arrays
    assert len(arrays) == 2000
    assert all(np.shares_memory(arrays["view0"], array) for array in arrays.values())
