"""Writes test/fixtures/models: files by safetensors, transformers and PEFT, and what they make of broken ones.

Run from the project root: python parity/checkpoints.py
"""

import base64
import json
import math
import platform
import random
import shutil
import struct
import tempfile
import warnings
from pathlib import Path

import peft
import safetensors
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

SEED = 11
ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "test" / "fixtures" / "models"
VERSIONS = {
    "python": platform.python_version(),
    "torch": torch.__version__,
    "safetensors": safetensors.__version__,
    "transformers": transformers.__version__,
    "peft": peft.__version__,
    "seed": SEED,
}


def write_json(name: str, value) -> None:
    text = json.dumps({"versions": VERSIONS, **value}, ensure_ascii=False, indent=1, allow_nan=False)
    (OUT / name).write_text(text + "\n", encoding="utf-8")


def listed(tensors: dict) -> dict:
    """Exact values as numbers; float64 holds every value of the narrower types."""
    return {
        name: {
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": list(tensor.shape),
            "values": tensor.reshape(-1).to(torch.float64 if tensor.is_floating_point() else torch.int64).tolist(),
        }
        for name, tensor in tensors.items()
    }


def mixed_file() -> None:
    """All dtypes, names that sort differently by UTF-16 and by code point, scalars and empty tensors."""
    tensors = {
        "b.float32": torch.randn(2, 3),
        "a.float32": torch.tensor([0.1, -0.0, 1e-40, 3.4e38]),
        "10": torch.tensor([1.5]),
        "float16": torch.randn(3).half(),
        "bfloat16": torch.randn(5, 1).bfloat16(),
        "another bfloat16": torch.randn(1).bfloat16(),
        "float64": torch.tensor(math.pi, dtype=torch.float64),
        "int64": torch.tensor([[-(2**40)], [7]]),
        "int32": torch.tensor([-5, 2**31 - 1], dtype=torch.int32),
        "int8": torch.tensor([-128, 127, 3], dtype=torch.int8),
        "uint8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "empty": torch.zeros(0, 4),
        "\uffee \"quoted\" \\ / \n \u0001 \u2028 é": torch.tensor([2.0]),
        "\U0001f600": torch.tensor([3.0]),
    }
    save_file(tensors, OUT / "mixed.safetensors", metadata={"format": "pt"})
    save_file({}, OUT / "empty.safetensors")
    write_json("mixed.json", {"tensors": listed(tensors)})


def tiny_model() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=16,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        eos_token_id=[2, 3],
    )
    return LlamaForCausalLM(config)


def model_folders(model: LlamaForCausalLM) -> None:
    for name, size in (("single", 5_000_000), ("sharded", 800)):
        shutil.rmtree(OUT / name, ignore_errors=True)
        model.save_pretrained(OUT / name, max_shard_size=size)
    state = model.state_dict()
    write_json("model.json", {"tensors": listed(state)})


