"""A model made on the spot: a tiny Qwen3 of random weights, a tokenizer trained on a few lines, a chat template.

It writes nonsense, which is what a test of everything around a model needs: under a schema, every reply that is
legal comes from the schema alone. ``python -m tests.vllm.tiny_model FOLDER`` makes one by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers import decoders
from tokenizers import models
from tokenizers import pre_tokenizers
from tokenizers import trainers
from transformers import PreTrainedTokenizerFast
from transformers import Qwen3Config
from transformers import Qwen3ForCausalLM

#: Tokens of prompt and reply together.
CONTEXT = 4096

_TEXT = (
    "The cell has six edges, and each edge holds one operation.",
    "none, skip_connect, nor_conv_1x1, nor_conv_3x3 or avg_pool_3x3",
    '{"architecture": {"0<-1": "nor_conv_3x3"}, "candidate": "012340", "text": "Mix wide and narrow parts."}',
    "Accuracy 93.51 % after 200 epochs; the best of 0 1 2 3 4 5 6 7 8 9 so far.",
)
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make(folder: Path) -> Path:
    """Write the model to a folder; the same files wherever it is called.

    Args:
        folder: Made where it is missing.
    """
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    bytewise = Tokenizer(models.BPE())
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bytewise.train_from_iterator(_TEXT, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bytewise,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=_TEMPLATE,
    )


if __name__ == "__main__":
    make(Path(sys.argv[1]))
