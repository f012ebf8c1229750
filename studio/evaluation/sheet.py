"""A contact sheet: pictures in a grid, the prompt under each, failures outlined and named.

Independent of how the pictures were judged.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from .adherence import Verdict

PAPER, INK, WRONG = (252, 252, 251), (32, 33, 36), (205, 42, 48)
GAP, BORDER = 14, 4


def contact_sheet(
    images: Sequence[Image.Image], verdicts: Sequence[Verdict], *, title: str = "", columns: int = 8, side: int = 160
) -> Image.Image:
    """Pictures with their prompts; a wrong one has a red border and says what is wrong."""
    font, small = ImageFont.load_default(12), ImageFont.load_default(11)
    texts = [
        [(line, INK, font) for line in wrap(v.prompt, font, side)]
        + [(line, WRONG, small) for f in v.failures for line in wrap(f, small, side)]
        for v in verdicts
    ]
    rows = [range(k, min(k + columns, len(images))) for k in range(0, len(images), columns)]
    heights = [side + GAP + 16 * max(len(texts[k]) for k in row) + GAP for row in rows]
    top = 44 if title else GAP
    sheet = Image.new("RGB", (columns * (side + GAP) + GAP, top + sum(heights)), PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((GAP, 13), title, INK, ImageFont.load_default(16))
    for row, height in zip(rows, heights, strict=True):
        for column, k in enumerate(row):
            x = GAP + column * (side + GAP)
            sheet.paste(images[k].convert("RGB").resize((side, side), Image.Resampling.LANCZOS), (x, top))
            if not verdicts[k].right:
                frame = (x - BORDER, top - BORDER, x + side + BORDER - 1, top + side + BORDER - 1)
                draw.rectangle(frame, outline=WRONG, width=BORDER)
            for line, (text, colour, face) in enumerate(texts[k]):
                draw.text((x, top + side + 8 + 16 * line), text, colour, face)
        top += height
    return sheet


def wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Break a text at spaces into lines no wider than `width` pixels."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
