"""The report as pictures: a view of the video beside the mesh, and the whole on one sheet.

The sheet is English whatever the page speaks, for it leaves the page; it is drawn with Pillow and
its own font, so that it needs nothing more than the rest of the program.
"""

import io
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from threed.report import GOOD_PSNR, POOR_PSNR, Report

TILE = 256
"""Pixels along the longer side of a tile of a comparison."""
# The chart's scale: a view at the first is a stub, one at the second reaches the top.
LOWEST_PSNR, HIGHEST_PSNR = 10.0, 35.0
# A difference of half the whole range is as bad as it gets to the eye.
DIFFERENCE_GAIN = 2.0

WIDTH, MARGIN, GAP = 960, 40, 16
CHART_HEIGHT = 150
# Of a strip: its captions need the first, and two of the second leave the sheet room for the rest.
STRIP_HEIGHTS = (64, 640)
INK, FAINT, LINE = (32, 30, 27), (110, 104, 97), (222, 218, 212)
GRADES = {"good": (74, 124, 16), "rough": (217, 119, 6), "poor": (190, 18, 60)}

Grade = Literal["good", "rough", "poor"]


def grade(psnr: float) -> Grade:
    """Return how a view's agreement is to be judged."""
    return "good" if psnr >= GOOD_PSNR else "rough" if psnr >= POOR_PSNR else "poor"


def bar_share(psnr: float) -> float:
    """Return the height of a view's bar as a share of the chart's."""
    return min(1.0, max(0.04, (psnr - LOWEST_PSNR) / (HIGHEST_PSNR - LOWEST_PSNR)))


def comparison(
    frame: Float[np.ndarray, "height width 3"],
    same: Float[np.ndarray, "height width 3"],
    large: Float[np.ndarray, "rows columns 3"],
) -> UInt8[np.ndarray, "tile_height strip_width 3"]:
    """Return three tiles side by side: a frame, the mesh from its camera, and their difference.

    Args:
        frame: The video's frame over white, in [0, 1].
        same: The mesh from the same camera, of the same size.
        large: The same again, with the pixels of a tile.

    Returns:
        The tiles; the difference is white where both agree, and red, then black as they part.
    """
    error = np.minimum(DIFFERENCE_GAIN * np.abs(frame - same).mean(axis=-1), 1.0)
    # Green and blue leave first, red only past the middle.
    pale = np.maximum(1 - 2 * error, 0)
    heat = np.stack([np.minimum(2 - 2 * error, 1), pale, pale], axis=-1)
    rows, columns = large.shape[:2]
    tiles = [_enlarged(frame, columns, rows), _enlarged(large, columns, rows)]
    tiles.append(_enlarged(heat, columns, rows))
    return np.concatenate(tiles, axis=1)


def report_sheet(
    report: Report,
    worst: UInt8[np.ndarray, "tile_height strip_width 3"],
    best: UInt8[np.ndarray, "tile_height strip_width 3"],
) -> UInt8[np.ndarray, "height width 3"]:
    """Return the report on one sheet: verdict, chart of the views, worst and best view, figures."""
    sheet = _Sheet()
    sheet.text("How well the mesh agrees with its video", 26)
    sheet.paragraph(report.verdict, 18)
    sheet.text("Agreement of each view, dB; higher is better", 14, FAINT)
    sheet.chart(report)
    for name, view, strip in (
        ("Worst", report.worst_view, worst),
        ("Best", report.psnr.index(max(report.psnr)), best),
    ):
        side = f", {report.sides[view]}" if report.sides else ""
        sheet.text(f"{name} view, {view + 1}{side}: {report.psnr[view]:.1f} dB", 16)
        sheet.strip(strip, ("in the video", "the mesh", "difference"))
    sheet.figures(_figures(report))
    return sheet.cut()


def _figures(report: Report) -> list[tuple[str, str]]:
    size = f"{report.texture_size} x {report.texture_size}, {report.texture_kind}"
    light = "part of the colours" if report.light_baked else "not in the colours"
    return [
        ("Surface", "closed" if report.watertight else "not closed"),
        ("Triangles", f"{report.num_faces:,}"),
        ("Vertices", f"{report.num_vertices:,}"),
        ("Texture", size),
        ("GLB", f"{report.glb_bytes / 1e6:.2f} MB"),
        ("Light", light),
        ("Views and field", f"{report.mean_psnr:.1f} dB"),
        ("Views and mesh", f"{report.mesh_psnr:.1f} dB"),
        *((f"Time: {stage}", f"{seconds:.1f} s") for stage, seconds in report.seconds.items()),
    ]


