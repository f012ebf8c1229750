"""`replay`: makes an image again from the recipe in its PNG, and reports that it is bit-identical, or what differs."""

import io
import json
from pathlib import Path

from PIL import Image
from pydantic import ValidationError

from studio.cli.flags import Parser
from studio.cli.generate import WINDOW_ONLY
from studio.cli.settings import add_settings, settings_from
from studio.core.errors import InvalidRequest
from studio.core.pictures import FORMATS, read_file
from studio.core.recipe import RECIPE_KEY, Recipe, from_text
from studio.metadata.containers import read_texts


def main(argv: list[str]) -> int:
    """0 if the pixels are the same, 1 if they differ."""
    parser = Parser(prog="python -m studio replay", description="Make an image again from its recipe, and compare.")
    parser.add_argument("image", type=Path, metavar="IMAGE", help="a PNG that was made here")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to keep the new image in")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_settings(parser, skip=WINDOW_ONLY)
    arguments = parser.parse_args(argv)
    settings = settings_from(arguments)
    picture, recipe = read(arguments.image)

    from studio import compat
    from studio.cli.folder import Folder

    compat.prepare()
    from studio.cli.replaying import Replaying  # imports torch

    result = Replaying(settings).replay(recipe, picture)
    kept = None
    if arguments.out is not None:
        folder = Folder(arguments.out.expanduser().absolute())
        kept = folder.outputs / folder.save(result.image, result.recipe, "replay").path
    if arguments.json:
        answer = {
            "identical": result.identical,
            "differences": list(result.reasons),
            "largest": result.largest,
            "mean": result.mean,
            "path": str(kept) if kept else None,
            "recipe": result.recipe.model_dump(mode="json"),
        }
        print(json.dumps(answer))
    else:
        print(result.verdict)
    return 0 if result.identical else 1


def read(path: Path) -> tuple[Image.Image, Recipe]:
    """The picture and the recipe in it; raises InvalidRequest with one sentence."""
    data = read_file(path)
    text = read_texts(data).get(RECIPE_KEY)
    if text is None:
        raise InvalidRequest(f"{path.name} carries no recipe; only images made here do.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            return opened.convert("RGB"), from_text(text)
    except ValidationError:
        raise InvalidRequest(f"The recipe in {path.name} is damaged, or of another version.") from None
    except (OSError, SyntaxError):  # Pillow's word for a broken PNG
        raise InvalidRequest(f"{path.name} is damaged.") from None
