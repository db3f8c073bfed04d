"""What `volok doctor --json` prints, and bots get: an examination as plain JSON."""

from __future__ import annotations

from volok.app.shapes import Json
from volok.app.web.doctor_words import told
from volok.app.web.i18n import language
from volok.paths.doctor_report import Examination, Finding, Progress


def progress_shape(progress: Progress) -> Json:
    """How far the doctor is."""
    return {"progress": {"step": progress.step.value, "done": progress.done, "of": progress.of}}


def examination_shape(examination: Examination) -> Json:
    """What the doctor came to, with the same sentences that the pages show."""
    diagnosis = examination.diagnosis
    words = told(diagnosis, examination.names, language("en"))
    return {
        "open": diagnosis.open,
        "verdict": words.verdict,
        "findings": [
            _finding_shape(finding, *texts)
            for finding, texts in zip(diagnosis.findings, words.findings, strict=True)
        ],
        "places": [
            {
                "id": place.id,
                "name": text.name,
                "is_relay": place.is_relay,
                "open": place.open,
                "ways": [way.value for way in place.ways],
                "paths": list(place.paths),
                "short": place.short,
                "text": text.text,
            }
            for place, text in zip(diagnosis.places, words.places, strict=True)
        ],
        "advice": [{"text": text, "command": command or None} for text, command in words.advice],
        "not_tried": [kind.value for kind in diagnosis.not_tried],
        "left_out": words.not_tried,
    }


def _finding_shape(finding: Finding, headline: str, meaning: str) -> Json:
    return {
        "kind": finding.kind.value,
        "sure": finding.sure,
        "how": finding.how.value if finding.how else None,
        "places": list(finding.places),
        "packets": finding.packets or None,
        "bytes": finding.bytes or None,
        "bytes_per_second": round(finding.rate) or None,
        "headline": headline,
        "meaning": meaning,
    }
