"""Tiny tokenizers, processors and language models of the kinds that the newer pipelines read their prompts with.

Random weights, real classes, real files: byte-level BPE with the marks of Qwen's and Llama's chats, and chat templates
short enough to read. Called after `tiny_models._seeded`, which prepares the libraries.
"""

from typing import Any

from tests.models.tiny_text import trained_bpe

MARKS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
    "<unk>", "<s>", "</s>", "<bos>", "<eos>", "<pad>", "<mask>", "[IMG]", "[IMG_BREAK]", "[IMG_END]",
)  # fmt: skip
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VISION = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}


def byte_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Every byte as a letter, and the marks: no prompt is unknown, and none is short."""
    from tokenizers import pre_tokenizers

    assert trained_bpe()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    return {token: number for number, token in enumerate((*letters, *MARKS))}, []


def qwen_tokenizer(max_length: int = 4096) -> Any:
    from transformers import AddedToken, Qwen2Tokenizer

    vocab, merges = byte_vocabulary()
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=merges, model_max_length=max_length)
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken(mark, special=True) for mark in MARKS[1:7]]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def gemma_tokenizer(max_length: int = 512) -> Any:
    from tokenizers import processors
    from transformers import GemmaTokenizer

    vocab = {token: number for number, token in enumerate(("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"))}
    for character in (*map(chr, range(32, 127)), "\n", "▁"):
        vocab.setdefault(character, len(vocab))
    tokenizer = GemmaTokenizer(vocab=vocab, merges=[], model_max_length=max_length, padding_side="right")
    begins = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", vocab["<bos>"])])
    tokenizer._tokenizer.post_processor = begins
    return tokenizer


def llama_tokenizer(max_length: int = 512, **more: Any) -> Any:
    """As HiDream's and CogView 4's folders name it: a fast tokenizer of no class of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab, merges = byte_vocabulary()
    bpe = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocab["<s>"])])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        model_max_length=max_length,
        **more,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def bert_tokenizer() -> Any:
    from transformers import BertTokenizer

    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "blue", "heart", "star", "large", "small")
    letters = [piece for c in "abcdefghijklmnopqrstuvwxyz" for piece in (c, "##" + c)]
    vocab = {token: number for number, token in enumerate(dict.fromkeys((*words, *letters)))}
    return BertTokenizer(vocab=vocab, model_max_length=77)


def qwen_processor(cls: str) -> Any:
    """Qwen2VLProcessor, Qwen3VLProcessor: the tokenizer, and what makes patches of pictures and of video."""
    import transformers

    video = {"Qwen2VLProcessor": "Qwen2VLVideoProcessor", "Qwen3VLProcessor": "Qwen3VLVideoProcessor"}[cls]
    tokenizer = qwen_tokenizer()
    sizes = {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
    return getattr(transformers, cls)(
        image_processor=transformers.Qwen2VLImageProcessor(min_pixels=32 * 32, max_pixels=64 * 64, **sizes),
        tokenizer=tokenizer,
        video_processor=getattr(transformers, video)(**sizes),
        chat_template=tokenizer.chat_template,
    )


def pixtral_processor() -> Any:
    from transformers import PixtralImageProcessor, PixtralProcessor

    tokenizer = llama_tokenizer()
    tokenizer.padding_side = "left"
    return PixtralProcessor(
        image_processor=PixtralImageProcessor(), tokenizer=tokenizer, chat_template=tokenizer.chat_template
    )


def qwen3(cls: str = "Qwen3Model", width: int = 16, layers: int = 2) -> Any:
    import transformers

    config = transformers.Qwen3Config(
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=320,
        max_position_embeddings=2048,
    )
    return getattr(transformers, cls)(config).eval()


def qwen25_vl() -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "vocab_size": 320,
            "rope_parameters": {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1000000.0},
        },
        vision_config=VISION | {"fullatt_block_indexes": [0]},
    )
    return Qwen2_5_VLForConditionalGeneration(config).eval()


def qwen3_vl(cls: str = "Qwen3VLForConditionalGeneration", layers: int = 2, width: int = 16) -> Any:
    import transformers

    config = transformers.Qwen3VLConfig(
        text_config={
            "hidden_size": width,
            "intermediate_size": 16,
            "num_hidden_layers": layers,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "vocab_size": 320,
            "rope_parameters": {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1000000.0},
        },
        vision_config=VISION
        | {"out_hidden_size": width, "patch_size": 16, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
    )
    return getattr(transformers, cls)(config).eval()


def mistral3(cls: str = "Mistral3ForConditionalGeneration", layers: int = 2) -> Any:
    import transformers

    config = transformers.Mistral3Config(
        text_config={
            "model_type": "mistral",
            "vocab_size": 320,
            "hidden_size": 16,
            "intermediate_size": 32,
            "max_position_embeddings": 1024,
            "num_attention_heads": 4,
            "num_hidden_layers": layers,
            "num_key_value_heads": 2,
            "head_dim": 4,
            "sliding_window": None,
        },
        vision_config={
            "model_type": "pixtral",
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "intermediate_size": 32,
            "image_size": 32,
            "patch_size": 16,
        },
        image_token_index=1,
    )
    return getattr(transformers, cls)(config).eval()


def gemma2() -> Any:
    from transformers import Gemma2Config, Gemma2Model

    config = Gemma2Config(
        vocab_size=256,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        query_pre_attn_scalar=8,
        max_position_embeddings=1024,
    )
    return Gemma2Model(config).eval()


def gemma() -> Any:
    from transformers import GemmaConfig, GemmaForCausalLM

    config = GemmaConfig(
        vocab_size=256,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    return GemmaForCausalLM(config).eval()


def t5_gemma() -> Any:
    """The encoder of T5Gemma, which transformers has no name for until PRX's pipeline gives it one."""
    import diffusers
    import transformers

    assert diffusers.PRXPipeline
    sizes = {
        "vocab_size": 256,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "layer_types": ["full_attention"],
        "dropout_rate": 0.0,
        "query_pre_attn_scalar": 8,
    }
    return transformers.T5GemmaEncoder(transformers.T5GemmaModuleConfig(**sizes)).eval()


def llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=320, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2
    )
    return LlamaForCausalLM(config).eval()


def glm() -> Any:
    from transformers import GlmConfig, GlmModel

    config = GlmConfig(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        pad_token_id=0,
    )
    return GlmModel(config).eval()


def smollm3() -> Any:
    """Its vocabulary is as large as the real one's: the pipeline names the mark for an empty prompt by number, 128000."""
    from transformers import SmolLM3Config, SmolLM3ForCausalLM

    config = SmolLM3Config(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=0,
        vocab_size=128_001,
        tie_word_embeddings=True,
    )
    return SmolLM3ForCausalLM(config).eval()


def bert() -> Any:
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=80, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    return BertModel(config).eval()
