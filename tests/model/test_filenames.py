"""File names that came from outside."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.filenames import MAX_NAME, MAX_NAME_BYTES, safe_name

RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in "123456789")}

nasty = st.text(
    st.sampled_from('.-_ /\\:*?"<>|\0\n\u202e\u2066\u200d\u2028e\u0301\ud800😀c') | st.characters()
)
names = st.builds("".join, st.lists(nasty | st.sampled_from([*RESERVED, ".txt", "x" * 90])))


@given(names)
def test_every_name_becomes_safe(name: str) -> None:
    safe = safe_name(name)
    assert 0 < len(safe) <= MAX_NAME
    assert len(safe.encode()) <= MAX_NAME_BYTES
    assert safe_name(safe) == safe
    assert unicodedata.is_normalized("NFC", safe)
    assert not set(safe) & set('/\\:*?"<>|')
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in safe)
    assert safe[0] not in ".- "
    assert safe[-1] not in ". "
    assert safe.split(".")[0].rstrip().lower() not in RESERVED


@given(st.from_regex(r"[a-zа-яё0-9_]{1,60}\.[a-z0-9]{1,10}", fullmatch=True))
def test_plain_names_stay(name: str) -> None:
    if name.partition(".")[0] not in RESERVED:
        assert safe_name(name) == unicodedata.normalize("NFC", name)


@given(names)
def test_names_can_be_written(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "names"
    folder.mkdir(exist_ok=True)
    path = folder / safe_name(name)
    path.write_bytes(b"x")
    assert [entry.name for entry in Path(folder).iterdir()] == [path.name]
    path.unlink()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Отчёт за май.pdf", "Отчёт за май.pdf"),
        ("archive.tar.gz", "archive.tar.gz"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\Users\\x.doc", "C__Users_x.doc"),
        ("-rf", "rf"),
        (".bashrc", "bashrc"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("two\n lines\t.txt", "two lines .txt"),
        ("e\u0301.png", "\u00e9.png"),
        ("e\u200d\u0301.png", "\u00e9.png"),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("com¹ .txt", "_com¹ .txt"),
        ("console.txt", "console.txt"),
        ("name. . .", "name"),
        ("\0\x1f\x7f", "file"),
        ("...", "file"),
        ("", "file"),
        ("x" * 200 + ".jpeg", "x" * 95 + ".jpeg"),
        ("x" * 200, "x" * 100),
        ("a\ud800b", "ab"),
    ],
)
def test_examples(name: str, expected: str) -> None:
    assert safe_name(name) == expected
