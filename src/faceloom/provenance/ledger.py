"""The ledger: a line per result of a workspace, chained by digests.

`ledger.jsonl` has one JSON object per line: number, UTC time, event, data, the digest of the
previous line, and its own digest. Changing or removing a line breaks the chain after it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from faceloom.core.errors import FormatError
from faceloom.core.paths import atomic_write
from faceloom.provenance.state import locked

FILE_NAME = "ledger.jsonl"
_FIRST = "0" * 64


@dataclass(frozen=True)
class LedgerEntry:
    """One line: what happened, and the digests that chain it."""

    number: int
    time: str
    event: str
    data: dict[str, Any]
    previous: str
    digest: str


def append_ledger(workspace_dir: Path, event: str, data: Mapping[str, Any]) -> str:
    """Add a line; return its digest (SHA-256, hex). Safe with kills and concurrent processes.

    `data` must be plain JSON data. Raises `FormatError` if the existing ledger is not intact.
    """
    file = workspace_dir / FILE_NAME
    with locked(workspace_dir, "ledger"):
        entries = read_ledger(workspace_dir)
        last = entries[-1] if entries else None
        fields: dict[str, Any] = {
            "number": last.number + 1 if last else 1,
            "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "event": event,
            "data": dict(data),
            "previous": last.digest if last else _FIRST,
        }
        entry = LedgerEntry(**fields, digest=_digest(fields))
        lines = [*(asdict(old) for old in entries), asdict(entry)]
        # Rewritten, not appended to: a kill could leave a torn line.
        atomic_write(file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return entry.digest


def read_ledger(workspace_dir: Path) -> list[LedgerEntry]:
    """All lines, verified. Raises `FormatError` with the first line that breaks the chain."""
    file = workspace_dir / FILE_NAME
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise FormatError(f"{file}: not UTF-8 text; move it away to start a new ledger") from None
    entries: list[LedgerEntry] = []
    for number, line in enumerate(text.splitlines(), start=1):
        previous = entries[-1].digest if entries else _FIRST
        try:
            fields: dict[str, Any] = json.loads(line)
            digest = fields.pop("digest")
            entry = LedgerEntry(**fields, digest=digest)
            intact = entry.number == number and entry.previous == previous
            intact = intact and _digest(fields) == digest
        except (ValueError, TypeError, KeyError, AttributeError):
            intact, entry = False, None
        if not intact or entry is None:
            raise FormatError(
                f"{file}: line {number} was altered or is missing; move the file away to "
                "start a new ledger"
            )
        entries.append(entry)
    return entries


def _digest(fields: Mapping[str, Any]) -> str:
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
