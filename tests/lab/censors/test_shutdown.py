"""`shutdown` lets nothing cross and leaves the country alone."""

from __future__ import annotations

import pytest
from lab.censor import make, profile
from lab.packets import Way
from tests.lab.censors.speakers import BORIS, CLARA, GROUND, MAIL_INSIDE, Tcp, datagram, ping


@pytest.mark.parametrize("client", [MAIL_INSIDE, "192.0.2.10"])
def test_nothing_crosses(client: str) -> None:
    censor, _ = make("shutdown", GROUND, 1)
    flow = Tcp(censor, client=client)
    verdicts = [flow.up(), flow.down(), flow.up(b"x"), flow.down(b"x")]
    verdicts.append(Tcp(censor, client=CLARA, server=MAIL_INSIDE, way=Way.IN).up())
    assert not any(verdict.passes or verdict.forged for verdict in verdicts)
    assert not datagram(censor)
    assert not datagram(censor, way=Way.IN)
    assert not ping(censor)


def test_the_domestic_network_works() -> None:
    censor, _ = make("shutdown", GROUND, 1)
    for server in (MAIL_INSIDE, BORIS):
        flow = Tcp(censor, server=server, way=Way.LOCAL)
        assert flow.opens()
        assert flow.up(b"x").passes
    assert datagram(censor, way=Way.LOCAL)


def test_no_live_path_is_left() -> None:
    assert not profile("shutdown").live
