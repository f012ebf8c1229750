"""A tokenizer in CLIP's file format, and a `CLIPTextModel` trained with an image tower so that captions find pictures.

Beside the batch's other captions, each picture is compared with one that is wrong in a single word (another colour, kind,
size or side). A bag of words cannot distinguish those, so the encoder must learn which word belongs to which.
"""

import re
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from studio.training.config import TextTask, TrainConfig
from studio.training.drawing import dataset, first_pictures
from studio.training.optim import Group
from studio.training.pictures import to_tensor
from studio.training.tasks import learners

Rivals = tuple[tuple[str, ...], ...]

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
_CLIP_SPLIT = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
HELD_OUT = 512
# Words of which one can be where another is: swapping two gives a caption that is nearly, but not, right. A data set may
# have its own, as `rivals`.
RIVALS: Rivals = (
    ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "brown", "gray"),
    ("circle", "square", "triangle", "star", "heart", "ring", "cross", "crescent", "moon", "cloud", "bird", "balloon",
     "butterfly", "tree", "house", "flower", "mushroom", "car", "cup", "boat", "fish"),
    ("plain", "striped", "dotted", "gradient", "checkered"),
    ("sky", "night", "sea", "hills", "snow", "desert", "meadow", "sunset"),
    ("small", "large"), ("left", "right"), ("top", "bottom"), ("above", "below"),
)  # fmt: skip


