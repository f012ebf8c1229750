"""The Text to image tab: words in, a picture out, and every step on the way."""

from studio.ui.mode import Mode
from studio.ui.registry import TABS, Tab

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

TABS.add(NAME, Tab("Text to image", group="create", address="text-to-image", mode=MODE))