def adapter_folder(model: LlamaForCausalLM) -> None:
    config = LoraConfig(r=2, lora_alpha=5, lora_dropout=0.0, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    # PEFT keeps a set, whose order differs from run to run.
    adapted.peft_config["default"].target_modules = ["q_proj", "v_proj"]
    folder = OUT / "adapter"
    shutil.rmtree(folder, ignore_errors=True)
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    write_json("adapter.json", {"tensors": listed(load_file(folder / "adapter_model.safetensors"))})


CONFIGS = {
    "nothing but the type": {"model_type": "llama"},
    "llama 2": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "num_attention_heads": 4,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "pretraining_tp": 1,
        "torch_dtype": "float16",
        "use_cache": True,
        "vocab_size": 100,
    },
    "llama 3.1": {
        "model_type": "llama",
        "hidden_size": 64,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "max_position_embeddings": 131072,
        "bos_token_id": 90,
        "eos_token_id": [91, 92, 93],
        "rope_scaling": {
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "rope_theta": 500000.0,
        "torch_dtype": "bfloat16",
        "vocab_size": 100,
    },
    "llama3 scaling without original length": {
        "model_type": "llama",
        "max_position_embeddings": 256,
        "rope_scaling": {"factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_type": "llama3"},
    },
    "llama3 scaling with the length beside it": {
        "model_type": "llama",
        "max_position_embeddings": 256,
        "original_max_position_embeddings": 32,
        "rope_scaling": {
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
            "rope_type": "llama3",
        },
    },
    "linear, named type": {
        "model_type": "llama",
        "rope_theta": 20000.0,
        "rope_scaling": {"type": "linear", "factor": 4.0},
    },
    "dynamic": {"model_type": "llama", "rope_scaling": {"rope_type": "dynamic", "type": "dynamic", "factor": 2.5}},
    "theta inside the scaling": {
        "model_type": "llama",
        "rope_theta": 1000.0,
        "rope_scaling": {"rope_type": "linear", "factor": 2.0, "rope_theta": 2000.0},
    },
    "rope_parameters with theta beside them": {
        "model_type": "llama",
        "rope_theta": 3000.0,
        "rope_parameters": {"rope_type": "linear", "factor": 2.0},
    },
    "both spellings": {
        "model_type": "llama",
        "rope_scaling": {"rope_type": "dynamic", "factor": 2.0},
        "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 4000.0},
    },
    "empty scaling beside parameters": {
        "model_type": "llama",
        "rope_scaling": {},
        "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 4000.0},
    },
    "both dtypes": {"model_type": "llama", "torch_dtype": "float16", "dtype": "bfloat16"},
    "integers, nulls and unknown fields": {
        "model_type": "llama",
        "head_dim": None,
        "num_key_value_heads": None,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": 0,
        "tie_word_embeddings": True,
        "attention_bias": True,
        "mlp_bias": True,
        "attention_dropout": 0.25,
        "hidden_act": "gelu",
        "rope_interleaved": False,
        "is_llama_config": True,
        "note": "größer",
        "rope_theta": 10000,
    },
    "head size of its own": {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "head_dim": 32},
}


def configs() -> None:
    cases = {}
    for name, given in CONFIGS.items():
        config = LlamaConfig(**json.loads(json.dumps(given)))
        saved = config.to_json_string()
        # Scaled embeddings settle their parameters when they are built.
        if config.rope_parameters["rope_type"] != "default":
            LlamaRotaryEmbedding(config)
        expected = {
            key: getattr(config, key)
            for key in (
                "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads head_dim "
                "hidden_act max_position_embeddings initializer_range rms_norm_eps tie_word_embeddings attention_bias "
                "attention_dropout mlp_bias pad_token_id bos_token_id eos_token_id rope_parameters"
            ).split()
        }
        expected["dtype"] = None if config.dtype is None else str(config.dtype).removeprefix("torch.")
        cases[name] = {
            "given": json.dumps(given, indent=2, sort_keys=True) + "\n",
            "saved": saved,
            "expected": expected,
        }
    write_json("configs.json", {"cases": cases})


def python_json() -> None:
    """Spellings of numbers and texts by Python's json module."""
    numbers = [0.0, 1.0, -1.0, 1e-4, 9.9e-5, 1e-5, 1e15, 1e16, 1e17, 123456789012345680.0, 1e21, 1e22, 5e-324, 1.5e300]
    numbers += [random.choice([-1, 1]) * random.random() * 10.0 ** random.randint(-25, 25) for _ in range(200)]
    numbers += [float(random.randint(0, 10**18)) for _ in range(50)]
    document = {
        "numbers": [*numbers, 0, 1, -17, 2**53 - 1, 2**53 + 1, 10**30, float("inf"), float("-inf"), float("nan")],
        "texts": ["", "é", "\U0001f600", "\u2028", "\"\\/\n\t\u0001\x7f"],
        "\U0001f600": None,
        "\uffee": [],
        "nested": {"b": {}, "a": [[1.0], {"c": True, "d": False}]},
    }
    cases = [{"value": repr(number), "text": json.dumps(number)} for number in numbers]
    write_json("python_json.json", {"floats": cases, "document": json.dumps(document, indent=2, sort_keys=True)})


def entry(begin: int, end: int, shape=(2,), dtype="F32") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def packed(header, data: int, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(data)


def verdicts() -> None:
    """Files with good and with broken headers, and whether Python's library reads them."""
    good = {"a": entry(0, 8), "b": entry(8, 16)}
    files = {
        "good": packed(good, 16),
        "entries out of order": packed({"b": entry(8, 16), "a": entry(0, 8)}, 16),
        "an empty tensor between others": packed({"a": entry(0, 8), "e": entry(8, 8, (0, 3)), "b": entry(8, 16)}, 16),
        "spaces after the header": packed(json.dumps(good).encode() + b"   ", 16),
        "null metadata": packed({"__metadata__": None, **good}, 16),
        "an empty file": b"",
        "seven bytes": b"\x07\x00\x00\x00\x00\x00\x00",
        "cut in the header": packed(good, 16)[:40],
        "cut in the data": packed(good, 16)[:-3],
        "too long": packed(good, 20),
        "length beyond the file": packed(good, 16, 5000),
        "huge length": packed(good, 16, 2**63),
        "length too short": packed(good, 16, 20),
        "length too long by two": packed(good, 16, len(json.dumps(good, separators=(",", ":"))) + 2),
        "header not JSON": packed(b"these are not weights", 16),
        "header not UTF-8": packed(b'{"\xff\xfe":{}}', 0),
        "header a list": packed(b"[1,2,3]", 0),
        "metadata not texts": packed({"__metadata__": {"step": 3}, **good}, 16),
        "overlap": packed({"a": entry(0, 8), "b": entry(4, 12)}, 12),
        "the same bytes twice": packed({"a": entry(0, 8), "b": entry(0, 8)}, 8),
        "gap": packed({"a": entry(0, 8), "b": entry(12, 20)}, 20),
        "gap at the start": packed({"a": entry(4, 12)}, 12),
        "beyond the end": packed({"a": entry(0, 8), "b": entry(8, 16)}, 8),
        "shape larger than its bytes": packed({"a": entry(0, 8, (3,))}, 8),
        "shape smaller than its bytes": packed({"a": entry(0, 8, (1,))}, 8),
        "negative size": packed({"a": entry(0, 8, (-2,))}, 8),
        "shape that overflows": packed({"a": entry(0, 8, (2**40, 2**40, 2**40))}, 8),
        "fractional size": packed({"a": entry(0, 8, (2.5,))}, 8),
        "offsets descending": packed({"a": entry(8, 0)}, 8),
        "three offsets": packed({"a": {**entry(0, 8), "data_offsets": [0, 4, 8]}}, 8),
        "no shape": packed({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, 8),
        "unknown dtype": packed({"a": entry(0, 8, (2,), "Q32")}, 8),
        "no dtype": packed({"a": {"shape": [2], "data_offsets": [0, 8]}}, 8),
        "entry not an object": packed({"a": 3}, 8),
    }
    cases = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.safetensors"
        for name, content in files.items():
            path.write_bytes(content)
            try:
                load_file(path)
                accepted = True
            except safetensors.SafetensorError:
                accepted = False
            cases[name] = {"file": base64.b64encode(content).decode(), "accepted": accepted}
    write_json("verdicts.json", {"cases": cases})


def main() -> None:
    warnings.simplefilter("ignore")
    OUT.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    random.seed(SEED)
    mixed_file()
    model = tiny_model()
    model_folders(model)
    adapter_folder(model)
    configs()
    python_json()
    verdicts()


if __name__ == "__main__":
    main()