def train_tokenizer(captions: Iterable[str], size: int, length: int) -> CLIPTokenizer:
    """Learn byte-pair merges until every word of the captions is one token; any other text falls back to its bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    split = pre_tokenizers.Split(pattern=_regex(_CLIP_SPLIT), behavior="removed", invert=True)
    learner.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False, min_frequency=2
    )
    learner.train_from_iterator(captions, trainer)
    merges = _merges(learner)
    # CLIP's own order: bytes, bytes that end a word, merges, then the two marks.
    tokens = alphabet + [a + "</w>" for a in alphabet]
    tokens = list(dict.fromkeys([*tokens, *("".join(pair) for pair in merges)]))
    vocab = {token: i for i, token in enumerate([*tokens, BOS, EOS])}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=length)


def _regex(pattern: str) -> Any:
    from tokenizers import Regex

    return Regex(pattern)


def _merges(learner: Tokenizer) -> list[tuple[str, str]]:
    import json

    return [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]


@cache
def _rivals(rivals: Rivals) -> tuple[re.Pattern[str], dict[str, tuple[str, ...]]]:
    """What finds a word that has rivals (the longest first), and the rivals of each."""
    group_of = {word: group for group in rivals for word in group}
    longest = sorted(map(re.escape, group_of), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(longest)})\b"), group_of


def near_miss(caption: str, rng: np.random.Generator, rivals: Rivals = RIVALS) -> str:
    """The caption with two of its words exchanged ("red star, blue ring" -> "blue star, red ring"), or one replaced."""
    pattern, group_of = _rivals(rivals)
    words = pattern.findall(caption)
    if not words:
        return caption + " on the left"
    places = range(len(words))
    pairs = [
        (i, j) for i in places for j in places if i < j and words[i] != words[j] and words[j] in group_of[words[i]]
    ]
    if pairs and rng.random() < 0.6:
        i, j = pairs[int(rng.integers(len(pairs)))]
        words[i], words[j] = words[j], words[i]
    else:
        i = int(rng.integers(len(words)))
        others = [w for w in group_of[words[i]] if w != words[i]]
        words[i] = others[int(rng.integers(len(others)))]
    changed = iter(words)
    return pattern.sub(lambda _: next(changed), caption)


class ImageTower(nn.Module):
    """A small convolutional network; it is needed for the training only."""

    def __init__(self, width: int, embedding: int):
        super().__init__()
        sides = (3, width, 2 * width, 4 * width, 4 * width)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sides):
            layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), nn.GroupNorm(8, n_out), nn.SiLU()]
        self.features = nn.Sequential(*layers)
        self.place = nn.Parameter(torch.zeros(1, sides[-1], 4, 4))
        self.out = nn.Linear(sides[-1] * 16, embedding)

    def forward(self, x: Tensor) -> Tensor:
        h = self.features(x)  # [n, c, 4, 4] of 64 x 64 pictures
        return self.out((h + self.place).flatten(1))  # [n, embedding]


@learners.register("text")
class TextLearner:
    """The symmetric contrastive loss of CLIP (Radford et al. 2021), with near misses as further wrong captions."""

    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, TextTask)
        self.config, self.task = config, config.task
        small = config.data.model_copy(update={"size": config.task.picture_size})
        data = dataset(small)
        self.rivals = getattr(data, "rivals", RIVALS)
        self.tokenizer = train_tokenizer(data.captions(0, self.task.captions), self.task.vocabulary, self.task.tokens)
        self.text = build(self.task, len(self.tokenizer), self.tokenizer.eos_token_id).to(config.device)
        self.tower = ImageTower(32, self.task.embedding).to(config.device)
        self.head = nn.Linear(self.task.hidden, self.task.embedding, bias=False).to(config.device)
        self.scale = nn.Parameter(torch.tensor(2.5, device=config.device))
        self.pictures, self.captions = first_pictures(small, self.task.pictures, config.workers)
        self.held_pictures, self.held_captions = first_pictures(small, HELD_OUT, config.workers, "held_out")

    def modules(self) -> dict[str, nn.Module]:
        scale = nn.ParameterDict({"scale": self.scale})
        return {"text_encoder": self.text, "image_tower": self.tower, "head": self.head, "scale": scale}

    def groups(self) -> list[Group]:
        named = tuple((f"{m}.{n}", p) for m, module in self.modules().items() for n, p in module.named_parameters())
        return [Group(named)]

    def batch(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.config.seed, step))
        picks = rng.integers(0, len(self.pictures), self.config.batch)
        captions = [self.captions[i] for i in picks]
        wrong = [near_miss(caption, rng, self.rivals) for caption in captions]
        ids, mask = tokenize(self.tokenizer, captions + wrong)
        return {"x": torch.from_numpy(self.pictures[picks]), "ids": ids, "mask": mask}

    def _embed_text(self, ids: Tensor, mask: Tensor) -> Tensor:
        pooled = self.text(ids, attention_mask=mask).pooler_output  # [n, hidden], of the end mark
        return F.normalize(self.head(pooled).float(), dim=-1)

    def _embed_pictures(self, x: Tensor) -> Tensor:
        pictures = x.permute(0, 3, 1, 2).float() / 127.5 - 1
        return F.normalize(self.tower(pictures).float(), dim=-1)

    def loss(self, step: int, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        pictures = self._embed_pictures(batch["x"])  # [n, e]
        texts = self._embed_text(batch["ids"], batch["mask"])  # [2n, e]: right ones, then near misses
        n = len(pictures)
        logits = self.scale.exp().clamp(max=100) * pictures @ texts.T  # [n, 2n]
        right = torch.arange(n, device=logits.device)
        loss = (F.cross_entropy(logits, right) + F.cross_entropy(logits[:, :n].T, right)) / 2
        found = (logits.argmax(dim=1) == right).float().mean()
        apart = (logits[right, right] > logits[right, right + n]).float().mean()
        return loss, {"found": found, "distinguished": apart}

    def sample(self, step: int) -> Image.Image | None:
        return None

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """On held-out pictures: how often the right caption scores above its near miss, and above 127 others."""
        rng = np.random.default_rng(0)
        wrong = [near_miss(caption, rng, self.rivals) for caption in self.held_captions]
        ids, mask = tokenize(self.tokenizer, self.held_captions + wrong)
        texts = self._embed_text(ids.to(self.config.device), mask.to(self.config.device))
        pictures = self._embed_pictures(torch.from_numpy(self.held_pictures).to(self.config.device))
        right, near = texts.chunk(2)
        apart = ((pictures * right).sum(1) > (pictures * near).sum(1)).float().mean()
        own = torch.arange(128, device=texts.device)
        pairs = zip(pictures.split(128), right.split(128), strict=True)
        found = torch.stack([((p @ t.T).argmax(1) == own).float().mean() for p, t in pairs]).mean()
        return {"held_out_distinguished": float(apart), "held_out_found_of_128": float(found)}

    def export(self, folder: Path) -> None:
        self.text.save_pretrained(folder / "text_encoder")
        self.tokenizer.save_pretrained(folder / "tokenizer")


def build(task: TextTask, vocabulary: int, end: int) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=task.hidden,
            intermediate_size=4 * task.hidden,
            projection_dim=task.embedding,
            num_hidden_layers=task.layers,
            num_attention_heads=task.heads,
            max_position_embeddings=task.positions,
            bos_token_id=end - 1,
            eos_token_id=end,
            pad_token_id=end,
        )
    )


def tokenize(tokenizer: CLIPTokenizer, captions: list[str], length: int | None = None) -> tuple[Tensor, Tensor]:
    """Token ids and mask [n, length]; without a length, that of the longest caption."""
    padding = "longest" if length is None else "max_length"
    out = tokenizer(captions, padding=padding, truncation=True, max_length=length, return_tensors="pt")
    return out.input_ids, out.attention_mask


__all__ = ["TextLearner", "near_miss", "to_tensor", "tokenize", "train_tokenizer"]
