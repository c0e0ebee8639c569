"""The signing key of a workspace: created on first use, never leaves the workspace.

C2PA requires a certificate chain: a root made for the workspace, and the signing certificate under
it. The private key of the root is discarded after it has signed that one certificate.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from faceloom.core.errors import FormatError
from faceloom.core.paths import atomic_path
from faceloom.provenance.state import STATE_DIR, locked, state_folder

FILE_NAME = "signing.pem"
ALGORITHM = "es256"
_VALID_FOR = timedelta(days=3650)
_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----\n?", re.DOTALL)


@dataclass(frozen=True)
class WorkspaceKey:
    """The signing key and its chain, as PEM."""

    private_pem: bytes = field(repr=False)
    """The ES256 key, PKCS 8. Never shown, logged or copied."""
    chain_pem: bytes
    """The signing certificate, then the root."""
    root_pem: bytes
    """The root alone: the trust anchor for inspecting results."""
    name: str
    """Common name of the signing certificate."""


def workspace_key(workspace_dir: Path) -> WorkspaceKey:
    """The workspace key, created if there is none or its certificate has expired.

    Stored in `.faceloom/signing.pem`, readable only by the user (mode 0600).
    Raises `FormatError` if the file is not one of ours.
    """
    with locked(workspace_dir, "key"):
        found = read_workspace_key(workspace_dir)
        if found is not None:
            leaf = x509.load_pem_x509_certificate(found.chain_pem)
            if leaf.not_valid_after_utc > datetime.now(UTC):
                return found
        private, chain = _make_chain()
        content = private + b"".join(chain)
        _write_private(state_folder(workspace_dir) / FILE_NAME, content)
        return _parse(content, workspace_dir / STATE_DIR / FILE_NAME)


def read_workspace_key(workspace_dir: Path) -> WorkspaceKey | None:
    """The stored key, or None. Raises `FormatError` if the file is not one of ours."""
    file = workspace_dir / STATE_DIR / FILE_NAME
    try:
        return _parse(file.read_bytes(), file)
    except FileNotFoundError:
        return None


def _parse(content: bytes, file: Path) -> WorkspaceKey:
    blocks = [(match[1], match[0]) for match in _PEM_BLOCK.finditer(content)]
    keys = [block for kind, block in blocks if kind == b"PRIVATE KEY"]
    certificates = [block for kind, block in blocks if kind == b"CERTIFICATE"]
    try:
        (key,), (leaf, root) = keys, certificates
        names = x509.load_pem_x509_certificate(leaf).subject
        name = names.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    except (ValueError, IndexError):
        raise FormatError(
            f"{file}: not a Faceloom signing key; move it away to create a new one"
        ) from None
    return WorkspaceKey(private_pem=key, chain_pem=leaf + root, root_pem=root, name=str(name))


def _write_private(file: Path, content: bytes) -> None:
    """Write atomically, with mode 0600 from the first byte."""
    with atomic_path(file) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)


def _make_chain() -> tuple[bytes, Sequence[bytes]]:
    """A new signing key (PEM) and its certificates (PEM): signer, root.

    They follow the C2PA certificate profile: v3, ES256, digitalSignature as the only (critical) key
    usage, emailProtection as extended key usage, and not a CA.
    """
    root_key = ec.generate_private_key(ec.SECP256R1())
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    mark = f"{serial:x}"[:8]
    root_name, leaf_name = _name(f"workspace root {mark}"), _name(f"workspace key {mark}")
    root = (
        _certificate(root_name, root_name, root_key.public_key(), x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        _certificate(leaf_name, root_name, leaf_key.public_key(), serial)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .sign(root_key, hashes.SHA256())
    )
    private = leaf_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pem = serialization.Encoding.PEM
    return private, (leaf.public_bytes(pem), root.public_bytes(pem))


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, serial: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        # A clock that is slightly fast must not make a new file invalid elsewhere.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Faceloom"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Faceloom {common_name}"),
        ]
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    """Permission to sign certificates (a root) or content (others), nothing else."""
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )
