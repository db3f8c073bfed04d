"""A domestic object store: S3 over TLS from moto, with one bucket.

Run as a module (`python -m lab.services.s3`) with a JSON object of `_Options` as its argument, this
is the server itself. It takes any account.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from moto import settings
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import run_simple

from lab import ground
from lab.ground import Host
from lab.services import module
from lab.world import World

PORT = 9000
REGION = "us-east-1"
BUCKET = "drop-of-friends"


@dataclass(frozen=True, slots=True)
class _Options:
    address: str
    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """One bucket, shared by all."""

    host: Host = ground.DROP_INSIDE
    """Where it runs."""

    async def start(self, world: World) -> None:
        """See lab.world.Service."""
        issued = world.authority.issue(self.host.names, [self.host.address])
        options = _Options(self.host.address, str(issued.certificate), str(issued.key))
        await module.start(world, self.host, __name__, PORT, asdict(options))


def _serve(options: _Options) -> None:
    # Else the first word of our host name would be taken for a bucket.
    settings.S3_IGNORE_SUBDOMAIN_BUCKETNAME = True
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(BUCKET, REGION)
    run_simple(
        options.address,
        PORT,
        DomainDispatcherApplication(create_backend_app),
        threaded=True,
        ssl_context=(options.certificate, options.key),
    )


if __name__ == "__main__":
    _serve(_Options(**module.options()))
