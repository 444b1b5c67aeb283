"""Writes test/fixtures/optim/optim.json: AdamW and clipping by PyTorch, learning rates by transformers.

Run from the project root: python parity/optim.py
"""

import json
import platform
from pathlib import Path

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, get_scheduler

SEED = 11
OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "optim" / "optim.json"
STEPS = 5


def adamw(name, shapes, groups, settings, divisor, rates):
    """`groups`: lists of indices of parameters, each with its weight decay."""
    torch.manual_seed(SEED)
    parameters = [torch.randn(shape).requires_grad_() for shape in shapes]
    start = [p.detach().flatten().tolist() for p in parameters]
    optimizer = torch.optim.AdamW(
        [{"params": [parameters[i] for i in members], "weight_decay": decay} for members, decay in groups],
        lr=0.0,
        **settings,
    )
    steps = []
    for step in range(STEPS):
        gradients = [torch.randn(shape) * 10.0 ** (step - 2) for shape in shapes]
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = gradient / divisor
        for group in optimizer.param_groups:
            group["lr"] = rates[step]
        optimizer.step()
        steps.append(
            {
                "gradients": [g.flatten().tolist() for g in gradients],
                "parameters": [p.detach().flatten().tolist() for p in parameters],
                "means": [optimizer.state[p]["exp_avg"].flatten().tolist() for p in parameters],
                "squares": [optimizer.state[p]["exp_avg_sq"].flatten().tolist() for p in parameters],
            }
        )
    return {
        "name": name,
        "shapes": shapes,
        "groups": [{"members": members, "weightDecay": decay} for members, decay in groups],
        "betas": settings.get("betas", (0.9, 0.999)),
        "eps": settings.get("eps", 1e-8),
        "divisor": divisor,
        "rates": rates,
        "start": start,
        "steps": steps,
    }


def schedules():
    tables = []
    for kind in ("linear", "cosine", "constant", "constant_with_warmup"):
        for total, warmup in ((10, 0), (10, 3), (7, 0.25), (4, 4), (3, 5), (1, 0), (100, 0.03)):
            if kind == "constant" and warmup:
                continue
            parameter = torch.nn.Parameter(torch.zeros(1))
            optimizer = torch.optim.SGD([parameter], lr=1.0)
            # As transformers' TrainingArguments.get_warmup_steps counts them.
            steps = transformers.TrainingArguments(
                output_dir="unused", warmup_steps=warmup, use_cpu=True, report_to="none"
            ).get_warmup_steps(total)
            scheduler = get_scheduler(kind, optimizer, num_warmup_steps=steps, num_training_steps=total)
            rates = []
            for _ in range(total + 2):
                rates.append(scheduler.get_last_lr()[0])
                optimizer.step()
                scheduler.step()
            tables.append({"type": kind, "totalSteps": total, "warmupSteps": warmup, "rates": rates})
    return tables


def clipping():
    """What clip_grad_norm_ multiplies gradients by."""
    cases = []
    torch.manual_seed(SEED)
    for size, limit in ((3.0, 1.0), (1.0, 1.0), (0.01, 1.0), (1e-4, 1e-5), (250.0, 0.5), (0.0, 1.0)):
        gradients = [torch.randn(3, 2), torch.randn(5), torch.randn(())]
        norm = torch.sqrt(sum((g**2).sum() for g in gradients))
        parameters = [torch.zeros_like(g).requires_grad_() for g in gradients]
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = gradient * (size / norm)
        before = [p.grad.flatten().tolist() for p in parameters]
        total = torch.nn.utils.clip_grad_norm_(parameters, limit)
        after = [p.grad.flatten().tolist() for p in parameters]
        cases.append({"maxNorm": limit, "norm": total.item(), "before": before, "after": after})
    return cases


def decayed():
    """Which parameters transformers decays, of a Llama with biases."""
    config = LlamaConfig(
        vocab_size=8, hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    names = set(Trainer.get_decay_parameter_names(None, model))
    return {name: name in names for name, _ in model.named_parameters()}


def main():
    OUT.parent.mkdir(parents=True, exist_ok=True)
    rates = [0.1, 0.05, 0.2, 0.0, 0.01]
    shapes = [[3, 4], [5], [2, 2, 2], []]
    text = {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "seed": SEED,
        },
        "adamw": [
            adamw("one group", shapes, [([0, 1, 2, 3], 0.0)], {}, 1.0, rates),
            adamw("two groups", shapes, [([0, 2], 0.3), ([1, 3], 0.0)], {"betas": (0.8, 0.95), "eps": 1e-4}, 1.0, rates),
            adamw("divided", shapes, [([3, 0], 0.01), ([2, 1], 0.0)], {}, 37.5, rates),
        ],
        "schedules": schedules(),
        "clipping": clipping(),
        "decayed": decayed(),
    }
    OUT.write_text(json.dumps(text) + "\n")


main()
