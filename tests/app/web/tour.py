"""Every page and every state of it: what the pictures show and what axe-core looks at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal

from playwright.async_api import Page

from volok.app.web.interface import NodeState, Preferences, RelayStatus
from volok.chat.views import ChatError, Contact
from volok.model.fountain_frames import FrameReader

from .fake_censor import censor, walk_out
from .fake_hints import tell
from .fake_node import FakeNode
from .live import Site
from .scenes import landscape, rich

Theme = Literal["light", "dark"]
Act = Callable[[Page, Site], Awaitable[None]]


async def _nothing(page: Page, site: Site) -> None:
    """The page as it comes."""


OWN_EYE = """async () => {
  const picture = new Image();
  picture.src = document.getElementById("code").toDataURL();
  await picture.decode();
  const eye = document.createElement("canvas");
  eye.width = 640;
  eye.height = 480;
  setInterval(() => eye.getContext("2d").drawImage(picture, 90, 10, 460, 460), 50);
  navigator.mediaDevices.getUserMedia = async () => eye.captureStream();
}"""
"""A camera that sees the code as it is on the page at this moment, for as long as it is open."""


@dataclass(frozen=True)
class Stop:
    """One state of one page."""

    name: str
    path: str
    """May hold {anna} and the like: names in lower case for ids of people; {invite}."""
    prepare: Callable[[FakeNode], object] = rich
    act: Act = _nothing
    state: NodeState = "open"
    passphrase: str | None = "correct horse"
    language: str = "en"
    themes: tuple[Theme, ...] = ("light", "dark")
    cookie: bool = True

    async def visit(self, page: Page, site: Site) -> None:
        """Bring a page of this site into this state."""
        node = FakeNode(passphrase=self.passphrase)
        self.prepare(node)
        made = await node.chat.invite()
        ids = {one.name.split()[0].lower(): one.id for one in node.chat.people.values()}
        if self.state != "open":
            await node.become(self.state)
        site.show(node)
        await page.context.clear_cookies()
        await page.set_extra_http_headers({"Accept-Language": self.language})
        await page.goto(site.link() if self.cookie else site.base)
        await page.evaluate("sessionStorage.clear()")
        await page.goto(site.base + self.path.format(**ids, invite=made.id))
        await self.act(page, site)


def _empty(node: FakeNode) -> None:
    node.relays = ()


def _ways(node: FakeNode) -> None:
    rich(node)
    walk_out(node)


def _blocked(node: FakeNode) -> None:
    _ways(node)
    censor(node)


def _told(node: FakeNode) -> None:
    rich(node)
    tell(node)


def _looking(node: FakeNode) -> None:
    _ways(node)
    node.out.goes_on.clear()


def _offline(node: FakeNode) -> None:
    rich(node)
    node.relays = tuple(RelayStatus(one.url, "failed") for one in node.relays)


def _connecting(node: FakeNode) -> None:
    rich(node)
    node.relays = tuple(RelayStatus(one.url, "connecting") for one in node.relays)


def _fresh(node: FakeNode) -> None:
    rich(node)
    for contact in node.chat.people.values():
        node.chat.people[contact.id] = replace(contact, waiting=3)
    node.chat.add_contact("Vera")


def _notifying(node: FakeNode) -> None:
    rich(node)
    node.chosen = Preferences("", 15, True)


def _by_name(site: Site, start: str) -> Contact:
    return next(one for one in site.node.chat.people.values() if one.name.startswith(start))


async def _menu(page: Page, site: Site) -> None:
    row = page.locator(".row.mine", has_text="Meet at the old mill")
    await row.hover()
    await row.locator(".more").click()
    await page.locator("#sheet[open]").wait_for()


async def _older_top(page: Page, site: Site) -> None:
    await page.locator("#scroller").evaluate("box => box.scrollTop = -box.scrollHeight / 2")


async def _lightbox(page: Page, site: Site) -> None:
    await page.locator("[data-picture]").first.click()
    await page.locator("#lightbox[open]").wait_for()


async def _tray(page: Page, site: Site) -> None:
    await page.locator("#pick").set_input_files(
        [{"name": "hill.jpg", "mimeType": "image/jpeg", "buffer": landscape(800, 600)}]
    )
    await page.locator("#tray img").wait_for()
    await page.locator("#text").fill("Two lines\nin the composer")


async def _failed(page: Page, site: Site) -> None:
    site.node.chat.failure = ChatError("The disk is full. Free some space and try again.")
    await page.locator("#text").fill("This one stays here")
    await page.locator("#send").click()
    await page.locator(".toast").wait_for()


async def _reply(page: Page, site: Site) -> None:
    await _menu(page, site)
    await page.locator("[data-reply]").click()
    await page.locator("#composer-note").wait_for()


async def _record(page: Page, site: Site) -> None:
    await page.locator("#record").click()
    await page.locator("#recording").wait_for()


async def _stopped(page: Page, site: Site) -> None:
    await page.locator("#stopped").evaluate("box => box.hidden = false")


async def _ask(page: Page, site: Site) -> None:
    await page.locator("[data-dialog]").click()


async def _search(page: Page, site: Site) -> None:
    await page.locator("#sought").fill("boats")
    await page.locator(".results").wait_for()


async def _search_nothing(page: Page, site: Site) -> None:
    await page.locator("#sought").fill("zebra")
    await page.locator("#found .nothing", has_text="Nothing found").wait_for()


async def _wrong(page: Page, site: Site) -> None:
    await page.locator("input[type=password]").first.fill("wrong")
    await page.locator("main .button.primary").click()
    await page.locator(".problem").wait_for()


async def _refused(page: Page, site: Site) -> None:
    await page.locator("#link").fill("https://example.org/not-an-invite")
    await page.locator("main .button.primary").first.click()
    await page.locator(".problem[role=alert]").first.wait_for()


async def _bad_relay(page: Page, site: Site) -> None:
    await page.locator("#url").fill("relay")
    await page.locator("#relays .inline .button").click()
    await page.locator("#relays .problem[role=alert]").wait_for()


async def _press(page: Page, site: Site) -> None:
    await page.locator("main form .button").first.click()
    await page.locator(".fortune").wait_for()


async def _differs(page: Page, site: Site) -> None:
    await page.evaluate("document.querySelector('[data-scanner] input').value = 'other';"
                        "document.querySelector('[data-scanner]').submit()")  # fmt: skip
    await page.locator(".problem[role=alert]").first.wait_for()


async def _lit(page: Page, site: Site) -> None:
    await page.locator("#show .button").click()
    await page.locator("#code:not([width='616'])").wait_for()  # it has been drawn upon


async def _facing(page: Page, site: Site) -> None:
    await _lit(page, site)
    await page.locator("#read").click()
    await page.locator("#finder video").wait_for()


async def _came(page: Page, site: Site) -> None:
    """The camera sees the page's own code, which the node has forgotten to be its own."""
    await _lit(page, site)
    await page.evaluate(OWN_EYE)
    await page.locator("#hide").click()
    site.app.state.light.reader = FrameReader()
    await page.locator("#read").click()
    await page.locator("#came .fortune, #read-problem:not([hidden])").wait_for()


