"""The LoRA tab: the workbench with all LoRAs and embeddings large. They go with whichever task was open before."""

from studio.core.parts import LoRA
from studio.ui.mode import Mode
from studio.ui.registry import TABS, Tab

NAME = "lora"
MODE = Mode(part="lora", also=("embedding",), purpose=LoRA.help)

TABS.add(NAME, Tab("LoRA", group="guide", address="lora", mode=MODE))
