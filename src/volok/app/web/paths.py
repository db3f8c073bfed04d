"""The page for paths: which ways out there are, which of them carries now, and more of them."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from volok.app.web import forms
from volok.app.web.errors import STATED, moved, sentence
from volok.app.web.paths_interface import WayRow, WayTrial, WebWays
from volok.app.web.paths_offers import OFFERS, Offer
from volok.app.web.render import chat, language_of, shell, web

_LONGEST = 8000


def ways(request: Request) -> WebWays:
    """The ways of the node. Raises VaultLocked, which leads to the right page."""
    chat(request)
    return web(request).node.ways


async def paths(request: Request) -> Response:
    """GET /paths."""
    return await _page(request, done=request.query_params.get("done", ""))


async def add(request: Request) -> Response:
    """POST /paths/add: `kind`, its fields, and `agreed` where others can see something."""
    known = ways(request)
    data = await forms.form(request)
    kind = forms.text(data, "kind", 20)
    offer = next((one for one in OFFERS if one.kind == kind), None)
    learns = known.kinds()
    if offer is None or kind not in learns:
        raise HTTPException(400)
    fields = {field.name: forms.text(data, field.name, _LONGEST) for field in offer.fields}
    _ = language_of(request).gettext
    if any(field.required and not fields[field.name] for field in offer.fields):
        return await _page(request, problem=_("Something is not filled in."), opened=kind)
    if learns[kind] and not forms.flag(data, "agreed"):
        text = _("Say first that its owner may see this: tick the box.")
        return await _page(request, problem=text, opened=kind, filled=fields)
    try:
        await known.add(kind, fields)
    except STATED as error:
        chat(request)  # when locked meanwhile, leave for the locked page
        return await _page(request, sentence(request, error), kind, fields)
    return moved(request, "/paths?done=add#top")


async def remove(request: Request) -> Response:
    """POST /paths/remove: `id`."""
    known = ways(request)
    try:
        await known.remove(forms.text(await forms.form(request), "id", 200))
    except STATED as error:
        chat(request)
        return await _page(request, problem=sentence(request, error))
    return moved(request, "/paths?done=remove#top")


async def test(request: Request) -> Response:
    """POST /paths/test: `id`."""
    known = ways(request)
    id = forms.text(await forms.form(request), "id", 200)
    if all(row.id != id for row in await known.rows()):
        raise HTTPException(404)
    try:
        trial = await known.test(id)
    except STATED as error:
        chat(request)
        trial = WayTrial(None, sentence(request, error))
    return await _page(request, tried=id, trial=trial)


async def _page(
    request: Request,
    problem: str | None = None,
    opened: str = "",
    filled: dict[str, str] | None = None,
    done: str = "",
    tried: str = "",
    trial: WayTrial | None = None,
) -> Response:
    """`opened` is the offer that a problem is about, `filled` what was typed there already."""
    known = ways(request)
    rows = await known.rows()
    learns = known.kinds()
    offers = [offer for offer in OFFERS if offer.kind in learns]
    return await shell(
        request,
        "paths.html",
        422 if problem else 200,
        straight=_group(rows, "straight"),
        added=_group(rows, "added"),
        drops=_group(rows, "drop"),
        offers=offers,
        learns=learns,
        problem=problem,
        opened=opened,
        filled=_kept(offers, opened, filled or {}),
        done=done,
        tried=tried,
        trial=trial,
    )


def _group(rows: Sequence[WayRow], group: str) -> list[WayRow]:
    return [row for row in rows if row.group == group]


def _kept(offers: Sequence[Offer], kind: str, filled: dict[str, str]) -> dict[str, str]:
    """What may be shown again after a problem: never a password."""
    fields = next((offer.fields for offer in offers if offer.kind == kind), ())
    return {
        field.name: filled[field.name]
        for field in fields
        if field.type != "password" and field.name in filled
    }
