"""The Text to image tab: words in, a picture out, and every step on the way."""

import gradio as gr

from studio.core.protocol import Studio
from studio.ui.mode import Mode
from studio.ui.registry import TABS, Tab
from studio.ui.workbench import Workbench

NAME = "text_to_image"
MODE = Mode(
    task="text_to_image",
    purpose="Describe a picture and watch it come out of the noise, step by step.",
    examples=(
        "a large red heart, striped yellow background",
        "a yellow star on the left and a blue ring on the right, plain white background",
        "a small house under the moon, snow",
        "a white boat, sea",
    ),
)


def build(studio: Studio, page: gr.Blocks, tab: gr.Tab) -> None:
    Workbench(studio, "create", {NAME: MODE}).wire(page, tab.select)


TABS.add(NAME, Tab("Text to image", build))
