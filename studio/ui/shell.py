"""The window's frame: the bar with the names of the tabs, the shared workbench, and the pages of the other tabs."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from studio.core.protocol import Studio
from studio.ui.bar import Bar
from studio.ui.registry import TABS, Tab
from studio.ui.tabs import (
    controlnet,
    gallery,
    image_to_image,
    inpaint,
    laboratory,
    lora,
    models,
    samplers,
    text_to_image,
    train,
    visualizer,
)
from studio.ui.workbench import Workbench

# Importing a tab registers it; this is the order in which tabs are shown.
ORDER = (
    text_to_image.NAME,
    image_to_image.NAME,
    inpaint.NAME,
    controlnet.NAME,
    lora.NAME,
    visualizer.NAME,
    laboratory.NAME,
    samplers.NAME,
    train.NAME,
    models.NAME,
    gallery.NAME,
)
WORKBENCH = "workbench"
UPLOADS_KEPT_SECONDS = 600


def build(studio: Studio, tabs: Mapping[str, Tab] | None = None) -> gr.Blocks:
    """The page with these tabs, or all registered ones. Uploaded files are read at once and deleted soon after."""
    tabs = tabs or {name: TABS.get(name) for name in ORDER}
    modes = {name: tab.mode for name, tab in tabs.items() if tab.mode}
    with gr.Blocks(
        title="Unnoise",
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(UPLOADS_KEPT_SECONDS, UPLOADS_KEPT_SECONDS),
    ) as page:
        Bar([_plain(name, tab) for name, tab in tabs.items()])
        if modes:
            with _place(WORKBENCH):
                Workbench(studio, WORKBENCH, modes).wire(page)
        for name, tab in tabs.items():
            if tab.build:
                with _place(name):
                    tab.build(studio, page)
    return page


def _place(name: str) -> gr.Column:
    """What is shown while its tab is open; the page hides the others (`static/tabs.js`)."""
    return gr.Column(elem_id=f"page-{name}", elem_classes=["page"])


def _plain(name: str, tab: Tab) -> dict[str, Any]:
    shared = tab.mode is not None
    page = f"page-{WORKBENCH if shared else name}"
    address = {"title": tab.title, "group": tab.group, "address": tab.address}
    return {"name": name, "page": page, "mode": shared, **address}
