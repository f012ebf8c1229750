"""Text and outlines keep WCAG AA contrast in both themes; computed from the tokens themselves."""

import re

import pytest

from studio.ui.assets import STATIC

TEXT = [
    ("ink", "ground"),
    ("ink", "panel"),
    ("ink", "input"),
    ("ink-2", "ground"),
    ("ink-2", "panel"),
    ("ink-2", "well"),
    ("ink-3", "ground"),
    ("ink-3", "input"),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    ("accent-ink", "accent-soft"),
    ("accent-ink", "panel"),
    ("alarm", "alarm-soft"),
    ("alarm", "ground"),
]
OUTLINES = [("edge", "ground"), ("edge", "input"), ("accent", "ground"), ("accent", "well"), ("accent", "edge-soft")]


def tokens(theme: str) -> dict[str, str]:
    text = (STATIC / "tokens.css").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for selector in (":root", ".dark") if theme == "dark" else (":root",):
        block = re.search(rf"^{re.escape(selector)} \{{(.*?)^\}}", text, re.S | re.M)
        assert block is not None
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block[1]))
    return found


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground", "least"), [(*pair, 4.5) for pair in TEXT] + [(*pair, 3.0) for pair in OUTLINES]
)
def test_contrast(theme: str, ink: str, ground: str, least: float) -> None:
    colours = tokens(theme)
    assert contrast(colours[ink], colours[ground]) >= least
