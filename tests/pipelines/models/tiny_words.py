"""Tokenizers of single characters and the text encoders that go with them."""

from typing import Any

import transformers

CHARACTERS = [chr(code) for code in range(32, 127)]
CHAT = (
    "{% for message in messages %}{{ message['role'] }} {{ message['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)


def t5() -> tuple[Any, Any]:
    """Return a tokenizer of single characters and a T5 encoder of width 32."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0)]
    pieces += [(character, -2.0) for character in CHARACTERS]
    tokenizer = transformers.T5Tokenizer(vocab=pieces, extra_ids=0)
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=4
    )
    return tokenizer, transformers.T5EncoderModel(config)


def gemma_tokenizer() -> Any:
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *CHARACTERS]
    vocab = {name: index for index, name in enumerate(names)}
    return transformers.GemmaTokenizer(vocab=vocab, merges=[], model_max_length=64)
