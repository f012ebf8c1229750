"""Latent consistency models (Luo et al. 2023): SD 1's shape, the guidance scale an input of the U-Net, 1 to 8 steps."""

from dataclasses import replace

from studio.core.models import Defaults
from studio.manager.families.base import Call, prompt_arguments, register
from studio.manager.families.sd1 import SD1

LCM = register(
    replace(
        SD1,
        name="lcm",
        title="Latent consistency model",
        tasks={
            "text_to_image": Call("LatentConsistencyModelPipeline", prompt_arguments),
            "image_to_image": Call("LatentConsistencyModelImg2ImgPipeline", prompt_arguments),
        },
        variant_tasks={},
        covers=frozenset({"LatentConsistencyModelPipeline", "LatentConsistencyModelImg2ImgPipeline"}),
        guidance="none",
        negative=False,
        solvers=("lcm",),
        defaults=Defaults(sampler="lcm", steps=4, guidance_scale=8.5, width=512, height=512),
        blueprint=None,
        source="SimianLuo/LCM_Dreamshaper_v7",
    )
)
