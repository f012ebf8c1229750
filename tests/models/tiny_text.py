"""Tiny tokenizers, processors and text encoders: random weights, real classes, real files.

CLIP's byte-pair encoding is trained on a few words; the others know every letter or byte, so that no prompt is unknown.
"""

import functools
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tests.models.components import reseed

WORDS = ("a", "red", "blue", "large", "small", "heart", "star", "ring", "on", "the", "left", "right", "ground", "white")
START, END = "<|startoftext|>", "<|endoftext|>"
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
PIECES = [("▁", -2.0), *(("▁" + word, -1.0) for word in WORDS), *((letter, -8.0) for letter in LETTERS)]
MARKS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
    "<unk>", "<s>", "</s>", "<bos>", "<eos>", "<pad>", "<mask>", "[IMG]", "[IMG_BREAK]", "[IMG_END]",
)  # fmt: skip
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


# ---- tokenizers ------------------------------------------------------------------------------------------------------


@functools.cache
def trained_bpe() -> dict[str, Any]:
    """{"vocab": ..., "merges": ...} trained on WORDS, as tokenizers take them."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    sizes = {"vocab_size": 400, "end_of_word_suffix": "</w>", "show_progress": False}
    trainer = trainers.BpeTrainer(initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), **sizes)
    bpe.train_from_iterator([" ".join(WORDS)] * 4, trainer)
    model = json.loads(bpe.to_str())["model"]
    return {"vocab": model["vocab"], "merges": [tuple(pair) for pair in model["merges"]]}


def clip_tokenizer(max_length: int = 24, **marks: str) -> Any:
    """A CLIPTokenizer with merges really trained on WORDS (one without merges would drop whole words)."""
    vocab: dict[str, int] = dict(trained_bpe()["vocab"])
    letters = [letter + end for letter in sorted(pre_tokenizers.ByteLevel.alphabet()) for end in ("", "</w>")]
    for token in (*letters, START, END):
        vocab.setdefault(token, len(vocab))
    marks = {"pad_token": END} | marks
    return transformers.CLIPTokenizer(vocab=vocab, merges=trained_bpe()["merges"], model_max_length=max_length, **marks)


def t5_tokenizer(max_length: int = 24) -> Any:
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *PIECES]
    return transformers.T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=max_length)


def roberta_tokenizer(max_length: int = 24) -> Any:
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *PIECES, ("<mask>", 0.0)]
    return transformers.XLMRobertaTokenizer(vocab=vocab, model_max_length=max_length)


def bert_tokenizer(max_length: int = 77) -> Any:
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *LETTERS, *("##" + letter for letter in LETTERS)]
    return transformers.BertTokenizer(vocab=_numbered(names), model_max_length=max_length)


def qwen_tokenizer(max_length: int = 4096) -> Any:
    tokenizer = transformers.Qwen2Tokenizer(vocab=_byte_vocabulary(), merges=[], model_max_length=max_length)
    marks = [transformers.AddedToken(mark, special=True) for mark in MARKS[1:7]]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def gemma_tokenizer(max_length: int = 512) -> Any:
    vocab = _numbered(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *map(chr, range(32, 127)), "\n", "▁"])
    tokenizer = transformers.GemmaTokenizer(vocab=vocab, merges=[], model_max_length=max_length, padding_side="right")
    tokenizer._tokenizer.post_processor = _begins_with("<bos>", vocab)
    return tokenizer


def llama_tokenizer(max_length: int = 512, **more: Any) -> Any:
    """As HiDream's and CogView 4's folders name it: a fast tokenizer of no class of its own."""
    vocab = _byte_vocabulary()
    bpe = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.post_processor = _begins_with("<s>", vocab)
    marks = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, model_max_length=max_length, **marks, **more)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def omnigen_tokenizer() -> Any:
    """Every printable character, for a prompt is read with the marks around it."""
    words = ("▁" + word for word in WORDS)
    vocab = _numbered(["<unk>", "<s>", "</s>", "▁", *words, *map(chr, range(32, 127)), "\n"])
    return transformers.LlamaTokenizer(vocab=vocab, merges=[])


def gpt2_tokenizer() -> Any:
    words = trained_bpe()["vocab"]
    vocab = words | {END: len(words), "<|EOS|>": len(words) + 1}
    return transformers.GPT2Tokenizer(vocab=vocab, merges=trained_bpe()["merges"])


def chatglm_tokenizer() -> Any:
    """Kolors' tokenizer reads a SentencePiece model from a folder, which lives as long as it does."""
    import sentencepiece
    from diffusers.pipelines.kolors import ChatGLMTokenizer

    model, folder = io.BytesIO(), TemporaryDirectory()
    sizes = {"vocab_size": 60, "hard_vocab_limit": False, "minloglevel": 2}
    lines = iter([" ".join(WORDS)] * 20)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=lines, model_writer=model, **sizes)
    file = Path(folder.name) / "tokenizer.model"
    file.write_bytes(model.getvalue())
    tokenizer = ChatGLMTokenizer(str(file))
    tokenizer.folder = folder
    return tokenizer


