"""Rights, ledger and content credentials: where a result comes from and who answers for it."""

from faceloom.provenance.credentials import EMBEDDABLE, sidecar_path, sign_file
from faceloom.provenance.inspection import InspectReport, find_workspace, inspect_file
from faceloom.provenance.keys import WorkspaceKey, read_workspace_key, workspace_key
from faceloom.provenance.ledger import LedgerEntry, append_ledger, read_ledger
from faceloom.provenance.rights import (
    GROUNDS,
    FootageFile,
    Ground,
    RightsRecord,
    Statement,
    describe_footage,
    make_record,
    read_rights,
    require_rights,
    rights_digest,
    write_rights,
)
from faceloom.provenance.state import file_sha256

__all__ = [
    "EMBEDDABLE",
    "GROUNDS",
    "FootageFile",
    "Ground",
    "InspectReport",
    "LedgerEntry",
    "RightsRecord",
    "Statement",
    "WorkspaceKey",
    "append_ledger",
    "describe_footage",
    "file_sha256",
    "find_workspace",
    "inspect_file",
    "make_record",
    "read_ledger",
    "read_rights",
    "read_workspace_key",
    "require_rights",
    "rights_digest",
    "sidecar_path",
    "sign_file",
    "workspace_key",
    "write_rights",
]
