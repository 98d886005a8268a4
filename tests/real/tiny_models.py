"""Makes a tiny model with random weights and its tokenizer, without a network: python tiny_models.py llama|qwen2vl DIR.

Runs in the environment of a server, which has torch and transformers; the same bytes come out each time.
"""

import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)

SYLLABLES = ["ba", "ko", "ri", "tu", "men", "sol", "qua", "dex", "ly", "or", "in", "st", "ger", "pha", "ne", "vi"]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
PIXELS = {"min_pixels": 56 * 56, "max_pixels": 224 * 224, "size": {"shortest_edge": 56 * 56, "longest_edge": 224 * 224},
          "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}
"""Of the processor of images: an image takes up to 64 tokens, one for each 28 by 28 pixels."""


def sentences(count: int = 4000, seed: int = 7) -> Iterator[str]:
    """Yield sentences of made-up words for the tokenizer to learn."""
    rng = random.Random(seed)
    words = ["".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 4))) for _ in range(900)]
    for _ in range(count):
        yield " ".join(rng.choice(words) for _ in range(rng.randint(4, 18))) + rng.choice(".?!")


def train_tokenizer(special: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer with a chat template, and with `special` tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(sentences(), trainers.BpeTrainer(
        vocab_size=2000, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>", *special], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>",
                                   pad_token="<|endoftext|>", model_max_length=4096)
    fast.chat_template = CHAT_TEMPLATE
    return fast


def sizes(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return what both models have in common."""
    return {"vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 4096,
            "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id}


def make_llama(directory: str) -> None:
    """Write a causal language model and its tokenizer to a directory."""
    tokenizer = train_tokenizer()
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**sizes(tokenizer), tie_word_embeddings=False)).bfloat16()
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def make_qwen2vl(directory: str) -> None:
    """Write a vision-language model, its tokenizer and its processor to a directory."""
    tokenizer = train_tokenizer(VISION)
    start, end, image, video = tokenizer.convert_tokens_to_ids(list(VISION))
    torch.manual_seed(0)
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10000.0}
    vision = {"depth": 2, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2, "hidden_size": 64, "patch_size": 14,
              "spatial_merge_size": 2, "temporal_patch_size": 2}
    model = Qwen2VLForConditionalGeneration(Qwen2VLConfig(
        text_config={**sizes(tokenizer), "rope_parameters": rope}, vision_config=vision, image_token_id=image,
        video_token_id=video, vision_start_token_id=start, vision_end_token_id=end, tie_word_embeddings=False))
    model.bfloat16().save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    kinds = {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2VLProcessor"}
    Path(directory, "preprocessor_config.json").write_text(json.dumps({**PIXELS, **kinds}))
    video_kinds = {"video_processor_type": "Qwen2VLVideoProcessor", "processor_class": "Qwen2VLProcessor"}
    Path(directory, "video_preprocessor_config.json").write_text(json.dumps({**PIXELS, **video_kinds}))


if __name__ == "__main__":
    {"llama": make_llama, "qwen2vl": make_qwen2vl}[sys.argv[1]](sys.argv[2])
