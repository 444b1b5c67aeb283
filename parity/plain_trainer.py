"""Writes test/fixtures/plain_trainer/: optimiser steps of transformers' Trainer on the tiny Llama of fixtures/trl.

Everything runs in float32 on the CPU, in the order in which rows stand, with rows padded on the right. `default` has the
Trainer's own token loss. In `scored` compute_loss is overridden: the mean token loss of a
micro-batch, and the squared error of a linear layer beside the model that reads the mean hidden state of a row and
predicts the row's column `score`. `runs.json` has rows, settings and logs; `weights.safetensors` what is trained after
the last step, `RUN/NAME`, and the layer before the first, `scored/start/NAME`.

Run from the project root: python parity/plain_trainer.py
"""

import json
import platform
import shutil
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from torch.nn import functional
from transformers import LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

SEED = 31
FIXTURES = Path(__file__).resolve().parent.parent / "test" / "fixtures"
OUT = FIXTURES / "plain_trainer"
VOCAB = 48
COMMON = {
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 3,
    "num_train_epochs": 1,
    "learning_rate": 5e-3,
    "weight_decay": 0.1,
    "warmup_steps": 1,
    "lr_scheduler_type": "cosine",
    "max_grad_norm": 0.5,
    "logging_steps": 1,
}


def make_rows(count, seed):
    """Rows of 4 to 11 tokens with labels on all but the first third, and a score."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for i in range(count):
        length = 4 + (5 * i) % 8
        ids = torch.randint(3, VOCAB, (length,), generator=generator).tolist()
        labels = [token if place >= length / 3 else -100 for place, token in enumerate(ids)]
        score = round(torch.rand((), generator=generator).item(), 3)
        rows.append({"input_ids": ids, "labels": labels, "score": score})
    return rows


def collate(rows):
    length = max(len(row["input_ids"]) for row in rows)

    def padded(column, fill):
        return torch.tensor([row[column] + [fill] * (length - len(row[column])) for row in rows])

    mask = [[1] * len(row["input_ids"]) + [0] * (length - len(row["input_ids"])) for row in rows]
    return {
        "input_ids": padded("input_ids", 0),
        "attention_mask": torch.tensor(mask),
        "labels": padded("labels", -100),
        "scores": torch.tensor([row["score"] for row in rows]),
    }


def without_scores(rows):
    batch = collate(rows)
    del batch["scores"]
    return batch


class ScoredTrainer(Trainer):
    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        # The loss is a mean of its own: micro-batches count the same.
        self.model_accepts_loss_kwargs = False

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        ids, mask, labels = inputs["input_ids"], inputs["attention_mask"], inputs["labels"]
        hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        logits = model.lm_head(hidden)[:, :-1]
        tokens = functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
        pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        error = (model.score(pooled)[:, 0] - inputs["scores"]).square().mean()
        return tokens + 0.5 * error


class Recorder(TrainerCallback):
    def __init__(self):
        self.steps = []

    def on_log(self, args, state, control, logs=None, **more):
        if "loss" in logs:
            self.steps.append({name: float(logs[name]) for name in ("loss", "grad_norm", "learning_rate")})


def run(name, rows, tensors):
    scored = name == "scored"
    model = LlamaForCausalLM.from_pretrained(FIXTURES / "trl" / "model", dtype=torch.float32)
    if scored:
        torch.manual_seed(SEED)
        model.score = torch.nn.Linear(model.config.hidden_size, 1)
        for key, value in model.score.state_dict().items():
            tensors[f"scored/start/score.{key}"] = value.clone()
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder,
            use_cpu=True,
            train_sampling_strategy="sequential",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            seed=SEED,
            **COMMON,
        )
        recorder = Recorder()
        trainer = (ScoredTrainer if scored else Trainer)(
            model=model,
            args=args,
            train_dataset=rows,
            data_collator=collate if scored else without_scores,
            callbacks=[recorder],
        )
        trainer.train()
    for key, value in model.named_parameters():
        tensors[f"{name}/{key}"] = value.detach().clone()
    return {"name": name, "steps": recorder.steps}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    rows = make_rows(21, SEED)
    tensors = {}
    runs = [run(name, rows, tensors) for name in ("default", "scored")]
    save_file(tensors, OUT / "weights.safetensors")
    text = {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "seed": SEED,
        },
        "args": COMMON,
        "rows": rows,
        "runs": runs,
    }
    (OUT / "runs.json").write_text(json.dumps(text, indent=1) + "\n")


main()
