"""QUIC Initial packets, with the examples of RFC 9001 and RFC 9369."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.quic import is_initial

# RFC 9001, appendix A.2: the first bytes of the client's protected Initial packet.
CLIENT_V1 = bytes.fromhex("c000000001088394c8f03e5157080000449e7b9aec34")
# RFC 9001, appendix A.3: those of the server's.
SERVER_V1 = bytes.fromhex("cf000000010008f067a5502a4262b5004075c0d95a48")
# RFC 9001, appendix A.4: a Retry packet.
RETRY_V1 = bytes.fromhex("ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba")
# RFC 9001, appendix A.5: a packet with a short header.
SHORT_V1 = bytes.fromhex("4cfe4189655e5cd55c41f69080575d7999c25a5bfb")
# RFC 9369, appendix A.2: the client's Initial packet of version 2.
CLIENT_V2 = bytes.fromhex("d76b3343cf088394c8f03e5157080000449ea0c95e82")


@pytest.mark.parametrize("packet", [CLIENT_V1, SERVER_V1, CLIENT_V2])
def test_initial_packets_are_known(packet: bytes) -> None:
    assert is_initial(packet)
    assert is_initial(packet.ljust(1200, b"\0"))


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        RETRY_V1,
        SHORT_V1,
        CLIENT_V1[:7],
        CLIENT_V1[:15],
        b"\x80" + CLIENT_V1[1:],  # the fixed bit is missing
        b"\xd0" + CLIENT_V1[1:],  # 0-RTT in version 1
        b"\xc0" + CLIENT_V2[1:],  # Retry in version 2
        CLIENT_V1[:1] + b"\0\0\0\0" + CLIENT_V1[5:],  # version negotiation
        CLIENT_V1[:1] + b"\xba\xba\xba\xba" + CLIENT_V1[5:],  # an unknown version
        CLIENT_V1[:5] + b"\x15" + bytes(100),  # a connection id of 21 bytes
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    ],
)
def test_others_are_not(packet: bytes) -> None:
    assert not is_initial(packet)


@given(st.binary(max_size=64), st.sampled_from([b"", CLIENT_V1[:5], CLIENT_V2[:5]]))
def test_garbage_never_raises(payload: bytes, prefix: bytes) -> None:
    is_initial(prefix + payload)
