"""How a relay is served: address, folder, TLS. What it takes and answers is `RelaySettings`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from volok.relay.errors import RelayError


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Where and how `volok relay` serves. Each field is an option of the command, too."""

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 for every one of this computer."""
    port: int = 7777
    """The port; 0 for any that is free."""
    data: Path = Path("volok-relay")
    """The folder that holds what the relay keeps."""
    tls: bool = False
    """Speak TLS, with a key made once and kept in the folder."""
    cert: Path | None = None
    """Speak TLS with this certificate (PEM). It is read again when the file changes."""
    key: Path | None = None
    """The key of the certificate (PEM)."""
    secret_path: str = ""
    """auto, none, or a path of 16 to 64 characters: where alone the relay is. Empty: auto with TLS,
    none without."""
    cover: Path | None = None
    """A folder with the website that everybody else sees."""
    transport: tuple[str, ...] = ()
    """Pluggable transports in front of the relay, each NAME[:PORT][=PROGRAM]. They take TLS."""
    transport_option: tuple[str, ...] = ()
    """What the programs of transports are told, each NAME:KEY=VALUE."""
    onion: bool = False
    """Be an onion service of Tor as well."""
    tor_control: str = ""
    """The control port of the Tor to publish through (HOST:PORT or a socket); empty: one is
    started."""
    behind_proxy: bool = False
    """A web server on this computer stands in front: people are told apart by the last address in
    its X-Forwarded-For, in memory and as a salted hash alone. Only names in --url are answered."""
    metrics_port: int = 0
    """A port on the loopback address with /metrics (Prometheus) and /health; 0 for none."""
    wait: float = 0.0
    """Seconds to wait for another relay to let go of the folder, for a restart that overlaps."""
    encrypt: bool = False
    """Encrypt what the relay keeps under a passphrase that is asked for at each start."""
    plugin: str = ""
    """The command of a write policy plug-in, as strfry takes them: JSON lines in and out."""

    store: str = ""
    """A PostgreSQL that several relays share, postgresql://HOST/DATABASE. Empty: the folder. The
    password belongs into the password file of PostgreSQL (PGPASSFILE), not here."""
    bus: str = ""
    """The NATS by which relays that share a store hear of new events at once, nats://HOST:4222;
    several servers with commas between. Empty: they ask the database."""
    blobs: str = ""
    """S3-compatible storage for blobs, s3://BUCKET/PREFIX. The account stands in AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL. Empty: the folder."""

    def __post_init__(self) -> None:
        """Check what does not depend on this computer. Raises RelayError."""
        for name in ("port", "metrics_port"):
            if not 0 <= getattr(self, name) <= 65_535:
                raise RelayError(f"The setting {name} has to be between 0 and 65535.")
        if self.wait < 0:
            raise RelayError("The setting wait must not be negative.")
        if (self.cert is None) != (self.key is None):
            raise RelayError("Give both --cert and --key, or neither.")
        if self.behind_proxy and (self.tls or self.cert):
            raise RelayError(
                "Behind a proxy the relay speaks no TLS itself: the proxy does. "
                "Leave out --behind-proxy or the certificate."
            )
