"""The Image to image tab: a picture in, changed along the prompt."""

from studio.core.tasks import ImageToImage
from studio.ui.mode import Mode
from studio.ui.registry import TABS, Tab

NAME = "image_to_image"
MODE = Mode(task="image_to_image", purpose=ImageToImage.help)

TABS.add(NAME, Tab("Image to image", group="create", address="image-to-image", mode=MODE))
