"""The window's frame: the bar, and below it every registered tab. Knows nothing of what a tab does."""

import gradio as gr

from studio.core.protocol import Studio
from studio.ui.bar import Bar
from studio.ui.registry import TABS
from studio.ui.tabs import models, text_to_image

# Importing a tab registers it; naming it here keeps the order in sight.
ORDER = (text_to_image.NAME, models.NAME)
UPLOADS_KEPT_SECONDS = 600


def build(studio: Studio) -> gr.Blocks:
    """The page. Uploaded files are read at once and swept soon after."""
    with gr.Blocks(
        title="Unnoise",
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(UPLOADS_KEPT_SECONDS, UPLOADS_KEPT_SECONDS),
    ) as page:
        Bar()
        with gr.Tabs(elem_id="tabs"):
            for name in ORDER:
                tab = TABS.get(name)
                with gr.Tab(tab.title, id=name, elem_id=f"tab-{name}") as place:
                    tab.build(studio, page, place)
    return page
