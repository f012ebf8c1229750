"""The ControlNet tab: the workbench with all ControlNets, T2I-Adapters and references large. They go with whichever task was open before."""

from studio.core.parts import ControlNet
from studio.ui.mode import Mode
from studio.ui.registry import TABS, Tab

NAME = "controlnet"
MODE = Mode(part="controlnet", also=("t2i_adapter", "ip_adapter"), purpose=ControlNet.help)

TABS.add(NAME, Tab("ControlNet", group="guide", address="controlnet", mode=MODE))