def png_of(pixels: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """Return a picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _enlarged(
    image: Float[np.ndarray, "height width 3"], columns: int, rows: int
) -> UInt8[np.ndarray, "rows columns 3"]:
    pixels = np.rint(255 * image.clip(0, 1)).astype(np.uint8)
    # By whole pixels as they are: a frame of the video is not smoother than it is.
    return np.array(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.NEAREST))


class _Sheet:
    """A tall sheet of paper that is filled from the top."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH, 2400), "white")
        self.draw = ImageDraw.Draw(self.image)
        self.top = MARGIN

    def text(self, words: str, size: int, ink: tuple[int, int, int] = INK) -> None:
        """Write one line."""
        self.draw.text((MARGIN, self.top), words, ink, _font(size))
        self.top += round(1.45 * size)

    def paragraph(self, words: str, size: int) -> None:
        """Write words in as many lines as they take."""
        line = ""
        for word in words.split():
            longer = f"{line} {word}".strip()
            if self.draw.textlength(longer, _font(size)) > WIDTH - 2 * MARGIN:
                self.text(line, size)
                longer = word
            line = longer
        self.text(line, size)
        self.top += GAP

    def chart(self, report: Report) -> None:
        """Draw a bar a view, with its number and, where it changes, the side that it shows."""
        step = (WIDTH - 2 * MARGIN) / len(report.psnr)
        foot = self.top + CHART_HEIGHT
        for level in (POOR_PSNR, GOOD_PSNR):
            row = foot - CHART_HEIGHT * bar_share(level)
            self.draw.line((MARGIN, row, WIDTH - MARGIN, row), LINE)
            self.draw.text((MARGIN - 4, row), f"{level:g}", FAINT, _font(12), anchor="rm")
        every = -(-len(report.psnr) // 32)
        for view, psnr in enumerate(report.psnr):
            left = MARGIN + view * step
            top = foot - CHART_HEIGHT * bar_share(psnr)
            box = (left + 0.1 * step, top, left + 0.9 * step, foot)
            self.draw.rectangle(box, GRADES[grade(psnr)])
            if view == report.worst_view:
                self.draw.rectangle((box[0] - 2, top - 2, box[2] + 2, foot), outline=INK, width=2)
            if view % every == 0:
                middle = left + step / 2
                self.draw.text((middle, foot + 4), f"{view + 1}", FAINT, _font(12), anchor="ma")
            if report.sides and (view == 0 or report.sides[view] != report.sides[view - 1]):
                self.draw.text((left + 2, foot + 20), report.sides[view], INK, _font(13))
        self.top = foot + 20 + 2 * GAP

    def strip(
        self, strip: UInt8[np.ndarray, "tile_height strip_width 3"], captions: tuple[str, ...]
    ) -> None:
        """Show tiles, each in the middle of a cell of its own and with its caption."""
        width = (WIDTH - 2 * MARGIN) / len(captions)
        tiles = np.split(strip, len(captions), axis=1)
        rows, columns = tiles[0].shape[:2]
        lowest, highest = STRIP_HEIGHTS
        height = min(max(round(rows * width / columns), lowest), highest)
        scale = min(width / columns, height / rows)
        size = (round(scale * columns), round(scale * rows))
        for place, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
            left = MARGIN + place * width
            corner = (round(left + (width - size[0]) / 2), self.top + (height - size[1]) // 2)
            picture = Image.fromarray(tile).resize(size, Image.Resampling.LANCZOS)
            self.image.paste(picture, corner)
            box = (left, self.top, left + width, self.top + height)
            self.draw.rectangle(box, outline=LINE)
            self.draw.text((left + 8, self.top + 6), caption, FAINT, _font(13))
        self.top += height + GAP

    def figures(self, figures: list[tuple[str, str]]) -> None:
        """Write the names and values of figures in four columns."""
        column = (WIDTH - 2 * MARGIN) / 4
        for place, (name, value) in enumerate(figures):
            left, top = MARGIN + (place % 4) * column, self.top + 48 * (place // 4)
            self.draw.text((left, top), name, FAINT, _font(13))
            self.draw.text((left, top + 17), value, INK, _font(16))
        self.top += 48 * -(-len(figures) // 4)

    def cut(self) -> UInt8[np.ndarray, "height width 3"]:
        """Return what was filled."""
        return np.array(self.image)[: self.top + MARGIN // 2]


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font
