"""Files that users own: added from a file or an address, remembered by hash, refused when wrong."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
from pathlib import Path

import pytest

from faceloom.core import FormatError, NullProgress, WeightsError
from faceloom.weights import add_owned, have_owned, owned, owned_path, owned_status, sources

CONTENT = b"somebody's network " * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("FACELOOM_CACHE", str(folder))
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "S3FD.npy"
    path.write_bytes(CONTENT)
    return path


def test_an_added_file_is_kept_and_listed(cache: Path, file: Path) -> None:
    assert [s.state for s in owned_status()] == ["missing"] * 3 and not have_owned("s3fd")
    added = add_owned(file, "s3fd")
    assert (added.state, added.sha256, added.file_name) == ("present", DIGEST, "S3FD.npy")
    file.unlink()
    assert owned_path("s3fd").read_bytes() == CONTENT and cache in owned_path("s3fd").parents
    states = {s.weight.name: s for s in owned_status()}
    assert states["s3fd"].size_bytes == len(CONTENT)
    assert states["2dfan"].state == "missing" and have_owned("s3fd")


def test_another_file_takes_the_place_of_the_first(cache: Path, file: Path) -> None:
    add_owned(file, "s3fd")
    file.write_bytes(CONTENT[::-1])
    add_owned(file, "s3fd")
    assert owned_path("s3fd").read_bytes() == CONTENT[::-1]
    kept = sorted(entry.suffix for entry in owned_path("s3fd").parent.iterdir())
    assert kept == [".json", ".weights"]


def test_an_altered_file_is_noticed(cache: Path, file: Path) -> None:
    add_owned(file, "2dfan")
    owned_path("2dfan").write_bytes(CONTENT[::-1])
    assert not have_owned("2dfan")
    with pytest.raises(WeightsError, match="altered since it was added") as caught:
        owned_path("2dfan")
    assert "--as 2dfan" in str(caught.value)
    owned_note = cache / "weights" / "owned" / "2dfan.json"
    for note in (b"", b"[1]", json.dumps({"file": "../../x", "name": "", "sha256": ""}).encode()):
        owned_note.write_bytes(note)
        with pytest.raises(WeightsError, match="cannot be downloaded"):
            owned_path("2dfan")


def test_a_file_must_have_the_hash_that_was_asked_for(cache: Path, file: Path) -> None:
    with pytest.raises(WeightsError, match=DIGEST):
        add_owned(file, "s3fd", sha256="0" * 64)
    assert not have_owned("s3fd")
    add_owned(file, "s3fd", sha256=DIGEST.upper())
    assert have_owned("s3fd")


def test_a_file_that_the_check_refuses_is_not_taken(cache: Path, file: Path) -> None:
    def refuse(path: Path) -> None:
        raise FormatError(f"{path}: not S3FD")

    with pytest.raises(FormatError, match=r"S3FD\.npy: not S3FD"):
        add_owned(file, "s3fd", check=refuse)
    assert not have_owned("s3fd") and not (cache / "weights" / "owned").exists()
    with pytest.raises(WeightsError, match="cannot be read"):
        add_owned(file.with_name("none"), "s3fd")
    with pytest.raises(WeightsError, match="s3fd, 2dfan, 3dfan"):
        add_owned(file, "retina")


class Reply(io.BytesIO):
    """What an address answers."""

    def __init__(self, content: bytes, announced: int | None) -> None:
        super().__init__(content)
        self.headers = {} if announced is None else {"Content-Length": str(announced)}


def answer(monkeypatch, content: bytes, announced: int | None = None) -> list[str]:
    asked: list[str] = []

    def reply(url: str) -> Reply:
        asked.append(url)
        return Reply(content, announced)

    monkeypatch.setattr(sources, "_open", reply)
    return asked


def test_an_address_is_shown_and_fetched(cache: Path, monkeypatch) -> None:
    url = "https://example.org/files/2DFAN4-cd938726ad.zip?download=1"
    asked = answer(monkeypatch, CONTENT, len(CONTENT))
    progress = NullProgress()
    seen: list[bytes] = []
    added = add_owned(
        url, "2dfan", check=lambda path: seen.append(path.read_bytes()), progress=progress
    )
    assert asked == [url] and any(url in note for note in progress.notes)
    assert added.file_name == "2DFAN4-cd938726ad.zip" and added.sha256 == DIGEST
    assert seen == [CONTENT] and owned_path("2dfan").read_bytes() == CONTENT


def test_addresses_are_bounded_and_secure(cache: Path, monkeypatch) -> None:
    for url in ("http://example.org/a", "file:///etc/passwd", "ftp://example.org/a", "https://"):
        with pytest.raises(WeightsError, match="only https"):
            add_owned(url, "s3fd")
    handler = sources._HttpsOnly()
    with pytest.raises(sources.SourceError, match="only https"):
        handler.redirect_request(None, None, 302, "", {}, "http://example.org/a")
    monkeypatch.setattr(owned, "MAX_BYTES", 1000)
    for announced in (None, 5000):
        answer(monkeypatch, CONTENT, announced)
        with pytest.raises(WeightsError, match="limit"):
            add_owned("https://example.org/a", "s3fd")
    monkeypatch.setattr(owned, "MAX_BYTES", 1 << 20)
    answer(monkeypatch, CONTENT, len(CONTENT) + 5)
    with pytest.raises(WeightsError, match="ended after"):
        add_owned("https://example.org/a", "s3fd")
    assert not have_owned("s3fd")


def test_the_command_adds_lists_and_refuses(cache, file, tmp_path, capsys, monkeypatch) -> None:
    from faceloom.cli.main import run_command
    from faceloom.detect.networks import s3fd

    assert run_command(["weights", "add", str(file), "--as", "s3fd"]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and str(file) in captured.err
    assert run_command(["weights", "add", str(file), "--sha256", DIGEST]) == 2
    monkeypatch.setattr(s3fd, "load_s3fd", lambda path: path)
    capsys.readouterr()
    assert run_command(["weights", "add", str(file), "--as", "s3fd", "--sha256", DIGEST]) == 0
    assert DIGEST in capsys.readouterr().out
    assert run_command(["weights", "list"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert lines["s3fd"].split()[1] == "present" and "S3FD.npy" in lines["s3fd"]
    assert lines["3dfan"].split()[1] == "missing" and "3DFAN4-4a694010b9.zip" in lines["3dfan"]
    assert run_command(["weights", "list", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"s3fd": "present", "2dfan": "missing"}.items() <= {
        row["name"]: row["state"] for row in rows
    }.items()


def test_a_server_that_speaks_no_http_is_one_line(cache: Path, monkeypatch) -> None:
    class Broken(Reply):
        def read(self, size: int = -1) -> bytes:
            raise http.client.IncompleteRead(b"x", 10)

    monkeypatch.setattr(sources, "_open", lambda url: Broken(CONTENT, None))
    with pytest.raises(WeightsError, match="IncompleteRead") as caught:
        owned.add_owned("https://example.org/s3fd.npy", "s3fd")
    assert "\n" not in str(caught.value)
