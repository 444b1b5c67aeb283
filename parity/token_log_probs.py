"""Writes test/fixtures/nn/token_log_probs.json: log-probabilities of labels, entropies and their gradients by PyTorch.

Run from the project root: python parity/token_log_probs.py
"""

import json
import platform
from pathlib import Path

import torch

SEED = 41
OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "nn" / "token_log_probs.json"
ROWS, SIZE, VOCABULARY = 10, 6, 11
POSITIONS = [7, 4, 0, 4, 9, 2, 8]
LABELS = [3, 0, 8, 5, 1, 1, 10]


def values(hidden, weight, softcap, temperature):
    logits = hidden[POSITIONS] @ weight.T
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    logits = logits / temperature
    log_p = logits.log_softmax(-1)
    labels = torch.tensor(LABELS)
    return {
        "logProbs": log_p.gather(1, labels[:, None])[:, 0],
        "entropy": torch.distributions.Categorical(logits=logits).entropy(),
        "correct": (logits.argmax(-1) == labels).double(),
        "meanLogits": logits.mean(-1),
        "logCollisions": log_p.exp().square().sum(-1).log(),
    }


def case(hidden, weight, of_log_probs, of_entropy, softcap, temperature):
    def gradients(entropy_too):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        found = values(h, w, softcap, temperature)
        loss = (found["logProbs"] * of_log_probs).sum()
        if entropy_too:
            loss = loss + (found["entropy"] * of_entropy).sum()
        loss.backward()
        return {"hidden": h.grad.flatten().tolist(), "weight": w.grad.flatten().tolist()}

    return {
        "softcap": softcap,
        "temperature": temperature,
        "values": {name: x.tolist() for name, x in values(hidden, weight, softcap, temperature).items()},
        "gradients": gradients(False),
        "with_entropy": gradients(True),
    }


def main():
    generator = torch.Generator().manual_seed(SEED)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).double()

    hidden, weight = draw(ROWS, SIZE), draw(VOCABULARY, SIZE)
    # So that the label is the likeliest token in one row.
    hidden[7] = 2 * weight[3]
    of_log_probs, of_entropy = draw(len(LABELS)), draw(len(LABELS))
    settings = [(None, 1.0), (None, 0.7), (2.0, 1.0), (3.0, 1.5)]
    content = {
        "made_by": "parity/token_log_probs.py",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "seed": SEED,
        "rows": ROWS,
        "size": SIZE,
        "vocabulary": VOCABULARY,
        "hidden": hidden.flatten().tolist(),
        "weight": weight.flatten().tolist(),
        "positions": POSITIONS,
        "labels": LABELS,
        "of_log_probs": of_log_probs.tolist(),
        "of_entropy": of_entropy.tolist(),
        "cases": [case(hidden, weight, of_log_probs, of_entropy, *one) for one in settings],
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
