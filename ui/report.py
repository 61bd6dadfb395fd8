"""The report of a finished run as pictures: each view's agreement, best and worst, times."""

import html
from pathlib import Path

from threed.file_size import BYTES_A_MB
from threed.report import GOOD_PSNR, MAX_NAMED, POOR_PSNR, Report, WeakViews, view_numbers
from threed.report_picture import bar_share, grade
from ui.pictures import film_frames, texture_picture, thumbnail
from ui.progress import stage_label
from ui.tongues import Language, say
from ui.words import listing, measured, megabytes

THUMB, STRIP, TEXTURE = 64, 384, 128


def report_html(report: Report | None, folder: Path, language: Language = "en") -> str:
    """Return the report on the run in a folder, with its pictures; nothing for None."""
    if report is None:
        return ""
    worst, best = report.worst_view, report.psnr.index(max(report.psnr))
    return (
        f'<section class="section"><h3>{say(language, "report")}</h3>'
        f'<p class="verdict">{html.escape(verdict_words(report, language))}</p>'
        f"{_views_chart(report, folder, language)}"
        '<div class="pairs">'
        f"{_strip(folder, worst, 'worst_view', _first(report, language), language)}"
        f"{_strip(folder, best, 'best_view', _first(report, language), language)}"
        f"{_texture(folder, language)}</div>"
        f"{_times(report, language)}{_facts(report, language)}</section>"
    )


def verdict_words(report: Report, language: Language) -> str:
    """Return the verdict; the report's own in English."""
    if language == "en":
        return report.verdict
    good, rough = report.mean_psnr >= GOOD_PSNR, report.mean_psnr >= POOR_PSNR
    words = say(language, "verdict_good" if good else "verdict_rough" if rough else "verdict_poor")
    words += "".join(_weak_words(run, language) for run in report.weak()[:MAX_NAMED])
    if report.redrawn_psnr is not None:
        words += say(language, "redrawn", psnr=f"{report.redrawn_psnr:.1f}")
    if report.budget is not None:
        size = megabytes(round(report.budget.max_mb * BYTES_A_MB))
        words += say(language, "held_within", size=size)
    return words


def _weak_words(run: WeakViews, language: Language) -> str:
    sides = listing([say(language, f"side_{side}") for side in run.sides], language)
    key = "weak_view" if len(run.views) == 1 else "weak_views"
    return say(language, key, views=view_numbers(run.views), psnr=f"{run.psnr:.1f}", sides=sides)


def _views_chart(report: Report, folder: Path, language: Language) -> str:
    bars, frames = [], film_frames(folder / "orbit.mp4", THUMB)
    for index, psnr in enumerate(report.psnr):
        height = 100 * bar_share(psnr)
        says = say(language, "view_is", number=index + 1, psnr=f"{psnr:.1f}")
        if report.sides:
            says += f" · {say(language, f'side_{report.sides[index]}')}"
        says = html.escape(says)
        mark = " worst" if index == report.worst_view else ""
        picture = frames[index] if index < len(frames) else ""
        bars.append(
            f'<li class="{grade(psnr)}{mark}" title="{says}"><span class="unseen">{says}</span>'
            f'<i style="height:{height:.0f}%"></i>{picture}</li>'
        )
    title = html.escape(say(language, "views_chart") + _first(report, language))
    return (
        f'<figure class="chart"><figcaption>{title}</figcaption><ol>{"".join(bars)}</ol></figure>'
    )


def _first(report: Report, language: Language) -> str:
    """Return which video the views are of, where there are two; nothing where there is one."""
    return "" if report.redrawn_psnr is None else say(language, "first_drawn")


def _strip(folder: Path, view: int, key: str, first: str, language: Language) -> str:
    """Return one view as it was filmed, the mesh from the same camera, and their difference."""
    strip = thumbnail(folder / f"{key}.png", STRIP)
    if not strip:
        return ""
    filmed = say(language, "filmed") + first
    parts = (filmed, *(say(language, part) for part in ("built", "difference")))
    return (
        f'<figure class="pair strip"><div>{strip}</div><figcaption>'
        f"{html.escape(say(language, key, number=view + 1))}: {', '.join(parts)}"
        "</figcaption></figure>"
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
        f"<small>{measured(seconds, language)}</small></li>"
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
        "fact_field": f"{report.mean_psnr:.1f} dB{_first(report, language)}",
        "fact_mesh": f"{report.mesh_psnr:.1f} dB",
        "fact_surface": say(language, "closed" if report.watertight else "open"),
        "fact_faces": f"{report.num_faces:,}",
        "fact_vertices": f"{report.num_vertices:,}",
        "fact_texture": f"{report.texture_size} × {report.texture_size}, {report.texture_kind}",
        "fact_light": say(language, "baked" if report.light_baked else "not_baked"),
        "format_glb": megabytes(report.glb_bytes),
    }
    items = "".join(
        f"<div><dt>{html.escape(say(language, key).partition(' · ')[0])}</dt>"
        f"<dd>{html.escape(value)}</dd></div>"
        for key, value in facts.items()
    )
    return f'<dl class="facts">{items}</dl>'
