"""Writes a checkpoint of SmolLM-135M's shape with random weights (seeded) into a folder.

    python make_checkpoint.py FOLDER [--seed N]

bfloat16 safetensors, normal weights of standard deviation 0.02, norms of ones, no tokenizer.
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "mlp_bias": False,
    "attention_dropout": 0.0,
    "tie_word_embeddings": True,
    "initializer_range": 0.02,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "bfloat16",
    "use_cache": True,
}


def weights(seed: int) -> dict[str, torch.Tensor]:
    hidden, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    head = hidden // CONFIG["num_attention_heads"]
    keys = head * CONFIG["num_key_value_heads"]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (CONFIG["vocab_size"], hidden)}
    for index in range(CONFIG["num_hidden_layers"]):
        layer = f"model.layers.{index}."
        shapes |= {
            layer + "input_layernorm.weight": (hidden,),
            layer + "self_attn.q_proj.weight": (hidden, hidden),
            layer + "self_attn.k_proj.weight": (keys, hidden),
            layer + "self_attn.v_proj.weight": (keys, hidden),
            layer + "self_attn.o_proj.weight": (hidden, hidden),
            layer + "post_attention_layernorm.weight": (hidden,),
            layer + "mlp.gate_proj.weight": (inner, hidden),
            layer + "mlp.up_proj.weight": (inner, hidden),
            layer + "mlp.down_proj.weight": (hidden, inner),
        }
    shapes["model.norm.weight"] = (hidden,)
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (
            torch.ones(shape)
            if len(shape) == 1
            else torch.empty(shape).normal_(0.0, CONFIG["initializer_range"], generator=generator)
        ).to(torch.bfloat16)
        for name, shape in shapes.items()
    }


options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("folder", type=pathlib.Path)
options.add_argument("--seed", type=int, default=0)
given = options.parse_args()

given.folder.mkdir(parents=True, exist_ok=True)
save_file(weights(given.seed), given.folder / "model.safetensors", metadata={"format": "pt"})
(given.folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
print(given.folder)
