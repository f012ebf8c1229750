"""One file a task: what it adds to a pipeline's call. Importing this package registers them."""

from studio.engine.tasks import image_to_image, inpaint, text_to_image, upscale

__all__ = ["image_to_image", "inpaint", "text_to_image", "upscale"]
