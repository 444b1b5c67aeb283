"""Writes test/fixtures/trl/: three optimiser steps of TRL's SFTTrainer on a tiny Llama, full and with PEFT's LoRA.

Everything runs in float32 on the CPU, on rows of tokens with labels, in the order in which they stand. `runs.json`
has the rows, the settings, what was logged at each step, and TRL's default options; `weights.safetensors` has what is
trained after the last step, `RUN/3/NAME`, and of adapters also before the first, `RUN/0/NAME`, and in between. The
model is in `model/`.

Run from the project root: python parity/trl.py
"""

import dataclasses
import json
import platform
import shutil
import sys
import tempfile
from enum import Enum
from pathlib import Path

# This file has the name of the library.
sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

import peft
import torch
import transformers
import trl
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import SFTConfig, SFTTrainer

SEED = 23
OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "trl"
VOCAB = 48
COMMON = {
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "max_steps": 3,
    "logging_steps": 1,
    "max_length": 64,
}
LORA = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
RUNS = {
    "lora": {
        "args": {**COMMON, "learning_rate": 1e-2, "max_grad_norm": 0.5, "weight_decay": 0.1},
        "lora": LORA,
    },
    "full": {
        "args": {**COMMON, "learning_rate": 2e-3, "max_grad_norm": 1.0, "weight_decay": 0.1},
        "lora": None,
    },
    "full, cosine after warm-up, never clipped": {
        "args": {
            **COMMON,
            "learning_rate": 2e-3,
            "max_grad_norm": 0.0,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 1,
            "adam_beta1": 0.8,
            "adam_beta2": 0.95,
            "adam_epsilon": 1e-6,
        },
        "lora": None,
    },
    "an epoch whose last window is short": {
        "args": {**{k: v for k, v in COMMON.items() if k != "max_steps"}, "num_train_epochs": 1, "learning_rate": 2e-3},
        "lora": None,
        "rows": 9,
    },
}


def make_rows():
    """Rows of 3 to 14 tokens; labels are the tokens, or those of the end, or those of the middle."""
    generator = torch.Generator().manual_seed(SEED)
    rows = []
    for i in range(12):
        length = 3 + (7 * i) % 12
        ids = torch.randint(3, VOCAB, (length,), generator=generator).tolist()
        first, last = [(0, length), (length // 2, length), (1, length - 1)][i % 3]
        labels = [token if first <= place < last else -100 for place, token in enumerate(ids)]
        rows.append({"input_ids": ids, "labels": labels})
    return rows


def make_model():
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=64,
        initializer_range=0.3,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=None,
    )
    return LlamaForCausalLM(config)


def make_tokenizer():
    """TRL wants one for its padding token; no text is read."""
    tokenizer = Tokenizer(models.WordLevel({f"t{i}": i for i in range(VOCAB)}, unk_token="t0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="t0", eos_token="t2")


class Recorder(TrainerCallback):
    def __init__(self, tensors, run):
        self.tensors, self.run, self.steps = tensors, run, []

    def keep(self, model, step, last):
        if not (last or hasattr(model, "peft_config")):
            return
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                short = name.replace(".default.", ".")
                self.tensors[f"{self.run}/{step}/{short}"] = parameter.detach().float().clone()

    def on_train_begin(self, args, state, control, model=None, **more):
        self.keep(model, 0, last=False)

    def on_step_end(self, args, state, control, model=None, **more):
        self.keep(model, state.global_step, last=state.global_step == state.max_steps)

    def on_log(self, args, state, control, logs=None, **more):
        if "loss" in logs:
            kept = ("loss", "grad_norm", "learning_rate", "epoch")
            self.steps.append({name: float(logs[name]) for name in kept})


def run(name, settings, rows, tensors):
    with tempfile.TemporaryDirectory() as folder:
        args = SFTConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            train_sampling_strategy="sequential",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=SEED,
            **settings["args"],
        )
        recorder = Recorder(tensors, name)
        trainer = SFTTrainer(
            model=LlamaForCausalLM.from_pretrained(OUT / "model", dtype=torch.float32),
            args=args,
            train_dataset=Dataset.from_list(rows),
            processing_class=make_tokenizer(),
            peft_config=LoraConfig(task_type="CAUSAL_LM", **settings["lora"]) if settings["lora"] else None,
            callbacks=[recorder],
        )
        trainer.train()
        return recorder.steps


def defaults():
    """TRL's defaults of the options that are plain values."""
    fields = {field.name: field.default for field in dataclasses.fields(SFTConfig)}
    plain = {name: value for name, value in fields.items() if isinstance(value, (bool, int, float, str, type(None)))}
    # An enumeration counts as its text.
    return {name: str(value.value) if isinstance(value, Enum) else value for name, value in plain.items()}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    model = make_model()
    model.save_pretrained(OUT / "model")
    rows = make_rows()
    tensors, runs = {}, []
    for name, settings in RUNS.items():
        used = rows[: settings.get("rows", len(rows))]
        steps = run(name, settings, used, tensors)
        runs.append({"name": name, **settings, "rows": len(used), "steps": steps})
    save_file(tensors, OUT / "weights.safetensors")
    text = {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "trl": trl.__version__,
            "peft": peft.__version__,
            "seed": SEED,
        },
        "rows": rows,
        "runs": runs,
        "defaults": defaults(),
    }
    (OUT / "runs.json").write_text(json.dumps(text, indent=1) + "\n")


main()
