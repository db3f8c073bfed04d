"""The signature of S3 requests against Amazon's own examples."""

from __future__ import annotations

from volok.paths.s3 import S3Place, sign

PLACE = S3Place(
    "https://examplebucket.s3.amazonaws.com",
    "",
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
)
MAY_24_2013 = 1_369_353_600.0


def signature(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> str:
    """What `sign` makes of a request."""
    made = sign(method, PLACE.endpoint + path, headers, body, PLACE, MAY_24_2013)
    return made["authorization"].rpartition("Signature=")[2]


def test_the_examples_of_the_reference() -> None:
    """Amazon S3 API Reference, "Signature Calculations for the Authorization Header"."""
    assert (
        signature("GET", "/test.txt", {"Range": "bytes=0-9"})
        == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )
    put = {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}
    assert (
        signature("PUT", "/test%24file.text", put, b"Welcome to Amazon S3.")
        == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    )
    assert (
        signature("GET", "/?max-keys=2&prefix=J", {})
        == "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    )
