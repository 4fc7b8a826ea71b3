"""Write a GGUF file as a Hugging Face folder, which vLLM serves: weights without quantisation, tokenizer, template.

Needs ``pip install transformers gguf accelerate``, in the environment of vLLM for instance. Weights that were
quantised stay as coarse as they were.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from transformers import AutoModelForCausalLM
from transformers import AutoTokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gguf", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    source = {"pretrained_model_name_or_path": options.gguf.parent, "gguf_file": options.gguf.name}
    AutoTokenizer.from_pretrained(**source).save_pretrained(options.folder)
    model = AutoModelForCausalLM.from_pretrained(**source, dtype="float32")
    # The weights are plain numbers by now, and transformers still takes the model for quantised.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(options.folder)


if __name__ == "__main__":
    main()
