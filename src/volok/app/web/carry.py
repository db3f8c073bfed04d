"""What is carried by hand: bundles of messages, and backups."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from volok.app.web import forms
from volok.app.web.errors import STATED, sentence
from volok.app.web.interface import ExportReport, ImportReport
from volok.app.web.render import chat, language_of, shell, web


async def carry(request: Request) -> Response:
    """GET /carry."""
    return await _carry(request)


async def _carry(
    request: Request,
    download: str | None = None,
    exported: ExportReport | None = None,
    imported: ImportReport | None = None,
    problem: str | None = None,
) -> Response:
    return await shell(
        request,
        "carry.html",
        422 if problem else 200,
        download=download,
        exported=exported,
        imported=imported,
        problem=problem,
        chosen=request.query_params.get("contact", ""),
    )


async def export_bundle(request: Request) -> Response:
    """POST /carry/export: what waits for `contact`, or for everybody."""
    chat(request)
    contact = forms.text(await forms.form(request), "contact", 200) or None
    shared = web(request)
    path = shared.settings.scratch.new()
    try:
        report = await shared.node.export_bundle(path, contact)
    except STATED as error:
        await shared.settings.scratch.remove(path)
        return await _carry(request, problem=sentence(request, error))
    name = language_of(request).gettext("Messages") + ".volok"
    return await _carry(request, download=shared.downloads.add(path, name), exported=report)


async def import_bundle(request: Request) -> Response:
    """POST /carry/import: `file`."""
    chat(request)
    files = forms.uploads(await forms.form(request), "file")
    if not files:
        return await _carry(request, problem=language_of(request).gettext("Please choose a file."))
    shared = web(request)
    path = shared.settings.scratch.new()
    try:
        await shared.settings.scratch.write(path, forms.pieces(files[0]))
        report = await shared.node.import_bundle(path)
    except STATED as error:
        return await _carry(request, problem=sentence(request, error))
    finally:
        await shared.settings.scratch.remove(path)
    return await _carry(request, imported=report)


async def backup(request: Request) -> Response:
    """GET and POST /backup: make an encrypted backup, show its recovery code once."""
    chat(request)
    code, download, problem = None, None, None
    if request.method == "POST":
        shared = web(request)
        path = shared.settings.scratch.new()
        try:
            code = await shared.node.backup(path)
            name = language_of(request).gettext("Volok backup") + ".volok-backup"
            download = shared.downloads.add(path, name)
        except STATED as error:
            await shared.settings.scratch.remove(path)
            problem = sentence(request, error)
    return await shell(
        request,
        "backup.html",
        422 if problem else 200,
        code=code,
        download=download,
        problem=problem,
    )
