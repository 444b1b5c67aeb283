"""Writes test/fixtures/optim/schedules.json: learning rates by transformers' get_scheduler.

Run from the project root: python parity/schedules.py
"""

import json
import platform
from pathlib import Path

import torch
import transformers
from transformers import get_scheduler

OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "optim" / "schedules.json"

# Schedule, steps, steps of warm-up, rate, options.
PLANNED = [
    ("cosine", 12, 2, 0.5, {"num_cycles": 1.25}),
    ("cosine_with_restarts", 12, 0, 1.0, {}),
    ("cosine_with_restarts", 23, 4, 0.02, {"num_cycles": 3}),
    ("cosine_with_restarts", 3, 5, 0.02, {}),
    ("polynomial", 12, 0, 1.0, {}),
    ("polynomial", 20, 5, 0.02, {"lr_end": 0.001, "power": 2.5}),
    ("inverse_sqrt", 12, 0, 1.0, {}),
    ("inverse_sqrt", 20, 5, 0.02, {}),
    ("inverse_sqrt", 20, 5, 0.02, {"timescale": 3}),
    ("cosine_with_min_lr", 12, 0, 1.0, {"min_lr_rate": 0.1}),
    ("cosine_with_min_lr", 20, 5, 0.02, {"min_lr": 0.004, "num_cycles": 1.5}),
    ("cosine_warmup_with_min_lr", 12, 0, 1.0, {"min_lr_rate": 0.1}),
    ("cosine_warmup_with_min_lr", 20, 5, 0.02, {"min_lr": 0.004, "num_cycles": 0.75}),
    ("cosine_warmup_with_min_lr", 20, 5, 0.02, {"min_lr_rate": 0.0, "warmup_lr_rate": 0.3}),
    ("cosine_warmup_with_min_lr", 20, 1, 0.02, {"min_lr_rate": 0.0, "warmup_lr_rate": 0.3}),
    ("warmup_stable_decay", 20, 0, 1.0, {"num_decay_steps": 6}),
    ("warmup_stable_decay", 20, 5, 0.02, {"num_decay_steps": 5, "min_lr_ratio": 0.25, "decay_type": "linear"}),
    ("warmup_stable_decay", 20, 5, 0.02, {"num_decay_steps": 9, "warmup_type": "cosine", "decay_type": "1-sqrt"}),
    (
        "warmup_stable_decay",
        20,
        6,
        0.02,
        {"num_decay_steps": 4, "num_stable_steps": 3, "warmup_type": "1-sqrt", "min_lr_ratio": 0.1, "num_cycles": 0.75},
    ),
    ("warmup_stable_decay", 8, 3, 0.02, {"num_decay_steps": 0}),
]

METRICS = [3.0, 2.0, 2.0, 1.99, 2.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.2, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]
PLATEAU = [
    {"patience": 1},
    {"patience": 0, "factor": 0.5, "min_lr": 0.004},
    {"patience": 1, "factor": 0.5, "cooldown": 2, "threshold": 0.3, "threshold_mode": "abs"},
    {"mode": "max", "patience": 2, "factor": 0.3, "threshold": 0.2},
    {"mode": "max", "patience": 1, "threshold": 0.2, "threshold_mode": "abs"},
    {"patience": 0, "factor": 0.9, "eps": 0.0017},
    {},
]


def optimizer(rate):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)


def planned(kind, total, warmup, rate, kwargs):
    optim = optimizer(rate)
    scheduler = get_scheduler(kind, optim, warmup, total, scheduler_specific_kwargs=kwargs)
    rates = []
    for _ in range(total + 2):
        rates.append(scheduler.get_last_lr()[0])
        optim.step()
        scheduler.step()
    return {"type": kind, "totalSteps": total, "warmupSteps": warmup, "learningRate": rate, "kwargs": kwargs, "rates": rates}


def plateau(kwargs):
    optim = optimizer(0.02)
    scheduler = get_scheduler("reduce_lr_on_plateau", optim, scheduler_specific_kwargs=kwargs)
    rates = []
    for metric in METRICS:
        scheduler.step(metric)
        rates.append(optim.param_groups[0]["lr"])
    return {"kwargs": kwargs, "rates": rates}


def main():
    text = {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "planned": [planned(*case) for case in PLANNED],
        "plateau": {"learningRate": 0.02, "metrics": METRICS, "runs": [plateau(kwargs) for kwargs in PLATEAU]},
    }
    OUT.write_text(json.dumps(text) + "\n")


main()
