"""Writes test/fixtures/architectures/: a tiny random checkpoint of each architecture, and what transformers computes.

Folders are as save_pretrained leaves them. cases.json has for each its inputs, its variants (fields of config.json that
change) and greedy continuations of ragged prompts, which transformers must give alike alone and padded in a batch.
Results are in expected.safetensors of the folder: `CASE/logits` at the positions that count, `CASE/loss` (mean over
labels) and `CASE/grad.PARAMETER`; `adapter/logits` is with the PEFT adapter beside it. Everything is in float32. Seeds are tried until no continuation hangs on less than 0.002
between its two likeliest tokens, and none repeats one token.

Run from the project root: python parity/architectures.py [NAME ...]
"""

import json
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, Gemma3ForCausalLM
from transformers.pytorch_utils import Conv1D

OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "architectures"
VOCAB, NEW, PROMPTS = 32, 32, [[9, 14, 21], [7], [4, 30, 11, 6, 25, 17, 8, 12, 3, 28]]

COMMON = {
    "vocab_size": VOCAB,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "initializer_range": 0.4,
    "bos_token_id": 1,
    "eos_token_id": [2, 5],
    "pad_token_id": 0,
    "rms_norm_eps": 1e-5,
}
GEMMA3 = {
    **COMMON,
    "num_hidden_layers": 4,
    "sliding_window": 4,
    "query_pre_attn_scalar": 24,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 10000.0},
    },
}
LONGROPE = {"rope_type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [2.0, 6.0], "rope_theta": 10000.0}
VISION = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 4,
}
OLD_ROPE = {"rope_parameters": None}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}

# By folder: config, and variants that the same weights serve.
CASES = {
    "mistral": ({**COMMON, "model_type": "mistral", "sliding_window": 5}, {"no window": {"sliding_window": None}}),
    "qwen2": (
        {
            **{key: value for key, value in COMMON.items() if key != "head_dim"},
            "model_type": "qwen2",
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 1,
            "tie_word_embeddings": True,
        },
        {
            "no window": {"use_sliding_window": False, "layer_types": None},
            "yarn": {"rope_parameters": {**YARN, "rope_theta": 10000.0}},
            "yarn, transformers 4": {**OLD_ROPE, "rope_theta": 500.0, "rope_scaling": {**YARN, "truncate": False, "beta_fast": 4, "beta_slow": 0.5}},
            "yarn with mscale": {"rope_parameters": {**YARN, "rope_theta": 10000.0, "mscale": 2.0, "mscale_all_dim": 1.0}},
        },
    ),
    "qwen3": (
        {**COMMON, "model_type": "qwen3", "tie_word_embeddings": False, "attention_bias": True},
        {"windows": {"use_sliding_window": True, "sliding_window": 3, "layer_types": ["full_attention", "sliding_attention", "full_attention"]}},
    ),
    "gemma3_text": (
        {**GEMMA3, "model_type": "gemma3_text"},
        {
            "transformers 4": {
                **OLD_ROPE,
                "layer_types": None,
                "sliding_window_pattern": 3,
                "rope_theta": 5000.0,
                "rope_local_base_freq": 50.0,
                "rope_scaling": {"factor": 2.0, "rope_type": "linear"},
            },
            "logit cap": {"final_logit_softcapping": 1.5},
        },
    ),
    "gemma3": (
        {
            "model_type": "gemma3",
            "text_config": {**GEMMA3, "model_type": "gemma3_text"},
            "vision_config": VISION,
            "mm_tokens_per_image": 4,
            "eos_token_id": [2, 5],
            "initializer_range": 0.4,
            "image_token_index": 31,
            "boi_token_index": 29,
            "eoi_token_index": 30,
        },
        {},
    ),
    "phi3": (
        {
            **{key: value for key, value in COMMON.items() if key != "head_dim"},
            "model_type": "phi3",
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "resid_pdrop": 0.1,
            "original_max_position_embeddings": 48,
            "partial_rotary_factor": 0.5,
            "rope_parameters": LONGROPE,
        },
        {
            "long": {"original_max_position_embeddings": 8},
            "transformers 4": {
                **OLD_ROPE,
                "rope_theta": 500.0,
                "partial_rotary_factor": 1.0,
                "original_max_position_embeddings": 8,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [1.0, 2.0, 3.0, 4.0]},
            },
            "window": {"sliding_window": 3},
        },
    ),
    "smollm3": (
        {**COMMON, "model_type": "smollm3", "num_hidden_layers": 4, "no_rope_layer_interval": 2, "mlp_bias": True},
        {
            "window": {"use_sliding_window": True, "sliding_window": 3, "layer_types": None},
            "listed": {"no_rope_layers": [0, 1, 1, 0]},
        },
    ),
    "olmo2": ({**COMMON, "model_type": "olmo2", "tie_word_embeddings": False}, {"theta": {"rope_parameters": {"rope_type": "default", "rope_theta": 300.0}}}),
    "gemma2": (
        {
            **COMMON,
            "model_type": "gemma2",
            "num_hidden_layers": 4,
            "sliding_window": 4,
            "query_pre_attn_scalar": 4,
            "attn_logit_softcapping": 1.5,
            "final_logit_softcapping": 4.0,
        },
        {"no caps": {"attn_logit_softcapping": None, "final_logit_softcapping": None}},
    ),
    "gpt2": (
        {
            "model_type": "gpt2",
            "vocab_size": VOCAB,
            "n_embd": 16,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 64,
            "initializer_range": 0.4,
            "bos_token_id": 1,
            "eos_token_id": [2, 5],
        },
        {"inverse": {"scale_attn_by_inverse_layer_idx": True}, "unscaled": {"scale_attn_weights": False, "activation_function": "gelu"}},
    ),
    "gpt_neox": (
        {
            **{key: value for key, value in COMMON.items() if key not in ("head_dim", "num_key_value_heads", "rms_norm_eps")},
            "model_type": "gpt_neox",
            "num_attention_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
        },
        {
            "one after the other": {"use_parallel_residual": False},
            "transformers 4": {**OLD_ROPE, "rotary_pct": 0.25, "rotary_emb_base": 50},
        },
    ),
}


