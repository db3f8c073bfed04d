from __future__ import annotations

import json
import signal
import subprocess
import sys

import httpx
import pytest


def demo(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "volok", "demo", "--json", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.timeout(300)
def test_the_scripted_exchange_loses_nothing():
    process = demo("--once")
    out, err = process.communicate(timeout=280)
    steps = [json.loads(line) for line in out.splitlines()]
    assert [step["step"] for step in steps if not step["ok"]] == [], err
    assert len(steps) == 6
    assert process.returncode == 0


def test_two_pages_are_connected_until_it_is_stopped():
    process = demo("--no-browser")
    try:
        assert process.stdout is not None
        people = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [person["name"] for person in people] == ["Alice", "Bob"]
        for person, other in zip(people, ("Bob", "Alice"), strict=True):
            with httpx.Client(follow_redirects=True) as browser:
                page = browser.get(person["url"])
                assert page.status_code == 200
                assert other in page.text
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
