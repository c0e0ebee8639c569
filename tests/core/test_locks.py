"""Locks between processes: who gets them, when they end, and where there are none."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faceloom.core import file_lock

_HOLD = (
    "import sys, time; from pathlib import Path; from faceloom.core import file_lock\n"
    "with file_lock(Path(sys.argv[1]), wait=True):\n print('held', flush=True)\n time.sleep({s})"
)


def _holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _HOLD.replace("{s}", str(seconds)), str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_refused_while_another_process_has_it_and_free_after_a_kill(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    with _holder(path, 60) as other:
        with file_lock(path, wait=False) as ours:
            assert not ours
        other.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    with file_lock(path, wait=False) as ours:
        assert ours


def test_waiting_ends_when_the_lock_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with _holder(path, 0.5):
        start = time.monotonic()
        with file_lock(path, wait=True) as ours:
            assert ours
        assert 0.1 < time.monotonic() - start < 30


def test_the_file_stays_with_its_content(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("kept")
    for _ in range(2):
        with file_lock(path, wait=False) as ours:
            assert ours
            with file_lock(path, wait=False) as again:
                assert not again
    assert path.read_text() == "kept"


def test_a_body_that_raises_gives_the_lock_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(OSError, match="body"), file_lock(path, wait=False):
        raise OSError(errno.ENOSYS, "body")
    with file_lock(path, wait=False) as ours:
        assert ours


def test_a_place_where_nothing_can_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError), file_lock(tmp_path / "no" / "lock", wait=False):
        pass


@pytest.mark.skipif("os.name == 'nt'", reason="links need rights there")
def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError), file_lock(tmp_path / "lock", wait=False):
        pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif("os.name == 'nt'", reason="fcntl is POSIX's")
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_is_usable(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for wait in (False, True):
        with file_lock(tmp_path / "lock", wait=wait) as ours:
            assert ours
