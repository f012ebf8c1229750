"""The Inpaint tab: a picture and a mask in; what is white in the mask is made anew."""

from studio.core.tasks import Inpaint
from studio.ui.mode import Mode
from studio.ui.registry import TABS, Tab

NAME = "inpaint"
MODE = Mode(task="inpaint", purpose=Inpaint.help)

TABS.add(NAME, Tab("Inpaint", group="create", address="inpaint", mode=MODE))
