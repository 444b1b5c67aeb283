"""Writes test/fixtures/llama/: tiny random Llama checkpoints, and what transformers computes with them.

Checkpoints are folders as save_pretrained leaves them. cases.json lists forward passes: the checkpoint, the fields of
its config.json that change (spelt as transformers 4 and 5 do, which must agree here), and the inputs. Their results
are in expected.safetensors: `CASE/logits` at the positions that count, `CASE/loss` (mean over labels),
`CASE/grad.PARAMETER`. halfPrecisionErrors is the root mean square by which logits in half precision differ from those in
float32.

Run from the project root: python parity/llama.py
"""

import json
import platform
import shutil
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

SEED = 17
OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "llama"
VOCAB = 32
ROPE_KEYS = ("rope_theta", "rope_scaling", "rope_parameters")

CHECKPOINTS = {
    # One key-value head for both query heads, a head of its own.
    "untied": {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "tie_word_embeddings": False},
    # Heads wider than hidden_size / heads, two to a key-value head; biases everywhere; tied.
    "tied": {
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "tie_word_embeddings": True,
        "attention_bias": True,
        "mlp_bias": True,
        "rms_norm_eps": 1e-5,
    },
}


def make_checkpoint(settings):
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        intermediate_size=12,
        num_hidden_layers=2,
        max_position_embeddings=16,
        initializer_range=0.25,
        bos_token_id=1,
        eos_token_id=2,
        **settings,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Norms and biases begin as ones and zeros, with which little would be seen.
            if "norm" in name or "bias" in name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def ids(rows, length):
    return torch.randint(3, VOCAB, (rows, length))


def some_labels(input_ids, mask):
    """About half of the real positions, as a prompt's are not. No token is predicted from padding."""
    keep = (torch.rand(input_ids.shape) < 0.5) & mask.bool()
    keep[:, 1:] &= mask[:, :-1].bool()
    keep[:, -1] = mask[:, -1].bool()
    return torch.where(keep, input_ids, -100)


def left_padding(rows, length, pads):
    mask = torch.ones(rows, length, dtype=torch.int64)
    for row, pad in zip(mask, pads):
        row[:pad] = 0
    return mask


def inputs():
    """By name: input ids, attention mask or nothing, position ids or nothing, labels."""
    plain = ids(2, 12)
    full = torch.ones_like(plain)
    left = left_padding(2, 12, [0, 5])
    right = left.flip(1)
    positions = (left.cumsum(1) - 1).clamp(min=0)
    beyond = ids(1, 24)
    return {
        "plain": (plain, None, None, some_labels(plain, full)),
        "left": (plain, left, None, some_labels(plain, left)),
        "left, own positions": (plain, left, positions, some_labels(plain, left)),
        "right": (plain, right, None, some_labels(plain, right)),
        "beyond": (beyond, None, None, some_labels(beyond, torch.ones_like(beyond))),
    }


