"""Read content credentials: what a file states about itself, and whether it is still valid."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from faceloom.core.errors import InputError
from faceloom.core.result import Result
from faceloom.provenance.credentials import ASSERTION, EMBEDDABLE, sidecar_path
from faceloom.provenance.keys import read_workspace_key

State = Literal["unsigned", "valid", "altered", "invalid", "damaged"]
STATES: dict[State, str] = {
    "unsigned": "none",
    "valid": "valid: signed, and unchanged since",
    "altered": "altered after signing",
    "invalid": "invalid certificate or claim",
    "damaged": "unreadable: the file was truncated or altered after signing",
}
"""What a file's state means."""

_EDGE_BYTES = 4 << 20


@dataclass(frozen=True)
class ClaimedAction:
    """One step claimed by the signer."""

    action: str
    """`c2pa.opened`, `c2pa.edited`, …"""
    source_type: str | None
    """The last part of the IPTC digital source type."""
    agent: str | None
    """The program."""
    description: str | None


@dataclass(frozen=True)
class Ingredient:
    """A file that this file was made from."""

    title: str
    relationship: str
    """`parentOf`, `componentOf` or `inputTo`."""
    signed: bool
    """Whether it had credentials of its own."""


@dataclass(frozen=True)
class InspectReport(Result):
    """The credentials of a file; without any, all but `path` and `state` are empty."""

    path: Path
    state: State
    sidecar: Path | None = None
    """The sidecar file with the manifest, if there is one."""
    known_key: bool = False
    """Signed with the key of the given or containing workspace."""
    signer: str | None = None
    generator: str | None = None
    """The program that made the claim."""
    title: str | None = None
    actions: tuple[ClaimedAction, ...] = ()
    ingredients: tuple[Ingredient, ...] = ()
    rights_digest: str | None = None
    """SHA-256 of the rights record, as in `rights.json`."""
    grounds: dict[str, str] = field(default_factory=dict[str, str])
    footage: tuple[dict[str, Any], ...] = ()
    """Name, size and SHA-256 of the dst footage."""
    failures: tuple[str, ...] = ()
    """Checks that failed."""

    @property
    def signed(self) -> bool:
        """Whether there are credentials, valid or not."""
        return self.state != "unsigned"

    @property
    def trusted(self) -> bool:
        """Whether all checks pass and the signer is the workspace's own key."""
        return self.known_key and self.state == "valid"

    @property
    def made_by_ai(self) -> bool:
        """Whether a step names a trained algorithm as a source of the picture or a part of it."""
        kinds = (action.source_type or "" for action in self.actions)
        return any("trainedAlgorithmicMedia" in kind or "WithTrained" in kind for kind in kinds)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, with the verdicts."""
        verdicts = {"signed": self.signed, "trusted": self.trusted, "made_by_ai": self.made_by_ai}
        return {**super().as_dict(), **verdicts}

    def lines(self) -> list[str]:
        """The report for people."""
        lines = [f"credentials: {STATES[self.state]}"]
        if not self.signed:
            return lines
        lines += [f"check failed: {failure}" for failure in self.failures]
        if self.sidecar:
            lines.append(f"manifest: {self.sidecar}")
        if self.signer:
            known = "the key of this workspace" if self.known_key else "an unknown key"
            lines.append(f"signed by: {self.signer} ({known})")
        if self.generator:
            lines.append(f"claim by: {self.generator}, title {self.title!r}")
        lines += [_action_line(action) for action in self.actions]
        for item in self.ingredients:
            own = ", with credentials of its own" if item.signed else ""
            lines.append(f"ingredient: {item.title} ({item.relationship}{own})")
        if self.rights_digest:
            # Manifests sort keys alphabetically; show src first.
            sides = sorted(self.grounds.items(), reverse=True)
            grounds = ", ".join(f"{side}: {ground}" for side, ground in sides)
            lines.append(f"rights record: {self.rights_digest[:16]}… ({grounds})")
        return lines


def inspect_file(path: Path, *, workspace_dir: Path | None = None) -> InspectReport:
    """Read and check the credentials of a file, embedded or in the sidecar `NAME.c2pa`.

    `workspace_dir`: the workspace whose key is recognised. Nothing is downloaded.
    Raises `InputError` if the file is missing or unreadable.
    """
    import c2pa

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    key = read_workspace_key(workspace_dir) if workspace_dir is not None else None
    context = c2pa.Context.from_dict(_reader_settings(key.root_pem if key else None))
    sidecar = sidecar_path(path)
    manifest = sidecar.read_bytes() if sidecar.is_file() else None
    media_type = EMBEDDABLE.get(path.suffix.lower())
    if manifest is None and media_type is None and not _mentions_manifest(path):
        return InspectReport(path, "unsigned")
    try:
        with path.open("rb") as stream:
            kind = "application/octet-stream" if manifest is not None else media_type
            with c2pa.Reader(kind, stream, manifest, context=context) as reader:
                content: dict[str, Any] = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return InspectReport(path, "unsigned")
    except c2pa.C2paError as error:
        if manifest is None and not _mentions_manifest(path):
            return InspectReport(path, "unsigned")
        return InspectReport(path, "damaged", failures=(str(error),))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    return _report(path, sidecar if manifest is not None else None, content)


def find_workspace(path: Path) -> Path | None:
    """The nearest folder above `path` with a workspace key or rights record."""
    for folder in path.resolve().parents:
        if (folder / ".faceloom" / "signing.pem").is_file() or (folder / "rights.json").is_file():
            return folder
    return None


def _reader_settings(root_pem: bytes | None) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False}
    }
    if root_pem is not None:
        settings["trust"] = {"user_anchors": root_pem.decode()}
    return settings


def _mentions_manifest(path: Path) -> bool:
    """Whether the first or last part of the file contains a C2PA box, readable or not."""
    with path.open("rb") as stream:
        head = stream.read(_EDGE_BYTES)
        stream.seek(max(len(head), path.stat().st_size - _EDGE_BYTES))
        tail = stream.read(_EDGE_BYTES)
    return any(b"jumb" in part and b"c2pa" in part for part in (head, tail))


def _report(path: Path, sidecar: Path | None, content: dict[str, Any]) -> InspectReport:
    manifest: dict[str, Any] = content["manifests"][content["active_manifest"]]
    results = content.get("validation_results", {}).get("activeManifest", {})
    failures: list[dict[str, Any]] = results.get("failure", [])
    known = any(one["code"] == "signingCredential.trusted" for one in results.get("success", []))
    # An unknown signer is not a fault of the file; trust is reported separately.
    faults = [one for one in failures if one["code"] != "signingCredential.untrusted"]
    own = _assertion(manifest, ASSERTION)
    generators = manifest.get("claim_generator_info") or [{}]
    signature = manifest.get("signature_info", {})
    return InspectReport(
        path=path,
        state=_state(faults, content.get("validation_state")),
        sidecar=sidecar,
        known_key=known,
        signer=signature.get("common_name") or signature.get("issuer"),
        generator=_agent(generators[0]),
        title=manifest.get("title"),
        actions=tuple(_actions(manifest)),
        ingredients=tuple(_ingredient(_table(one)) for one in _items(manifest.get("ingredients"))),
        rights_digest=_text(own.get("rights_sha256")),
        grounds={str(side): str(ground) for side, ground in _table(own.get("grounds")).items()},
        footage=tuple(_table(file) for file in _items(own.get("footage"))),
        failures=tuple(f"{one['code']}: {one.get('explanation', '')}" for one in faults),
    )


def _state(faults: Iterable[dict[str, Any]], validation_state: str | None) -> State:
    codes = [str(fault["code"]) for fault in faults]
    if any("mismatch" in code or "missing" in code or "malformed" in code for code in codes):
        return "altered"
    return "invalid" if codes or validation_state == "Invalid" else "valid"


def _assertion(manifest: dict[str, Any], label: str) -> dict[str, Any]:
    for assertion in _items(manifest.get("assertions")):
        if _table(assertion).get("label") == label:
            return _table(_table(assertion).get("data"))
    return {}


def _table(value: Any) -> dict[str, Any]:
    """A value as a table, or an empty one: anyone can write an assertion with our label."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return str(value) if value else None


def _actions(manifest: dict[str, Any]) -> Iterable[ClaimedAction]:
    for label in ("c2pa.actions.v2", "c2pa.actions"):
        for item in _items(_assertion(manifest, label).get("actions")):
            action = _table(item)
            source_type = _text(action.get("digitalSourceType"))
            yield ClaimedAction(
                action=str(action.get("action")),
                source_type=source_type.rsplit("/", 1)[-1] if source_type else None,
                agent=_agent(action.get("softwareAgent")),
                description=_text(action.get("description")),
            )


def _agent(agent: Any) -> str | None:
    fields = _table(agent)
    if fields:
        return " ".join(str(fields[key]) for key in ("name", "version") if fields.get(key)) or None
    return _text(agent)


def _ingredient(fields: dict[str, Any]) -> Ingredient:
    return Ingredient(
        title=str(fields.get("title", "?")),
        relationship=str(fields.get("relationship", "?")),
        signed="active_manifest" in fields,
    )


def _action_line(action: ClaimedAction) -> str:
    details = [part for part in (action.source_type, action.agent, action.description) if part]
    return f"action: {action.action}" + (f" ({'; '.join(details)})" if details else "")
