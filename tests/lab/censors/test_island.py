"""`island` cuts the people off from everything."""

from __future__ import annotations

from lab.censor import make, profile
from lab.packets import Way
from tests.lab.censors.speakers import ANA, BORIS, CLARA, GROUND, MAIL_INSIDE, Tcp, datagram, ping


def test_nothing_crosses() -> None:
    censor, _ = make("island", GROUND, 1)
    flow = Tcp(censor)
    server = Tcp(censor, client=MAIL_INSIDE, server=CLARA, port=25)
    verdicts = [flow.up(), flow.down(b"x"), server.up(), server.down(b"x")]
    assert not any(verdict.passes or verdict.forged for verdict in verdicts)
    assert not datagram(censor)
    assert not ping(censor)


def test_the_people_reach_nobody_inside_either() -> None:
    censor, _ = make("island", GROUND, 1)
    for client, server in ((ANA, BORIS), (BORIS, ANA), (ANA, MAIL_INSIDE), (BORIS, MAIL_INSIDE)):
        flow = Tcp(censor, client=client, server=server, way=Way.LOCAL)
        assert not flow.up().passes
        assert not flow.down().passes
    assert not datagram(censor, way=Way.LOCAL, server=BORIS)


def test_the_rest_of_the_country_goes_on() -> None:
    censor, _ = make("island", GROUND, 1)
    assert Tcp(censor, client="192.0.2.80", server=MAIL_INSIDE, way=Way.LOCAL).opens()


def test_no_live_path_is_left() -> None:
    assert not profile("island").live
