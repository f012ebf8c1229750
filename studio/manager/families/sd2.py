"""Stable Diffusion 2.x: SD 1's shape with OpenCLIP ViT-H for text; its 768 px models predict v, its base models noise.

A folder names SD 1's pipeline classes, so the catalog tells it from SD 1 by its U-Net's text width (1024).
"""

from dataclasses import replace

from studio.core.models import Defaults
from studio.manager.families.base import register
from studio.manager.families.blueprints import blueprint
from studio.manager.families.sd1 import SD1, text_width

SD2 = register(
    replace(
        SD1,
        name="sd2",
        title="Stable Diffusion 2.x",
        fits=lambda configs: text_width(configs) == 1024,
        defaults=Defaults(sampler="dpmpp_2m", steps=25, guidance_scale=7.0, width=768, height=768),
        blueprint=blueprint("sd2"),
        source="stabilityai/stable-diffusion-2-1",
    )
)
