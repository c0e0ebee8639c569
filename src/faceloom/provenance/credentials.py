"""Signed content credentials (C2PA): what a result states about how it was made.

The claim: the dst footage was opened (`c2pa.opened`, `parentOf`), then edited with a trained
algorithm (`c2pa.edited`, IPTC `compositeWithTrainedAlgorithmicMedia`). An assertion of our own
contains the digest of the rights record and the hash of the footage. Nothing is sent anywhere: no
time-stamp server, no remote manifest.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from faceloom.core.errors import InputError, MediaError, RightsError
from faceloom.core.paths import atomic_path, atomic_write
from faceloom.provenance.keys import ALGORITHM, WorkspaceKey, workspace_key
from faceloom.provenance.ledger import append_ledger
from faceloom.provenance.rights import Footage, FootageFile, describe_footage, read_rights
from faceloom.provenance.state import file_sha256

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
ASSERTION = "org.faceloom.provenance"
EMBEDDABLE = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".avi": "video/avi",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".gif": "image/gif",
}
"""Suffixes of files that can embed a manifest. Others (mkv, webm, mxf) get a sidecar file."""
_PARENT = "dst-footage"


def sidecar_path(path: Path) -> Path:
    """The manifest of a file that cannot embed one: `result.mkv.c2pa`."""
    return path.with_name(path.name + ".c2pa")


def sign_file(
    path: Path,
    *,
    workspace_dir: Path,
    rights_digest: str,
    parent: Footage | None = None,
    destination: Path | None = None,
    title: str | None = None,
) -> Path:
    """Sign a finished file with the workspace key; return the file that contains the manifest.

    The ledger gets an entry with the hash of the signed file.

    The signed file replaces `path`, or goes to `destination` (same suffix; `path` then stays
    unchanged). Either is complete at any instant. Sign last: a later remux strips the manifest.

    Args:
        path: the file to sign.
        workspace_dir: its key is used, and created if there is none.
        rights_digest: what `require_rights` returned.
        parent: the dst footage: a file, a folder of pictures, or a list.
        title: the name in the claim; None: the name of the file.

    Raises:
        RightsError: the workspace has another rights record.
        InputError: the file is missing.
        MediaError: the file cannot be signed: it is damaged, or its suffix is wrong.
    """
    target = destination or path
    if not path.is_file():
        raise InputError(f"{path}: no such file to sign")
    if target.suffix.lower() != path.suffix.lower():
        raise InputError(f"{target}: must end in {path.suffix}, like the file to sign")
    rights = read_rights(workspace_dir)
    if rights is None or rights[1] != rights_digest:
        raise RightsError(
            f"{workspace_dir}: the rights record changed during the work; run it again"
        )
    grounds = {"src": rights[0].src.ground, "dst": rights[0].dst.ground}
    files = describe_footage(workspace_dir, parent) if parent is not None else ()
    claim = _claim(title or target.name, files, rights_digest, grounds)
    key = workspace_key(workspace_dir)
    media_type = EMBEDDABLE.get(path.suffix.lower())
    if media_type is None:
        carrier = _sign_beside(path, target, claim, parent, files, key)
    else:
        with atomic_path(target) as temporary:
            _sign(path, temporary, media_type, claim, parent, files, key)
        carrier = target
    sealed = {"file": target.name, "sha256": file_sha256(target), "rights_sha256": rights_digest}
    append_ledger(workspace_dir, "sign", sealed)
    return carrier


def _claim(
    title: str, files: Sequence[FootageFile], rights_digest: str, grounds: dict[str, str]
) -> dict[str, Any]:
    """The manifest definition. Its first action must be `opened` or `created`."""
    agent = {"name": "Faceloom", "version": metadata.version("faceloom")}
    edit: dict[str, Any] = {
        "action": "c2pa.edited",
        "softwareAgent": agent,
        "digitalSourceType": SOURCE_TYPE,
        "description": "A trained model put another person's face on the footage (face swap).",
    }
    if files:
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_PARENT]}}
        actions = [opened, edit]
    else:
        actions = [{**edit, "action": "c2pa.created"}]
    own = {
        "rights_sha256": rights_digest,
        "grounds": grounds,
        "footage": [file.model_dump() for file in files],
        "made_with": f"Faceloom {agent['version']}",
    }
    return {
        "claim_generator_info": [agent],
        "title": title,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": ASSERTION, "data": own},
        ],
    }


def _sign_beside(
    path: Path,
    target: Path,
    claim: dict[str, Any],
    parent: Footage | None,
    files: Sequence[FootageFile],
    key: WorkspaceKey,
) -> Path:
    """Write the sidecar, then copy the file to its destination."""
    manifest = _sign(path, Path(os.devnull), None, claim, parent, files, key)
    sidecar = sidecar_path(target)
    atomic_write(sidecar, manifest)
    if target != path:
        with atomic_path(target) as temporary:
            shutil.copyfile(path, temporary)
    return sidecar


def _sign(
    source: Path,
    target: Path,
    media_type: str | None,
    claim: dict[str, Any],
    parent: Footage | None,
    files: Sequence[FootageFile],
    key: WorkspaceKey,
) -> bytes:
    """Sign `source` into `target`; without a media type nothing is embedded."""
    import c2pa

    settings = {"builder": {"thumbnail": {"enabled": False}}}
    try:
        info = c2pa.C2paSignerInfo(ALGORITHM, key.chain_pem, key.private_pem, None)
        signer = c2pa.Signer.from_info(info)
        context = c2pa.Context.from_dict(settings, signer=signer)
        with context, c2pa.Builder(claim, context=context) as builder:
            if parent is not None:
                _add_parent(builder, parent, files)
            if media_type is None:
                builder.set_no_embed()
            with source.open("rb") as readable, target.open("w+b") as writable:
                return builder.sign(media_type or "application/octet-stream", readable, writable)
    except c2pa.C2paError as error:
        raise MediaError(f"{source}: cannot be signed: {error}") from None


def _add_parent(builder: Any, parent: Footage, files: Sequence[FootageFile]) -> None:
    """Add the dst footage as `parentOf`, with its own credentials, if it has any."""
    import c2pa

    single = parent if isinstance(parent, Path) and parent.is_file() else None
    count = sum(file.count for file in files)
    title = files[0].name if len(files) == 1 else f"{count} files"
    ingredient = {"title": title, "relationship": "parentOf", "instance_id": _PARENT}
    ingredient["label"] = _PARENT
    media_type = EMBEDDABLE.get(single.suffix.lower()) if single is not None else None
    if single is not None and media_type is not None:
        try:
            with single.open("rb") as stream:
                builder.add_ingredient(ingredient, media_type, stream)
            return
        except c2pa.C2paError:
            # Damaged footage that could still be decoded: named and hashed, without its claims.
            pass
    listing = "".join(f"{file.sha256}  {file.name}\n" for file in files).encode()
    builder.add_ingredient(ingredient, "application/octet-stream", io.BytesIO(listing))
