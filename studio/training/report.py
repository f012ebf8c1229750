"""A training run as one HTML file that opens without the studio: its state, curves, samples and recipe. Does not load torch."""

import base64
import math
from collections.abc import Sequence
from html import escape
from typing import Any

from studio.core.training import Runs, RunView
from studio.training.config import TrainConfig

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 200, 58, 24
SHOWN = 8  # samples, at log-spaced steps
COLOURS = ("#0b7a75", "#c2571a", "#6b57c9")
# Title, figures drawn together, logarithmic.
CURVES = (
    ("Loss", ("loss", "validation"), True),
    ("Sliced Wasserstein distance from held-out points", ("sliced_wasserstein", "sliced_wasserstein_floor"), False),
    ("Share of samples off the modes", ("off_mode", "off_mode_floor"), False),
    ("Gradient norm", ("norm",), True),
)
STYLE = """
:root { color-scheme: light dark; } body { font: 15px/1.5 system-ui, sans-serif; max-width: 720px; margin: 32px auto; padding: 0 16px; }
h1 { font-size: 22px; } h2 { font-size: 16px; margin-top: 28px; } svg { width: 100%; height: auto; } text { font-size: 11px; fill: currentColor; }
figure { margin: 12px 0; } img { max-width: 100%; image-rendering: pixelated; } pre { overflow-x: auto; font-size: 13px; }
"""

Series = list[tuple[float, float]]


def report(runs: Runs, run: str, config: TrainConfig) -> str:
    """The whole file as text. Raises NotFound."""
    view, (_, rows) = runs.get(run), runs.metrics(run)
    parts = [f"<h1>{escape(view.title)}</h1>", f"<p>{escape(summary(view))}</p>"]
    parts += [_figure(title, names, rows, log) for title, names, log in CURVES]
    parts += ["<h2>Samples</h2>"] + [_sample(runs, run, step) for step in log_spaced(view.samples, SHOWN)]
    parts += ["<h2>Recipe</h2>", f"<pre>{escape(config.to_yaml())}</pre>"]
    head = (
        f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{escape(view.title)}</title>"
    )
    return f"<!doctype html><html lang='en'><head>{head}<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"


def summary(view: RunView) -> str:
    """ "done, step 1,000 of 1,000, loss 1.31, 40 ms a step" """
    words = [view.state, f"step {view.step:,} of {view.steps:,}"]
    if "loss" in view.figures:
        words.append(f"loss {view.figures['loss']:.4g}")
    if view.step_seconds:
        words.append(f"{1000 * view.step_seconds:.0f} ms a step")
    return ", ".join([*words, view.message] if view.message else words)


def log_spaced(steps: Sequence[int], most: int) -> list[int]:
    """At most `most` of the steps, the first and the last among them."""
    if len(steps) <= most:
        return list(steps)
    wanted = [steps[0] * (steps[-1] / steps[0]) ** (k / (most - 1)) for k in range(most)]
    return sorted({min(steps, key=lambda step: abs(step - each)) for each in wanted})


def _sample(runs: Runs, run: str, step: int) -> str:
    data = base64.b64encode(runs.sample(run, step).read_bytes()).decode()
    caption = f"After {step:,} steps"
    return (
        f"<figure><img alt='{caption}' src='data:image/png;base64,{data}'><figcaption>{caption}</figcaption></figure>"
    )


def _figure(title: str, names: Sequence[str], rows: list[dict[str, Any]], log: bool) -> str:
    found = {name: _series(name, rows, log) for name in names}
    found = {name: series for name, series in found.items() if len(series) > 1}
    if not found:
        return ""
    legend = ", ".join(
        f"<span style='color:{colour}'>{escape(name.replace('_', ' '))}</span>"
        for name, colour in zip(found, COLOURS, strict=False)
    )
    return f"<h2>{escape(title)}</h2><figure>{_svg(title, list(found.values()), log)}<figcaption>{legend}</figcaption></figure>"


def _series(name: str, rows: list[dict[str, Any]], log: bool) -> Series:
    pairs = [(float(row["step"]), row.get("figures", {}).get(name)) for row in rows]
    return [(step, float(y)) for step, y in pairs if y is not None and math.isfinite(y) and (y > 0 or not log)]


def _svg(title: str, curves: list[Series], log: bool) -> str:
    scale = math.log10 if log else float
    xs = [x for curve in curves for x, _ in curve]
    ys = [scale(y) for curve in curves for _, y in curve]
    low, high = min(ys) if log else min(0.0, *ys), max(ys)
    across, up = (max(xs) - min(xs)) or 1, (high - low) or 1

    def place(x: float, y: float) -> str:
        right = LEFT + (x - min(xs)) / across * (WIDTH - LEFT - 8)
        return f"{right:.1f},{(HEIGHT - BOTTOM) - (scale(y) - low) / up * (HEIGHT - BOTTOM - 8):.1f}"

    lines = []
    for k in range(4):
        level = low + up * k / 3
        y = (HEIGHT - BOTTOM) - k / 3 * (HEIGHT - BOTTOM - 8)
        value = 10**level if log else level
        lines.append(f"<line x1='{LEFT}' x2='{WIDTH}' y1='{y:.1f}' y2='{y:.1f}' stroke='currentColor' opacity='.15'/>")
        lines.append(f"<text x='{LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{value:.3g}</text>")
    lines.append(f"<text x='{WIDTH}' y='{HEIGHT - 6}' text-anchor='end'>step {max(xs):,.0f}</text>")
    for curve, colour in zip(curves, COLOURS, strict=False):
        points = " ".join(place(x, y) for x, y in curve)
        lines.append(f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='1.8'/>")
    return f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{escape(title)}'>{''.join(lines)}</svg>"
