"""Counts a prompt's tokens as the model's pipeline will, from the tokenizer's files. Without torch and transformers."""

import json
import math
from functools import lru_cache
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from studio.core.errors import ModelError
from studio.core.prompts import TokenCount
from studio.manager.disk.safe_files import json_or_nothing
from studio.manager.disk.tokenizers import END, START, find_vocabulary

CLIP_LIMIT = 77
# The `max_sequence_length` that diffusers' pipelines pad T5's text to, where nothing else is asked for.
T5_LIMITS = {"StableDiffusion3": 256, "Flux": 512, "PixArtSigma": 300, "PixArtAlpha": 120, "IF": 77}
_CLIP_FAMILIES = frozenset({"sd1", "sd2", "sdxl"})  # their single files need CLIP's tokenizer and do not carry it
CHUNKED = _CLIP_FAMILIES | {"lcm"}  # read a long prompt in several chunks (`engine/text_encoding.py`)
LONGEST = 20_000  # characters that are counted


def count_tokens(
    text: str, path: Path, pipeline: str | None, family: str | None, folders: tuple[Path, ...]
) -> TokenCount | None:
    """Of a diffusers folder or a single file at `path`; None where there is no tokenizer that can be read here.

    The encoder that reads the most of the text decides: T5 where a model has it beside CLIP.
    """
    found = _tokenizers(path, pipeline, family, folders)
    if not found:
        return None
    tokenizer, limit = max(found, key=lambda each: each[1])
    encoding = tokenizer.encode(text[:LONGEST], add_special_tokens=False)
    room = limit - tokenizer.num_special_tokens_to_add(False)
    if family in CHUNKED:
        return TokenCount(len(encoding), room * max(1, math.ceil(len(encoding) / room)), None)
    cut = encoding.offsets[room][0] if len(encoding) > room else None
    return TokenCount(len(encoding), room, cut)


def _tokenizers(
    path: Path, pipeline: str | None, family: str | None, folders: tuple[Path, ...]
) -> list[tuple[Tokenizer, int]]:
    if path.is_dir():
        found = [(each, _read(each)) for each in sorted(path.glob("tokenizer*")) if each.is_dir()]
        return [(read, _limit(each, pipeline or "")) for each, read in found if read is not None]
    if family in _CLIP_FAMILIES:
        try:
            return [(_clip(*find_vocabulary(folders)), CLIP_LIMIT)]
        except ModelError:
            return []
    return []


def _limit(folder: Path, pipeline: str) -> int:
    """In tokens, special ones among them."""
    config = json_or_nothing(folder / "tokenizer_config.json")
    if str(config.get("tokenizer_class", "")).startswith("T5"):
        return next((limit for name, limit in T5_LIMITS.items() if pipeline.startswith(name)), CLIP_LIMIT)
    limit = config.get("model_max_length")
    return limit if isinstance(limit, int) and 2 < limit < 1_000_000 else CLIP_LIMIT


def _read(folder: Path) -> Tokenizer | None:
    file = folder / "tokenizer.json"
    try:
        if file.is_file():
            return _parsed(file, file.stat().st_mtime_ns)
        vocab, merges = folder / "vocab.json", folder / "merges.txt"
        if not (vocab.is_file() and merges.is_file()):
            return None
        pairs = [tuple(line.split(" ")) for line in merges.read_text(encoding="utf-8").splitlines()]
        rows = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2 and not pair[0].startswith("#version")]
        return _clip(json.loads(vocab.read_text(encoding="utf-8")), rows)
    except Exception:  # the library raises bare exceptions for files that it does not understand
        return None


@lru_cache(maxsize=8)
def _parsed(file: Path, changed: int) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _clip(vocab: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """CLIP's tokenizer from its vocabulary, as transformers' CLIPTokenizer has it."""
    tokenizer = Tokenizer(models.BPE(vocab, merges, end_of_word_suffix="</w>", unk_token=END))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    split = pre_tokenizers.Split(words, behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.post_processor = processors.RobertaProcessing((END, vocab[END]), (START, vocab[START]), False, False)
    return tokenizer
