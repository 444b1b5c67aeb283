"""Writes test/fixtures/training/flow.json: the events of transformers' Trainer in short runs, with the checkpoints that
are left and trainer_state.json's fields.

Run from the project root: python parity/flow.py
"""

import json
import os
import platform
import tempfile
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "test" / "fixtures" / "training" / "flow.json"

EVENTS = [
    "on_train_begin", "on_epoch_begin", "on_step_begin", "on_substep_end", "on_pre_optimizer_step", "on_optimizer_step",
    "on_step_end", "on_log", "on_evaluate", "on_save", "on_prediction_step", "on_epoch_end", "on_train_end",
]  # fmt: skip

# 10 rows in micro-batches of 2, two to a step: three steps an epoch, the last of them short.
RUNS = [
    {"num_train_epochs": 2, "logging_steps": 2, "eval_strategy": "steps", "eval_steps": 2, "save_steps": 4},
    {"num_train_epochs": 2, "logging_strategy": "epoch", "eval_strategy": "epoch", "save_strategy": "epoch", "logging_steps": 10, "eval_steps": 10},
    {"max_steps": 4, "logging_steps": 0.5, "logging_first_step": True, "eval_on_start": True, "save_strategy": "no"},
    {"max_steps": 4, "logging_strategy": "no", "eval_strategy": "steps", "eval_steps": 1, "eval_delay": 3, "save_strategy": "no"},
    {"num_train_epochs": 2, "logging_strategy": "no", "eval_strategy": "epoch", "eval_delay": 1.5, "save_strategy": "no"},
]  # fmt: skip


class Recorder(TrainerCallback):
    def __init__(self):
        self.events = []


def recording(name):
    def handle(self, args, state, control, **kwargs):
        # Evaluations and the summary at the end are logged too; here only the entries of training steps count.
        if name == "on_log" and "loss" not in kwargs["logs"]:
            return
        self.events.append([name, state.global_step])

    return handle


for event in EVENTS:
    setattr(Recorder, event, recording(event))


def run(options):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(ROOT / "test" / "fixtures" / "trl" / "model", dtype=torch.float32)
    rows = [{"input_ids": [3 + i, 4, 5, 6], "labels": [3 + i, 4, 5, 6]} for i in range(10)]
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder, per_device_train_batch_size=2, per_device_eval_batch_size=2,
            gradient_accumulation_steps=2, report_to="none", use_cpu=True, disable_tqdm=True, **options,
        )  # fmt: skip
        Trainer(model=model, args=args, train_dataset=rows, eval_dataset=rows[:4], callbacks=[recorder]).train()
        checkpoints = sorted(name for name in os.listdir(folder) if name.startswith("checkpoint"))
        state = None
        if checkpoints:
            with open(os.path.join(folder, checkpoints[-1], "trainer_state.json")) as file:
                state = json.load(file)
            state["log_history"] = [sorted(entry) for entry in state["log_history"]]
    return {"options": options, "events": recorder.events, "checkpoints": checkpoints, "state": state}


def main():
    OUT.parent.mkdir(parents=True, exist_ok=True)
    versions = {
        "python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__,
    }  # fmt: skip
    OUT.write_text(json.dumps({"versions": versions, "runs": [run(options) for options in RUNS]}) + "\n")


main()
