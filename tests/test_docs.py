"""The documents say what is so: generated parts are fresh, links resolve, commands exist."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"```.*?```", re.DOTALL)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
IMAGE_SOURCE = re.compile(r'<img[^>]*\ssrc="([^"]+)"')


def tool(name: str) -> ModuleType:
    """A module of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors(text: str) -> set[str]:
    """The anchors that a Markdown page gives to its headings, by GitHub's rule."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        number = sum(1 for other in found if re.fullmatch(re.escape(anchor) + r"(-\d+)?", other))
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


def broken_links(page: Path) -> list[str]:
    """The links of a page to files or headings that do not exist."""
    text = page.read_text(encoding="utf-8")
    visible = FENCE.sub("", text)
    broken = []
    for link in LINK.findall(visible) + IMAGE_SOURCE.findall(visible):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (
            anchor and anchor not in anchors(target.read_text(encoding="utf-8"))
        ):
            broken.append(link)
    return broken


def spoken(pattern: str, page: Path) -> set[str]:
    """What the pattern finds in the code of a page."""
    code = "\n".join(CODE.findall(page.read_text(encoding="utf-8")))
    return set(re.findall(pattern, code, re.MULTILINE))


def test_command_line_is_documented() -> None:
    expected = tool("cli_docs").render()
    assert (ROOT / "docs/cli.md").read_text(encoding="utf-8") == expected, "run `make docs`"
    for name in ("init", "up", "relay export", "send", "demo"):
        assert f"\n## volok {name}\n" in expected


def test_settings_are_documented() -> None:
    settings = tool("settings_docs")
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == settings.render(), (
        "run `make docs`"
    )
    for _, node in settings.settings_classes():
        assert list(settings.fields(node)), f"{node.name} has no fields"
        assert all(meaning for *_, meaning in settings.fields(node)), node.name


def test_figures_are_those_measured() -> None:
    figures = tool("figures")
    pages = figures.documents()
    assert ROOT / "README.md" in pages
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text == figures.rewrite(text, figures.load()), "run `make docs`"


def test_the_table_of_the_lab_is_that_of_the_kept_runs() -> None:
    results = tool("lab_results")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    kept = results.load()
    assert kept
    assert readme == results.rewrite(readme, kept), "run `make docs`"
    assert results.PICTURE.read_text(encoding="utf-8") == results.picture.draw(kept)


def test_figures_replace_a_block_and_nothing_else() -> None:
    figures = tool("figures")
    text = "a\n<!-- figures:start speed -->\nold\n<!-- figures:end -->\nb\n"
    assert figures.rewrite(text, {"machine": "", "figures": []}) == text.replace(
        "old\n", figures.NOTHING
    )
    speed = {"group": "speed", "name": "Sent", "value": 1234.5, "unit": "/s", "command": "make x"}
    rewritten = figures.rewrite(
        text, {"machine": "2 cores", "figures": [speed, speed | {"group": "size", "name": "Big"}]}
    )
    assert "| Sent | 1,234 /s |" in rewritten
    assert "Big" not in rewritten
    assert rewritten.startswith("a\n<!--")
    assert rewritten.endswith("<!-- figures:end -->\nb\n")
    assert figures.rewrite(rewritten, {"machine": "", "figures": []}) == figures.rewrite(
        text, {"machine": "", "figures": []}
    )


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    assert broken_links(page) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A heading, twice\n\n# A heading, twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md#a-heading-twice-1) [b](https://example.org/x) [c](#here)\n"
        "[d](gone.md) ![e](other.md#gone)\n```text\n[f](also-gone.md)\n```\n# Here\n"
        '<img alt="g" src="gone.svg">\n'
    )
    assert broken_links(page) == ["gone.md", "other.md#gone", "gone.svg"]


def test_commands_in_the_documents_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    cli = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    verbs = set(re.findall(r"^## volok ([a-z]+)", cli, re.MULTILINE))
    assert "demo" in spoken(r"(?:^|`)make ([a-z]+)", ROOT / "README.md")
    for page in DOCUMENTS:
        assert spoken(r"(?:^|`)make ([a-z]+)", page) <= targets, page
        assert spoken(r"(?:^|`)volok (?:--home \S+ )?([a-z]+)", page) <= verbs, page


def test_every_decision_is_listed_and_has_its_parts() -> None:
    folder = ROOT / "docs/adr"
    decisions = sorted(folder.glob("[0-9]*.md"))
    numbers = [path.name[:4] for path in decisions]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    index = (folder / "README.md").read_text(encoding="utf-8")
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert f"({path.name})" in index, f"{path.name} is not in the index"
        for part in ("Context", "Decision", "Consequences", "Alternatives"):
            assert re.search(rf"^#+ {part}", text, re.MULTILINE), f"{path.name}: {part} is missing"


@pytest.mark.parametrize("name", ["idea"])
def test_pictures_are_sound_and_have_words(name: str) -> None:
    picture = ElementTree.parse(ROOT / f"docs/img/{name}.svg").getroot()
    tags = {element.tag.partition("}")[2] for element in picture.iter()}
    assert {"title", "desc"} <= tags
    assert not tags & {"script", "foreignObject", "image"}
