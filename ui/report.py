"""The report of a finished run as pictures: each view's agreement, best and worst, times."""

import html
from pathlib import Path

from threed.report import GOOD_PSNR, POOR_PSNR, Report
from ui.pictures import texture_picture, thumbnail, turntable_picture
from ui.progress import stage_label
from ui.tongues import Language, say
from ui.words import duration, megabytes

# The chart's scale: a view at the first is a stub, one at the second reaches the top.
LOWEST_PSNR, HIGHEST_PSNR = 10.0, 35.0
THUMB, PAIR, TEXTURE = 64, 128, 128


def report_html(text: str | None, folder: Path, language: Language = "en") -> str:
    """Return a report (the JSON of report.json) with its run's pictures; nothing for None."""
    if text is None:
        return ""
    report = Report.from_json(text)
    worst, best = report.worst_view, report.psnr.index(max(report.psnr))
    return (
        f'<section class="section"><h3>{say(language, "report")}</h3>'
        f'<p class="verdict">{html.escape(verdict_words(report, language))}</p>'
        f"{_views_chart(report, folder, language)}"
        '<div class="pairs">'
        f"{_pair(folder, best, len(report.psnr), 'best_view', language)}"
        f"{_pair(folder, worst, len(report.psnr), 'worst_view', language)}"
        f"{_texture(folder, language)}</div>"
        f"{_times(report, language)}{_facts(report, language)}</section>"
    )


def verdict_words(report: Report, language: Language) -> str:
    """Return the verdict; the report's own in English."""
    if language == "en":
        return report.verdict
    good, rough = report.mean_psnr >= GOOD_PSNR, report.mean_psnr >= POOR_PSNR
    return say(language, "verdict_good" if good else "verdict_rough" if rough else "verdict_poor")


def _views_chart(report: Report, folder: Path, language: Language) -> str:
    bars = []
    for index, psnr in enumerate(report.psnr):
        share = (psnr - LOWEST_PSNR) / (HIGHEST_PSNR - LOWEST_PSNR)
        height = 100 * min(1.0, max(0.04, share))
        grade = "good" if psnr >= GOOD_PSNR else "rough" if psnr >= POOR_PSNR else "poor"
        says = html.escape(say(language, "view_is", number=index + 1, psnr=f"{psnr:.1f}"))
        mark = " worst" if index == report.worst_view else ""
        picture = thumbnail(folder / "images" / f"{index:03d}.png", THUMB)
        bars.append(
            f'<li class="{grade}{mark}" title="{says}"><span class="unseen">{says}</span>'
            f'<i style="height:{height:.0f}%"></i>{picture}</li>'
        )
    title = html.escape(say(language, "views_chart"))
    return (
        f'<figure class="chart"><figcaption>{title}</figcaption><ol>{"".join(bars)}</ol></figure>'
    )


def _pair(folder: Path, view: int, num_views: int, key: str, language: Language) -> str:
    """Return one view as it was filmed, beside the mesh from the same side."""
    filmed = thumbnail(folder / "images" / f"{view:03d}.png", PAIR)
    built = turntable_picture(folder / "preview.webp", view / num_views, PAIR)
    if not filmed or not built:
        return ""
    return (
        f'<figure class="pair"><div>{filmed}{built}</div><figcaption>'
        f"{html.escape(say(language, key, number=view + 1))}: {say(language, 'filmed')}, "
        f"{say(language, 'built')}</figcaption></figure>"
    )


def _texture(folder: Path, language: Language) -> str:
    picture = texture_picture(folder / "mesh.glb", TEXTURE)
    if not picture:
        return ""
    caption = say(language, "texture")
    return f'<figure class="pair"><div>{picture}</div><figcaption>{caption}</figcaption></figure>'


def _times(report: Report, language: Language) -> str:
    total = sum(report.seconds.values())
    if total <= 0:
        return ""
    parts = "".join(
        f'<li style="flex-grow:{max(1, round(1000 * seconds / total))}">'
        f"<i></i><span>{html.escape(_stage_name(stage, language))}</span> "
        f"<small>{duration(seconds, language)}</small></li>"
        for stage, seconds in report.seconds.items()
    )
    caption = say(language, "times")
    return f'<figure class="times"><figcaption>{caption}</figcaption><ol>{parts}</ol></figure>'


def _stage_name(stage: str, language: Language) -> str:
    try:
        return stage_label(stage, language)  # pyright: ignore[reportArgumentType]
    except KeyError:
        return stage


def _facts(report: Report, language: Language) -> str:
    facts = {
        "fact_field": f"{report.mean_psnr:.1f} dB",
        "fact_mesh": f"{report.mesh_psnr:.1f} dB",
        "fact_surface": say(language, "closed" if report.watertight else "open"),
        "fact_faces": f"{report.num_faces:,}",
        "fact_vertices": f"{report.num_vertices:,}",
        "fact_texture": f"{report.texture_size} × {report.texture_size}",
        "fact_light": say(language, "baked" if report.light_baked else "not_baked"),
        "format_glb": megabytes(report.glb_bytes),
    }
    items = "".join(
        f"<div><dt>{html.escape(say(language, key).partition(' · ')[0])}</dt>"
        f"<dd>{html.escape(value)}</dd></div>"
        for key, value in facts.items()
    )
    return f'<dl class="facts">{items}</dl>'