def qwen_processor(kind: str) -> Any:
    """Qwen2VL's or Qwen3VL's: the tokenizer, and what makes patches of pictures and of video."""
    sizes = {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
    tokenizer = qwen_tokenizer()
    return getattr(transformers, f"{kind}Processor")(
        image_processor=transformers.Qwen2VLImageProcessor(min_pixels=32 * 32, max_pixels=64 * 64, **sizes),
        tokenizer=tokenizer,
        video_processor=getattr(transformers, f"{kind}VideoProcessor")(**sizes),
        chat_template=tokenizer.chat_template,
    )


def pixtral_processor() -> Any:
    tokenizer, images = llama_tokenizer(padding_side="left"), transformers.PixtralImageProcessor()
    return transformers.PixtralProcessor(images, tokenizer, chat_template=tokenizer.chat_template)


def _numbered(tokens: list[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


def _byte_vocabulary() -> dict[str, int]:
    return _numbered([*sorted(pre_tokenizers.ByteLevel.alphabet()), *MARKS])


def _begins_with(mark: str, vocab: dict[str, int]) -> Any:
    return processors.TemplateProcessing(single=f"{mark} $A", special_tokens=[(mark, vocab[mark])])


# ---- text encoders ---------------------------------------------------------------------------------------------------

SMALL = {
    "vocab_size": 320, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "head_dim": 8,
}  # fmt: skip
VISION = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
ROTARY = {"rope_parameters": {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1000000.0}}


def encoder(name: str, **config: Any) -> Any:
    """A class of transformers with this configuration."""
    reseed(name)
    model = getattr(transformers, name)
    return model(model.config_class(**config)).eval()


def language(name: str, **config: Any) -> Any:
    """A language model: SMALL, but for what is given."""
    return encoder(name, **(SMALL | config))


def clip_text(tokenizer: Any, width: int = 32, *, projection: int = 0, positions: int = 128, layers: int = 2) -> Any:
    sizes = {"hidden_size": width, "intermediate_size": 64, "num_hidden_layers": layers, "num_attention_heads": 4}
    marks = {f"{mark}_token_id": getattr(tokenizer, f"{mark}_token_id") for mark in ("bos", "eos", "pad")}
    name = "CLIPTextModelWithProjection" if projection else "CLIPTextModel"
    length = {"vocab_size": len(tokenizer), "max_position_embeddings": positions}
    return encoder(name, **sizes, **length, **marks, projection_dim=projection or width)


def t5_text(tokenizer: Any, width: int = 32, *, name: str = "T5EncoderModel", **config: Any) -> Any:
    sizes = {"d_model": width, "d_kv": 8, "d_ff": 2 * width, "num_layers": 1, "num_heads": 4}
    marks = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    return encoder(name, vocab_size=len(tokenizer) + 8, **sizes, **marks, decoder_start_token_id=0, **config)


def qwen25_vl() -> Any:
    text, vision = SMALL | ROTARY, VISION | {"fullatt_block_indexes": [0]}
    return encoder("Qwen2_5_VLForConditionalGeneration", text_config=text, vision_config=vision)


def qwen3_vl(name: str = "Qwen3VLForConditionalGeneration", layers: int = 2, width: int = 16) -> Any:
    patches = {"patch_size": 16, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    text = SMALL | ROTARY | {"num_hidden_layers": layers, "hidden_size": width}
    return encoder(name, text_config=text, vision_config=VISION | patches | {"out_hidden_size": width})


def mistral3(name: str = "Mistral3ForConditionalGeneration", layers: int = 2) -> Any:
    sizes = SMALL | {"max_position_embeddings": 1024, "sliding_window": None}
    text = sizes | {"model_type": "mistral", "num_hidden_layers": layers}
    vision = SMALL | {"model_type": "pixtral", "image_size": 32, "patch_size": 16, "num_hidden_layers": 1}
    return encoder(name, text_config=text, vision_config=vision, image_token_index=1)


def t5_gemma() -> Any:
    """The encoder of T5Gemma, which transformers does not export."""
    from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

    layers = {"num_hidden_layers": 1, "num_key_value_heads": 1, "layer_types": ["full_attention"]}
    sizes = {"max_position_embeddings": 256, "dropout_rate": 0.0, "query_pre_attn_scalar": 8}
    return T5GemmaEncoder(transformers.T5GemmaModuleConfig(**(SMALL | layers | sizes))).eval()


def clip(max_length: int = 24, *, pad: str = END, **config: Any) -> dict[str, Any]:
    tokenizer = clip_tokenizer(max_length, pad_token=pad)
    return {"text_encoder": clip_text(tokenizer, **config), "tokenizer": tokenizer}


def t5(max_length: int = 24, **config: Any) -> dict[str, Any]:
    tokenizer = t5_tokenizer(max_length)
    return {"text_encoder": t5_text(tokenizer, **config), "tokenizer": tokenizer}


def numbered(number: int, components: dict[str, Any]) -> dict[str, Any]:
    """The same as a pipeline's second, third, ... text encoder and tokenizer."""
    return {f"{name}_{number}": component for name, component in components.items()}
