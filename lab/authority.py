"""The lab's own certificate authority, made anew for each world and trusted only inside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Where a server finds its certificate and key, both PEM."""

    certificate: Path
    key: Path


class Authority:
    """Issues P-256 certificates: small ones, as servers that count bytes use."""

    def __init__(self, folder: Path) -> None:
        """Make a new authority that keeps its files in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Root")])
        made = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = folder / "root.pem"
        """The authority's own certificate, for those who are to trust it."""
        self.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def issue(self, names: Sequence[str], addresses: Sequence[str] = ()) -> Certificate:
        """A certificate for DNS names and IPv4 addresses, at least one of the two."""
        first = (*names, *addresses)[0]
        key = ec.generate_private_key(ec.SECP256R1())
        known = [
            *(x509.DNSName(name) for name in names),
            *(x509.IPAddress(IPv4Address(address)) for address in addresses),
        ]
        made = (
            self._builder(
                x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, first)]), key.public_key()
            )
            .add_extension(x509.SubjectAlternativeName(known), critical=False)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        issued = Certificate(self._folder / f"{first}.pem", self._folder / f"{first}.key")
        issued.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        issued.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        issued.key.chmod(0o600)
        return issued

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + VALID)
        )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