def make_model(name, seed):
    settings = json.loads(json.dumps(CASES[name][0]))
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings), attn_implementation="eager").eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            # Norms and biases begin as constants, with which little would be seen.
            if "norm" in key or "ln_" in key or key.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.2)
            elif "gpt2" == name:
                parameter.copy_(torch.randn_like(parameter) * 0.4)
            # Scaled, tied embeddings would else outweigh the layers, and each token predict itself.
            if "gemma" in name and "post_" in key and "vision" not in key:
                parameter.add_(2.0)
            elif "gemma" in name and "embed_tokens" in key:
                parameter.mul_(0.5)
    generation = model.generation_config
    generation.eos_token_id = [2, 5]
    generation.do_sample, generation.temperature, generation.top_k, generation.top_p = True, 0.7, 20, 0.9
    return model


def load(name, fields):
    """The checkpoint under a config.json with other fields; None removes one."""
    with tempfile.TemporaryDirectory() as changed:
        shutil.copytree(OUT / name, changed, dirs_exist_ok=True)
        path = Path(changed) / "config.json"
        config = json.loads(path.read_text())
        for key, value in fields.items():
            if value is None and key not in ("sliding_window", "attn_logit_softcapping", "final_logit_softcapping"):
                config.pop(key, None)
            else:
                config[key] = value
        path.write_text(json.dumps(config))
        return AutoModelForCausalLM.from_pretrained(changed, dtype=torch.float32, attn_implementation="eager").eval()


def greedy(model, rows, use_cache=True):
    """Continuations, and the smallest distance between the two likeliest tokens."""
    longest = max(map(len, rows))
    model.generation_config.eos_token_id = None
    result = model.generate(
        input_ids=torch.tensor([[0] * (longest - len(row)) + row for row in rows]),
        attention_mask=torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows]),
        max_new_tokens=NEW,
        do_sample=False,
        use_cache=use_cache,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_logits=True,
    )
    top = torch.stack(result.logits, 1).topk(2, -1).values
    return result.sequences[:, longest:].tolist(), (top[..., 0] - top[..., 1]).min().item()


def lively(model):
    alone = [greedy(model, [row]) for row in PROMPTS]
    margin = min(margin for _, margin in alone)
    tokens = [rows[0] for rows, _ in alone]
    if margin < 2e-3 or any(len(set(row)) < 4 for row in tokens):
        return None
    padded, _ = greedy(model, PROMPTS)
    assert padded == tokens, "transformers itself differs with padding"
    return tokens


