"""`outage` happens to the world: the border lets everything pass."""

from __future__ import annotations

from lab.censor import Suspicion, make, profile
from lab.packets import Way
from tests.lab.censors.speakers import GROUND, RELAY, Tcp, browser_hello, datagram, ping


def test_all_passes() -> None:
    censor, parameters = make("outage", GROUND, 1)
    censor.judged(Suspicion(RELAY, 443, b""), revealed=True)
    assert parameters == {}
    for way in Way:
        flow = Tcp(censor, way=way)
        assert flow.opens()
        assert flow.up(browser_hello("relay1.example")).passes
        assert all(flow.down(bytes(1400)).passes for _ in range(100))
        assert flow.closes()
        assert ping(censor, way)
        assert datagram(censor, way=way)


def test_relays_lost() -> None:
    assert profile("outage").relays_lost == 2
    assert profile("outage").live