def long_input():
    """So many keys that the attention kernel is another one; made by a formula to keep the fixture small."""
    input_ids = (torch.arange(800) * 23 % 29 + 3)[None]
    mask = left_padding(1, 800, [30])
    labels = torch.full_like(input_ids, -100)
    labels[:, 50::50] = input_ids[:, 50::50]
    return input_ids, mask, None, labels


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8}
ROPES = {
    "theta": ({"rope_theta": 500.0, "rope_scaling": None}, {"rope_type": "default", "rope_theta": 500.0}),
    "linear": (
        {"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 2.5}},
        {"rope_type": "linear", "factor": 2.5, "rope_theta": 10000.0},
    ),
    "dynamic": (
        {"rope_theta": 10000.0, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
        {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
    ),
    "llama3": (
        {"rope_theta": 10000.0, "rope_scaling": {"rope_type": "llama3", **LLAMA3}},
        {"rope_type": "llama3", "rope_theta": 10000.0, **LLAMA3},
    ),
}


def load(folder, fields, dtype=torch.float32):
    """The checkpoint under a config.json with other fields; `None` takes config.json as it is."""
    with tempfile.TemporaryDirectory() as changed:
        shutil.copytree(OUT / folder, changed, dirs_exist_ok=True)
        path = Path(changed) / "config.json"
        config = json.loads(path.read_text())
        if any(key in ROPE_KEYS for key in fields):
            config = {key: value for key, value in config.items() if key not in ROPE_KEYS}
        path.write_text(json.dumps({**config, **fields}))
        return LlamaForCausalLM.from_pretrained(changed, dtype=dtype, attn_implementation="eager").eval()


def forward(model, batch):
    input_ids, mask, positions, labels = batch
    return model(input_ids=input_ids, attention_mask=mask, position_ids=positions, labels=labels)


def run(case, batch, gradients, logit_step):
    """Results of a case; `gradients` names the parameters, or is None for all."""
    model = load(case["checkpoint"], case["fields"][0])
    output = forward(model, batch)
    for fields in case["fields"][1:]:
        other = forward(load(case["checkpoint"], fields), batch)
        assert torch.equal(other.logits, output.logits), f"{case['name']}: spellings differ"
    output.loss.backward()
    mask = torch.ones_like(batch[0]) if batch[1] is None else batch[1]
    logits = output.logits[mask.bool()][::logit_step]
    result = {"logits": logits.detach(), "loss": output.loss.detach()}
    for name, parameter in model.named_parameters():
        if gradients is None or any(name.endswith(ending) for ending in gradients):
            result[f"grad.{name}"] = parameter.grad
    return {f"{case['name']}/{part}": value.float().contiguous().clone() for part, value in result.items()}


def main():
    if OUT.exists():
        shutil.rmtree(OUT)
    OUT.mkdir(parents=True)
    for name, settings in CHECKPOINTS.items():
        make_checkpoint(settings).save_pretrained(OUT / name)
    make_checkpoint(CHECKPOINTS["untied"]).bfloat16().save_pretrained(OUT / "sharded_bfloat16", max_shard_size="4KB")
    make_checkpoint(CHECKPOINTS["tied"]).half().save_pretrained(OUT / "float16")

    torch.manual_seed(SEED)
    batches = inputs()
    few = ["layers.0.self_attn.q_proj.weight"]
    listed, tensors = [], {}

    def add(name, checkpoint, batch, fields=({},), gradients=few, logit_step=4):
        case = {"name": name, "checkpoint": checkpoint, "fields": list(fields), "input": batch}
        tensors.update(run(case, long_input() if batch == "long" else batches[batch], gradients, logit_step))
        listed.append({**case, "logitStep": logit_step})

    for checkpoint in CHECKPOINTS:
        add(checkpoint, checkpoint, "plain", gradients=None, logit_step=1)
    for batch in ("left", "left, own positions", "right"):
        add(batch, "untied", batch)
    for name, (four, five) in ROPES.items():
        add(f"rope {name}", "untied", "beyond", (four, {"rope_parameters": five}))
    add("rope dynamic, short", "untied", "plain", (ROPES["dynamic"][0], {"rope_parameters": ROPES["dynamic"][1]}))
    add("gelu", "tied", "plain", ({"hidden_act": "gelu"},))
    add("gelu by tanh", "tied", "plain", ({"hidden_act": "gelu_pytorch_tanh"},))
    add("sharded bfloat16", "sharded_bfloat16", "plain")
    add("float16", "float16", "plain")
    add("long", "tied", "long", logit_step=50)

    # How far transformers' own half precision is from float32, as a measure for ours.
    errors = {}
    for dtype in (torch.bfloat16, torch.float16):
        for name in ("plain", "left"):
            batch = batches[name]
            with torch.no_grad():
                half, exact = (forward(load("untied", {}, used), batch).logits for used in (dtype, torch.float32))
            real = torch.ones_like(batch[0]) if batch[1] is None else batch[1]
            errors[f"{str(dtype).removeprefix('torch.')} {name}"] = (half - exact)[real.bool()].square().mean().sqrt().item()

    save_file(tensors, OUT / "expected.safetensors")
    parts = ("inputIds", "attentionMask", "positions", "labels")
    text = {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "seed": SEED,
        },
        "inputs": {
            name: {part: None if value is None else value.tolist() for part, value in zip(parts, batch)}
            for name, batch in batches.items()
        },
        "cases": listed,
        "halfPrecisionErrors": errors,
    }
    (OUT / "cases.json").write_text(json.dumps(text) + "\n")


main()
