"""Credentials: sign, read back, alter, strip. The oracle for the certificates is OpenSSL's own
chain check in `cryptography`; for the claim, the C2PA library's validation."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import av
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from faceloom.core import FormatError, InputError, MediaError, RightsError
from faceloom.provenance import (
    Statement,
    describe_footage,
    file_sha256,
    find_workspace,
    inspect_file,
    make_record,
    read_ledger,
    sidecar_path,
    sign_file,
    workspace_key,
    write_rights,
)
from tiny_clips import write_clip


@pytest.fixture
def workspace(tmp_path: Path) -> tuple[Path, Path, str]:
    """A workspace folder, its dst footage, and its rights digest."""
    folder = tmp_path / "cast"
    folder.mkdir()
    dst = write_clip(tmp_path / "dst 女.mp4")
    files = describe_footage(folder, dst)
    record = make_record(
        Statement(ground="consent", files=files), Statement(ground="own", files=files)
    )
    return folder, dst, write_rights(folder, record)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".avi", ".mkv", ".webm"])
def test_sign_inspect_alter(workspace: tuple[Path, Path, str], suffix: str) -> None:
    folder, dst, digest = workspace
    result = write_clip(folder / f"result{suffix}")
    before = result.read_bytes()
    carrier = sign_file(result, workspace_dir=folder, rights_digest=digest, parent=dst)
    beside = suffix in {".mkv", ".webm"}
    assert carrier == (sidecar_path(result) if beside else result)
    assert (result.read_bytes() == before) is beside

    line = read_ledger(folder)[-1]
    assert (line.event, line.data["file"]) == ("sign", result.name)
    assert line.data["sha256"] == file_sha256(result)

    report = inspect_file(result, workspace_dir=folder)
    assert (report.state, report.trusted) == ("valid", True)
    assert report.sidecar == (carrier if beside else None)
    assert [action.action for action in report.actions] == ["c2pa.opened", "c2pa.edited"]
    assert report.actions[1].source_type == "compositeWithTrainedAlgorithmicMedia"
    assert report.made_by_ai
    assert [(item.title, item.relationship) for item in report.ingredients] == [
        (dst.name, "parentOf")
    ]
    assert report.rights_digest == digest
    assert report.grounds == {"src": "consent", "dst": "own"}
    assert report.footage[0]["sha256"] == file_sha256(dst)
    assert report.as_dict()["path"] == str(result)
    # Someone without our key sees a good signature of an unknown signer.
    stranger = inspect_file(result)
    assert (stranger.state, stranger.trusted) == ("valid", False)

    content = bytearray(result.read_bytes())
    content[content.find(b"mdat") + 100 if b"mdat" in content else len(content) // 2] ^= 1
    result.write_bytes(content)
    altered = inspect_file(result, workspace_dir=folder)
    assert (altered.state, altered.known_key, altered.trusted) == ("altered", True, False)


def test_stripped_or_never_signed(workspace: tuple[Path, Path, str]) -> None:
    folder, dst, digest = workspace
    assert inspect_file(dst).state == "unsigned"
    result = write_clip(folder / "result.mp4")
    sign_file(result, workspace_dir=folder, rights_digest=digest, parent=dst)
    stripped = folder / "stripped.mp4"
    with av.open(str(result)) as source, av.open(str(stripped), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert inspect_file(stripped).state == "unsigned"
    assert inspect_file(stripped).lines() == ["credentials: none"]


def test_cut_file_is_told_from_an_unsigned_one(workspace: tuple[Path, Path, str]) -> None:
    folder, dst, digest = workspace
    result = write_clip(folder / "result.mp4")
    sign_file(result, workspace_dir=folder, rights_digest=digest, parent=dst)
    result.write_bytes(result.read_bytes()[:-500])
    assert inspect_file(result).state in {"damaged", "altered"}


def test_changed_statement_is_found(workspace: tuple[Path, Path, str]) -> None:
    folder, dst, digest = workspace
    result = write_clip(folder / "result.mp4")
    sign_file(result, workspace_dir=folder, rights_digest=digest, parent=dst)
    result.write_bytes(result.read_bytes().replace(b"consent", b"licence"))
    report = inspect_file(result)
    assert report.state == "altered"
    assert any("hashedURI.mismatch" in failure for failure in report.failures)


def test_destination_leaves_the_source(workspace: tuple[Path, Path, str]) -> None:
    folder, dst, digest = workspace
    for suffix in (".mp4", ".mkv"):
        source = write_clip(folder / f"unsigned{suffix}")
        before = source.read_bytes()
        target = folder / f"result{suffix}"
        sign_file(
            source, workspace_dir=folder, rights_digest=digest, parent=dst, destination=target
        )
        assert source.read_bytes() == before
        assert inspect_file(source).state == "unsigned"
        report = inspect_file(target)
        assert (report.state, report.title) == ("valid", target.name)


def test_signed_footage_keeps_its_own_claims(workspace: tuple[Path, Path, str]) -> None:
    folder, dst, digest = workspace
    sign_file(dst, workspace_dir=folder, rights_digest=digest)
    assert inspect_file(dst).actions[0].action == "c2pa.created"
    files = describe_footage(folder, dst)
    record = make_record(Statement(ground="own", files=files), Statement(ground="own", files=files))
    digest = write_rights(folder, record)
    result = write_clip(folder / "result.mp4")
    sign_file(result, workspace_dir=folder, rights_digest=digest, parent=dst)
    assert inspect_file(result).ingredients[0].signed


def test_parent_may_be_anything(workspace: tuple[Path, Path, str], tmp_path: Path) -> None:
    folder, dst, digest = workspace
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "b.png"):
        (photos / name).write_bytes(b"picture " + name.encode())
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(b"not a video")
    expected = {photos: "photos", damaged: "damaged.mp4"}
    for parent, title in expected.items():
        result = write_clip(folder / "result.mp4")
        sign_file(result, workspace_dir=folder, rights_digest=digest, parent=parent)
        report = inspect_file(result)
        assert (report.state, report.ingredients[0].title) == ("valid", title)
    result = write_clip(folder / "result.mp4")
    sign_file(result, workspace_dir=folder, rights_digest=digest, parent=[dst, damaged])
    assert inspect_file(result).ingredients[0].title == "2 files"
    assert len(inspect_file(result).footage) == 2


def test_refusals(workspace: tuple[Path, Path, str]) -> None:
    folder, dst, digest = workspace
    result = write_clip(folder / "result.mp4")
    before = result.read_bytes()
    with pytest.raises(RightsError, match="changed"):
        sign_file(result, workspace_dir=folder, rights_digest="0" * 64, parent=dst)
    with pytest.raises(InputError, match="no such file"):
        sign_file(folder / "no.mp4", workspace_dir=folder, rights_digest=digest)
    with pytest.raises(InputError, match=r"must end in \.mp4"):
        sign_file(result, workspace_dir=folder, rights_digest=digest, destination=folder / "x.mkv")
    assert result.read_bytes() == before
    fake = folder / "fake.mp4"
    fake.write_bytes(b"hello world" * 100)
    with pytest.raises(MediaError, match="cannot be signed"):
        sign_file(fake, workspace_dir=folder, rights_digest=digest)
    assert fake.read_bytes() == b"hello world" * 100
    assert not list(folder.glob(".tmp-*"))


@pytest.mark.parametrize("content", [b"", b"x", b"hello world" * 100, b"\xff\xd8\xff"])
@pytest.mark.parametrize("suffix", [".mp4", ".jpg", ".mkv", ""])
def test_inspect_any_file(tmp_path: Path, content: bytes, suffix: str) -> None:
    file = tmp_path / f"any{suffix}"
    file.write_bytes(content)
    assert inspect_file(file).state == "unsigned"


def test_broken_sidecar(tmp_path: Path) -> None:
    file = write_clip(tmp_path / "result.mkv")
    sidecar_path(file).write_bytes(b"garbage")
    assert inspect_file(file).state == "damaged"


def test_key_is_private_and_kept(tmp_path: Path) -> None:
    key = workspace_key(tmp_path)
    file = tmp_path / ".faceloom" / "signing.pem"
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert workspace_key(tmp_path) == key
    assert "PRIVATE" not in repr(key)
    leaf, root = x509.load_pem_x509_certificates(key.chain_pem)
    leaf.verify_directly_issued_by(root)
    private = load_pem_private_key(key.private_pem, None)
    assert private.public_key() == leaf.public_key()
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    assert find_workspace(tmp_path / "data_dst" / "merged" / "1.png") == tmp_path.resolve()
    file.write_bytes(b"not a key")
    with pytest.raises(FormatError, match="not a Faceloom signing key"):
        workspace_key(tmp_path)


def test_picture(media: Path, workspace: tuple[Path, Path, str], tmp_path: Path) -> None:
    folder, dst, digest = workspace
    for name in ("progressive.jpg", "rgb16.png", "lossy.webp", "lzw.tiff"):
        result = tmp_path / name
        result.write_bytes((media / "awkward" / name).read_bytes())
        sign_file(result, workspace_dir=folder, rights_digest=digest, parent=dst)
        assert inspect_file(result, workspace_dir=folder).trusted