def inputs():
    torch.manual_seed(5)
    plain = torch.randint(3, VOCAB - 3, (2, 12))
    mask = torch.ones_like(plain)
    mask[1, :5] = 0
    keep = torch.rand(plain.shape) < 0.6
    labels = torch.where(keep, plain, -100)
    left = torch.where(keep & mask.bool(), plain, -100)
    left[1, 5] = -100
    return {"plain": (plain, None, labels), "left": (plain, mask, left)}


def forward(model, batch):
    input_ids, mask, labels = batch
    return model(input_ids=input_ids, attention_mask=mask, labels=labels)


def run(model, batch, gradients):
    model.requires_grad_(True)
    output = forward(model, batch)
    mask = torch.ones_like(batch[0]) if batch[1] is None else batch[1]
    result = {"logits": output.logits[mask.bool()].detach(), "loss": output.loss.detach()}
    if gradients:
        output.loss.backward()
        for key, parameter in model.named_parameters():
            if parameter.grad is not None and "vision" not in key and "multi_modal" not in key:
                result[f"grad.{key}"] = parameter.grad
    return {key: value.float().contiguous().clone() for key, value in result.items()}


def adapter(name, batch):
    """Writes a PEFT adapter on all linear layers of the text part, and returns the logits with it."""
    model = load(name, {})
    linear = [
        key
        for key, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D)) and "vision" not in key and key != "lm_head"
    ]
    config = LoraConfig(r=2, lora_alpha=3, target_modules=linear, task_type="CAUSAL_LM", fan_in_fan_out=name == "gpt2")
    torch.manual_seed(1)
    adapted = get_peft_model(model, config).eval()
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "lora_" in key:
                parameter.normal_(0, 0.2)
    folder = OUT / name / "adapter"
    # PEFT keeps a set, whose order differs from run to run.
    adapted.peft_config["default"].target_modules = linear
    adapted.peft_config["default"].base_model_name_or_path = name
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    return {"logits": run(adapted, batch, False)["logits"]}


def make(name, batches):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    for seed in range(200):
        model = make_model(name, seed)
        if lively(model) is not None:
            break
    else:
        raise SystemExit(f"{name}: no seed will do")
    make_model(name, seed).save_pretrained(folder)
    tensors, variants = {}, CASES[name][1]

    def add(case, fields, batch, gradients):
        tensors.update({f"{case}/{key}": value for key, value in run(load(name, fields), batches[batch], gradients).items()})

    add("plain", {}, "plain", True)
    add("left", {}, "left", False)
    for variant, fields in variants.items():
        add(variant, fields, "plain", False)
    if name == "gemma3":
        # What becomes of the text part alone.
        whole = load(name, {})
        text = Gemma3ForCausalLM(whole.config.text_config)
        text.model.load_state_dict(whole.model.language_model.state_dict())
        assert torch.equal(forward(text.eval(), batches["plain"]).logits, forward(whole, batches["plain"]).logits)
        with tempfile.TemporaryDirectory() as saved:
            text.save_pretrained(saved)
            shutil.copy(Path(saved) / "model.safetensors", folder / "text.safetensors")
    tensors |= {f"adapter/{key}": value for key, value in adapter(name, batches["plain"]).items()}
    save_file(tensors, folder / "expected.safetensors")
    print(name, seed, flush=True)
    made = {"seed": seed, "variants": variants, "greedy": lively(load(name, {}))}
    if name == "phi3":
        # Continuations that grow beyond the length from which LongRoPE has other factors, each alone. Without a cache:
        # with one, transformers 5.18 reads only the last token where it means to read all of them again.
        crossing = load(name, {"original_max_position_embeddings": 16})
        found = [greedy(crossing, [row], use_cache=False) for row in PROMPTS]
        assert min(margin for _, margin in found) > 2e-3
        made["crossing"] = [rows[0] for rows, _ in found]
    return made


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / "cases.json"
    chosen = sys.argv[1:] or list(CASES)
    before = json.loads(path.read_text())["architectures"] if path.exists() else {}
    batches = inputs()
    made = {**before, **{name: make(name, batches) for name in chosen}}
    text = {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
        },
        "prompts": PROMPTS,
        "inputs": {
            name: {
                "inputIds": ids.tolist(),
                "attentionMask": None if mask is None else mask.tolist(),
                "positions": None,
                "labels": labels.tolist(),
            }
            for name, (ids, mask, labels) in batches.items()
        },
        "architectures": {name: made[name] for name in CASES if name in made},
    }
    path.write_text(json.dumps(text) + "\n")


main()
