"""Writes test/fixtures/training/label_smoothing.json: the smoothed token loss of transformers, with its gradients.

Run from the project root: python parity/label_smoothing.py
"""

import json
import platform
from pathlib import Path

import torch
import transformers
from transformers.trainer_pt_utils import LabelSmoother

SEED = 29
OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "training" / "label_smoothing.json"
ROWS, LENGTH, SIZE, VOCABULARY = 2, 5, 6, 9


def case(epsilon, hidden, weight, labels):
    hidden = hidden.double().requires_grad_()
    weight = weight.double().requires_grad_()
    logits = hidden @ weight.T
    loss = LabelSmoother(epsilon)({"logits": logits}, labels, shift_labels=True)
    loss.backward()
    return {
        "epsilon": epsilon,
        "loss": loss.item(),
        "hidden_gradient": hidden.grad.flatten().tolist(),
        "weight_gradient": weight.grad.flatten().tolist(),
    }


def main():
    generator = torch.Generator().manual_seed(SEED)
    hidden = torch.randn(ROWS, LENGTH, SIZE, generator=generator)
    weight = torch.randn(VOCABULARY, SIZE, generator=generator)
    labels = torch.tensor([[-100, 3, 8, -100, 0], [1, 1, 7, 2, -100]])
    content = {
        "made_by": "parity/label_smoothing.py",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "seed": SEED,
        "shape": [ROWS, LENGTH, SIZE],
        "vocabulary": VOCABULARY,
        "hidden": hidden.flatten().tolist(),
        "weight": weight.flatten().tolist(),
        "labels": labels.tolist(),
        "cases": [case(epsilon, hidden, weight, labels) for epsilon in (0.0, 0.1, 0.6)],
    }
    OUT.write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
