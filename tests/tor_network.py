"""A private Tor network of real processes on loopback: four relays, three of them authorities.

It takes 6 to 16 seconds and 45 MB for each process. Whoever joins it writes `lines` into the
`torrc.local` of a Tor, and does so only after `start` has returned: a Tor that met an empty
consensus keeps it for long.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

TOR = shutil.which("tor") or shutil.which("/usr/sbin/tor")
AUTHORITIES, RELAYS = 3, 4

_COMMON = """\
TestingTorNetwork 1
AssumeReachable 1
TestingV3AuthInitialVotingInterval 5
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
TestingAuthDirTimeToLearnReachability 0
TestingDirConnectionMaxStall 5
V3AuthVotingInterval 10
V3AuthVoteDelay 2
V3AuthDistDelay 2
ClientRejectInternalAddresses 0
GeoIPFile /dev/null
GeoIPv6File /dev/null
ShutdownWaitLength 0
"""
_RELAY = """\
DataDirectory {folder}
Nickname {name}
Address {ip}
ORPort {ip}:9001 IPv4Only
OutboundBindAddress {ip}
ExtendAllowPrivateAddresses 1
ExitRelay 1
ExitPolicyRejectPrivate 0
ExitPolicy accept *:*
SocksPort 0
ConnLimit 60
Log err stderr
__OwningControllerProcess {pid}
"""
_AUTHORITY = """\
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
ContactInfo test@example.org
DirPort {ip}:9030
TestingDirAuthVoteExit *
TestingDirAuthVoteHSDir *
TestingDirAuthVoteGuard *
TestingMinExitFlagThreshold 0
V3BandwidthsFile {folder}/none
"""
_BRIDGE = """\
BridgeRelay 1
PublishServerDescriptor 0
ExtORPort auto
ServerTransportListenAddr obfs4 {ip}:4443
"""


@dataclass
class TorNetwork:
    """One network in a folder."""

    folder: Path
    lines: str = ""
    """What a Tor has to have in its torrc to join."""
    net: str = ""
    """The first three numbers of its addresses."""
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, wait: float = 90.0) -> None:
        """Start all relays; return when each knows all."""
        assert TOR is not None
        # Addresses of our own, so that two networks at once are not in each other's way.
        self.net = net = f"127.{64 + os.getpid() % 128}.{int.from_bytes(os.urandom(1))}"
        configured: list[tuple[Path, str]] = []
        authorities = ""
        for number in range(RELAYS):
            folder = self.folder / f"n{number}"
            (folder / "keys").mkdir(mode=0o700, parents=True)
            folder.chmod(0o700)
            values = {
                "folder": folder,
                "name": folder.name,
                "ip": f"{net}.{number + 1}",
                "pid": os.getpid(),
            }
            torrc = _COMMON + _RELAY.format(**values)
            if number < AUTHORITIES:
                torrc += _AUTHORITY.format(**values)
                authorities += _authority(folder, torrc, f"{net}.{number + 1}")
            configured.append((folder, torrc))
        self.lines = _COMMON + authorities
        for folder, torrc in configured:
            (folder / "torrc").write_text(torrc + authorities)
            self._processes.append(_tor(folder))
        end = time.monotonic() + wait
        while not self._whole():
            if time.monotonic() > end:
                self.stop()
                raise TimeoutError("The Tor network did not come up.")
            time.sleep(0.1)

    def start_bridge(self, wait: float = 30.0) -> str:
        """Start a bridge with obfs4 as well; its bridge line."""
        folder = self.folder / "bridge"
        folder.mkdir(mode=0o700)
        ip = f"{self.net}.{RELAYS + 1}"
        relay = _RELAY.format(folder=folder, name="bridge", ip=ip, pid=os.getpid())
        torrc = self.lines + relay.replace("ExitRelay 1", "ExitRelay 0")
        program = shutil.which("obfs4proxy")
        torrc += f"{_BRIDGE.format(ip=ip)}ServerTransportPlugin obfs4 exec {program}\n"
        (folder / "torrc").write_text(torrc)
        self._processes.append(_tor(folder))
        line, identity = folder / "pt_state" / "obfs4_bridgeline.txt", folder / "fingerprint"
        end = time.monotonic() + wait
        while not (line.exists() and identity.exists() and "cert=" in line.read_text()):
            if time.monotonic() > end:
                raise TimeoutError("The bridge did not come up.")
            time.sleep(0.1)
        found = re.search(r"cert=\S+", line.read_text())
        assert found is not None
        return f"obfs4 {ip}:4443 {identity.read_text().split()[1]} {found[0]} iat-mode=0"

    def stop(self) -> None:
        """End all relays."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()

    def _whole(self) -> bool:
        consensus = self.folder / "n0" / "cached-microdesc-consensus"
        if not consensus.exists():
            return False
        flags = re.findall(r"^s (.*)", consensus.read_text(), re.MULTILINE)
        whole = [one for one in flags if {"HSDir", "Guard", "Running"} <= set(one.split())]
        return len(whole) == RELAYS


def _authority(folder: Path, torrc: str, ip: str) -> str:
    """Make the keys of an authority; the line by which others know it."""
    key = f"{folder}/keys/authority_"
    subprocess.run(
        [
            *("tor-gencert", "--create-identity-key", "--passphrase-fd", "0", "-m", "12"),
            *("-a", f"{ip}:9030", "-i", f"{key}identity_key", "-s", f"{key}signing_key"),
            *("-c", f"{key}certificate"),
        ],
        input=b"x\n",
        check=True,
        capture_output=True,
    )
    certificate = Path(f"{key}certificate").read_text()
    found = re.search(r"^fingerprint (\w+)", certificate, re.MULTILINE)
    assert found is not None
    # An authority does not start without one: this one is only there for its fingerprint.
    dummy = f"DirAuthority x orport=9001 v3ident={found[1]} {ip}:9030 {'0' * 40}\n"
    (folder / "torrc").write_text(torrc + dummy)
    printed = subprocess.run(
        [str(TOR), "-f", str(folder / "torrc"), "--list-fingerprint", "--quiet"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    fingerprint = printed.split(" ", 1)[1].strip()
    identity = f"orport=9001 no-v2 v3ident={found[1]}"
    return f"DirAuthority {folder.name} {identity} {ip}:9030 {fingerprint}\n"


def _tor(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(TOR), "--defaults-torrc", os.devnull, "-f", str(folder / "torrc"), "--quiet"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