def _free(node: FakeNode) -> None:
    _ways(node)
    censor(node, free=True)


async def _look(page: Page, site: Site) -> None:
    await page.locator(".paper form .button").first.click()
    await page.locator(".verdict").wait_for()


async def _looks(page: Page, site: Site) -> None:
    await page.locator(".paper form .button").first.click()
    await page.locator("#looking").wait_for()


async def _try(page: Page, site: Site) -> None:
    await page.locator(".route .button.small").first.click()
    await page.locator(".route [role=status]").wait_for()


async def _details(page: Page, site: Site) -> None:
    for summary in await page.locator("summary").all():
        await summary.click()


STOPS = (
    Stop("knock", "/", cookie=False),
    Stop("welcome", "/welcome", _empty, state="new"),
    Stop("welcome-details", "/welcome", _empty, _details, state="new"),
    Stop("restore", "/restore", _empty, state="new"),
    Stop("begin", "/begin", _empty),
    Stop("locked", "/unlock", state="locked"),
    Stop("locked-wrong", "/unlock", act=_wrong, state="locked"),
    Stop("locked-open", "/unlock", state="locked", passphrase=None),
    Stop("destroyed", "/destroyed", state="destroyed"),
    Stop("home-empty", "/", _empty),
    Stop("home", "/"),
    Stop("home-offline", "/", _offline),
    Stop("home-connecting", "/", _connecting),
    Stop("home-ru", "/", language="ru"),
    Stop("talk", "/c/{anna}"),
    Stop("talk-older", "/c/{anna}", act=_older_top),
    Stop("talk-ru", "/c/{anna}", language="ru"),
    Stop("talk-menu", "/c/{anna}", act=_menu),
    Stop("talk-reply", "/c/{anna}", act=_reply),
    Stop("talk-tray", "/c/{anna}", act=_tray),
    Stop("talk-record", "/c/{anna}", act=_record),
    Stop("talk-failed", "/c/{anna}", act=_failed),
    Stop("talk-stopped", "/c/{anna}", act=_stopped),
    Stop("talk-lightbox", "/c/{anna}", act=_lightbox, themes=("dark",)),
    Stop("talk-empty", "/c/{vera}", _fresh),
    Stop("talk-waiting", "/c/{jun}"),
    Stop("talk-rtl", "/c/{ليلى}"),
    Stop("talk-unread", "/c/{book}"),
    Stop("talk-key-changed", "/c/{pavel}"),
    Stop("talk-blocked", "/c/{unknown}"),
    Stop("contact", "/c/{anna}/about"),
    Stop("contact-differs", "/c/{jun}/about", act=_differs),
    Stop("contact-changed", "/c/{pavel}/about"),
    Stop("contact-forget", "/c/{jun}/about", act=_ask),
    Stop("invites", "/invites"),
    Stop("invites-no-relay", "/invites", _empty),
    Stop("invite", "/invites/{invite}"),
    Stop("accept", "/accept"),
    Stop("accept-refused", "/accept", act=_refused),
    Stop("search", "/search"),
    Stop("search-found", "/search", act=_search),
    Stop("search-nothing", "/search", act=_search_nothing),
    Stop("settings", "/settings", _notifying),
    Stop("settings-ru", "/settings", language="ru"),
    Stop("settings-bare", "/settings", _empty, _details, passphrase=None),
    Stop("settings-bad-relay", "/settings", act=_bad_relay),
    Stop("settings-panic", "/settings", act=_ask),
    Stop("carry", "/carry"),
    Stop("carry-packed", "/carry", act=_press),
    Stop("light", "/carry/light"),
    Stop("light-shown", "/carry/light", act=_lit),
    Stop("light-both", "/carry/light", act=_facing),
    Stop("light-came", "/carry/light", act=_came),
    Stop("light-refused", "/carry/light?invite={invite}", act=_came),
    Stop("light-ru", "/carry/light", act=_lit, language="ru"),
    Stop("light-came-ru", "/carry/light", act=_came, language="ru"),
    Stop("backup", "/backup"),
    Stop("backup-made", "/backup", act=_press, passphrase=None),
    Stop("paths", "/paths", _ways),
    Stop("paths-ru", "/paths", _ways, _details, language="ru"),
    Stop("paths-none", "/paths", _empty),
    Stop("paths-add", "/paths", _ways, act=_details),
    Stop("paths-tried", "/paths", _ways, act=_try),
    Stop("hints", "/hints", _told, act=_details),
    Stop("hints-ru", "/hints", _told, language="ru"),
    Stop("hints-none", "/hints", _empty),
    Stop("doctor", "/doctor", _ways),
    Stop("doctor-looks", "/doctor", _looking, act=_looks),
    Stop("doctor-blocked", "/doctor", _blocked, act=_look),
    Stop("doctor-blocked-ru", "/doctor", _blocked, act=_look, language="ru"),
    Stop("doctor-free", "/doctor", _free, act=_look),
    Stop("missing", "/nothing-here"),
)
