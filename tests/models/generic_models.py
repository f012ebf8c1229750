"""Random, tiny checkpoints of the flow and transformer pipelines that only the generic family takes, in their real layout."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.models import generic_packed, generic_plain

# pipeline -> builder of a random checkpoint of it
BUILDERS: dict[str, Callable[..., Path]] = {
    "bria": generic_packed.bria,
    "bria_fibo": generic_packed.bria_fibo,
    "bria_fibo2": generic_plain.bria_fibo2,
    "chroma": generic_packed.chroma,
    "cogview3": generic_plain.cogview3,
    "cogview4": generic_plain.cogview4,
    "ernie_image": generic_plain.ernie_image,
    "flux2": generic_packed.flux2,
    "flux2_klein": generic_packed.flux2_klein,
    "flux2_klein_kv": generic_packed.flux2_klein_kv,
    "flux_kontext": generic_packed.flux_kontext,
    "glm_image": generic_plain.glm_image,
    "hidream": generic_plain.hidream,
    "hunyuan_dit": generic_plain.hunyuan_dit,
    "hunyuan_image": generic_plain.hunyuan_image,
    "ideogram4": generic_packed.ideogram4,
    "krea2": generic_packed.krea2,
    "longcat_image": generic_packed.longcat_image,
    "lumina": generic_plain.lumina,
    "lumina2": generic_plain.lumina2,
    "nucleus_moe": generic_packed.nucleus_moe,
    "ovis_image": generic_packed.ovis_image,
    "prx": generic_plain.prx,
    "prx_pixel": generic_plain.prx_pixel,
    "qwen_image": generic_packed.qwen_image,
    "qwen_image_21": generic_packed.qwen_image_21,
    "sana": generic_plain.sana,
    "sana_pag": partial(generic_plain.sana, pipeline="SanaPAGPipeline"),
    "sana_sprint": generic_plain.sana_sprint,
    "z_image": generic_plain.z_image,
    "z_image_omni": generic_plain.z_image_omni,
}
