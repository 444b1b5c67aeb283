"""Writes test/fixtures/craft/: pooling, InfoNCE with its gradients, and the metrics of CRAFT, by PyTorch.

Everything is computed in float64 from inputs that float32 holds exactly, by loops that say what is meant, and stored
as float32. The inputs are shared, `inputs/PART`; gradients and results are `CASE/PART`. What a case is made with
stands in losses.json.

Run from the project root: python parity/craft.py
"""

import json
import platform
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

SEED = 41
OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "craft"
PAIRS, LENGTH, HIDDEN, DIM, OWN = 4, 6, 6, 4, 2

MASKS = {
    "right": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0]],
    "left": [[0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1]],
    "gaps": [[0, 1, 0, 1, 1, 0], [1, 0, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0], [0, 1, 1, 0, 1, 1]],
}
OTHER = {"right": "left", "left": "gaps", "gaps": "right"}


def pool(hidden, mask, how):
    rows = []
    for states, row in zip(hidden, mask):
        real = states[torch.tensor(row, dtype=torch.bool)]
        if how == "last_token":
            rows.append(real[-1])
        elif how == "cls":
            rows.append(real[0])
        elif how == "mean":
            rows.append(real.mean(0))
        else:
            weights = torch.linspace(0.5, 1.0, len(real), dtype=torch.float64)
            rows.append((real * weights[:, None]).sum(0) / weights.sum())
    return torch.stack(rows)


def direction(similarities, temperature, negatives):
    """Sum and count over rows that have a negative, of the loss against the own candidate and the negatives."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for i, row in enumerate(similarities):
        chosen = [j for j in range(len(row)) if negatives[i][j]]
        if chosen:
            logits = torch.stack([row[i], *(row[j] for j in chosen)]) / temperature
            total = total + F.cross_entropy(logits[None], torch.tensor([0]))
            count += 1
    return total, count


def randn(*shape):
    return torch.randn(*shape).double()


def inputs():
    drawn = {
        "anchorHidden": randn(PAIRS, LENGTH, HIDDEN),
        "positiveHidden": randn(PAIRS, LENGTH, HIDDEN),
        "negativeHidden": randn(3, LENGTH, HIDDEN),
        "negatives": F.normalize(randn(3, DIM), dim=1),
        "hidden.weight": randn(HIDDEN, HIDDEN) * 0.5,
        "hidden.bias": randn(HIDDEN) * 0.1,
        "output.weight": randn(DIM, HIDDEN) * 0.5,
        "output.bias": randn(DIM) * 0.1,
        "ownHidden": randn(PAIRS, OWN, LENGTH, HIDDEN),
    }
    return {name: tensor.float() for name, tensor in drawn.items()}


def chosen(case, shared):
    """The inputs of a case in float64, to be differentiated."""
    x = {name: tensor.double() for name, tensor in shared.items()}
    for name in ("negativeHidden", "negatives"):
        count = case.get(name, 0)
        x[name] = x[name][:count]
        if count == 0:
            del x[name]
    if not case.get("own"):
        del x["ownHidden"]
    if not case["dim"]:
        x = {name: tensor for name, tensor in x.items() if not name.endswith(("weight", "bias"))}
    if case.get("learnable"):
        x["logTemperature"] = torch.tensor(case["temperature"]).log().double()
    return {name: tensor.requires_grad_() for name, tensor in x.items()}


def negatives_of(case, count):
    """Who is contrasted with whom: not with itself, not with what says the same, not with what is ruled out."""
    table = [[i != j for j in range(count)] for i in range(PAIRS)]
    if "hashes" in case:
        anchors, positives, others = case["hashes"]
        for i in range(PAIRS):
            own = case["ownHashes"][i] if "ownHashes" in case else []
            for j, text in enumerate([*positives, *others, *own]):
                same_anchor = j < PAIRS and anchors[i] == anchors[j]
                if text in (positives[i], anchors[i]) or same_anchor:
                    table[i][j] = False
    for i, j in case.get("ruledOut", []):
        table[i][j] = False
    # Of the further negatives, counted from the first of them.
    for i, j in case.get("ruledOutOfQueue", []):
        table[i][PAIRS + case.get("negativeHidden", 0) + j] = False
    return table


def info_nce(case, shared):
    x = chosen(case, shared)
    side = case["padding"]
    masks = {"anchor": MASKS[side], "positive": MASKS[OTHER[side]], "negative": MASKS[side][: case.get("negativeHidden", 0)]}

    if case.get("own"):
        masks["own"] = [[MASKS[side][(i + k) % PAIRS] for k in range(OWN)] for i in range(PAIRS)]

    def embed(name):
        return head(pool(x[f"{name}Hidden"], masks[name], case["pooling"]))

    def head(pooled):
        if case["dim"]:
            inner = F.gelu(F.linear(pooled, x["hidden.weight"], x["hidden.bias"]))
            pooled = F.linear(inner, x["output.weight"], x["output.bias"])
        return F.normalize(pooled, dim=1)

    anchor, positive = embed("anchor"), embed("positive")
    candidates = [positive]
    if case.get("negativeHidden"):
        candidates.append(embed("negative"))
    if case.get("negatives"):
        candidates.append(x["negatives"])
    similarities = anchor @ torch.cat(candidates).T
    if case.get("own"):
        own = [head(pool(x["ownHidden"][i], masks["own"][i], case["pooling"])) for i in range(PAIRS)]
        similarities = torch.cat([similarities, torch.stack([own[i] @ anchor[i] for i in range(PAIRS)])], 1)
    temperature = x["logTemperature"].exp() if case.get("learnable") else torch.tensor(case["temperature"]).double()
    table = negatives_of(case, similarities.shape[1])
    total, weight = direction(similarities, temperature, table)
    right = [all(row[i] > row[j] for j in range(len(row)) if table[i][j]) for i, row in enumerate(similarities)]
    ranks = [1 + sum(bool(row[j] >= row[i]) for j in range(len(row)) if table[i][j]) for i, row in enumerate(similarities)]
    counted = [any(row) for row in table]
    if case.get("symmetric"):
        flipped = [[table[j][i] for j in range(PAIRS)] for i in range(PAIRS)]
        back, back_weight = direction(similarities[:, :PAIRS].T, temperature, flipped)
        total, weight = (total + back) / 2, (weight + back_weight) / 2
    (total / weight).backward()
    scalars = {
        "sum": total.item(),
        "weight": weight,
        "accuracy": sum(r for r, c in zip(right, counted) if c) / sum(counted),
        "reciprocalRank": sum(1 / r for r, c in zip(ranks, counted) if c) / sum(counted),
    }
    name = case["name"]
    tensors = {f"{name}/grad.{part}": value.grad for part, value in x.items()}
    tensors |= {
        f"{name}/similarities": similarities.detach(),
        f"{name}/anchor": anchor.detach(),
        f"{name}/positive": positive.detach(),
    }
    return {**case, "masks": {k: m for k, m in masks.items() if m}, "expected": scalars}, tensors


def cases():
    base = {"padding": "right", "pooling": "last_token", "temperature": 0.05, "dim": DIM}
    for pooling in ("last_token", "mean", "weighted_mean", "cls"):
        for padding in MASKS:
            yield {**base, "name": f"{pooling}, {padding}", "pooling": pooling, "padding": padding}
    yield {**base, "name": "no head", "dim": None}
    yield {**base, "name": "learnable temperature", "learnable": True, "temperature": 0.2}
    yield {**base, "name": "lowest temperature", "temperature": 0.01, "learnable": True}
    yield {**base, "name": "highest temperature", "temperature": 100.0, "learnable": True}
    yield {**base, "name": "symmetric", "symmetric": True, "learnable": True}
    # Pairs 0 and 2 share the positive, 1 and 3 the anchor; the anchor of 0 is the positive of 3.
    texts = [[1, 2, 3, 2], [10, 11, 10, 1], []]
    yield {**base, "name": "duplicates", "hashes": texts}
    yield {**base, "name": "symmetric duplicates", "hashes": texts, "symmetric": True}
    # All that pair 0 could be contrasted with says the same, so it is left out.
    yield {**base, "name": "a pair without negatives", "hashes": [[1, 2, 1, 1], [10, 10, 12, 13], []], "symmetric": True}
    yield {**base, "name": "queue", "negatives": 3}
    yield {**base, "name": "hard negatives", "negativeHidden": 2}
    yield {**base, "name": "own negatives", "own": True, "pooling": "mean"}
    yield {**base, "name": "queue with own positives", "negatives": 3, "ruledOutOfQueue": [[0, 1], [2, 0], [2, 2]]}
    yield {**base, "name": "ruled out", "ruledOut": [[0, 1], [0, 2], [3, 0]]}
    yield {
        **base,
        "name": "everything",
        "pooling": "weighted_mean",
        "padding": "gaps",
        "learnable": True,
        "symmetric": True,
        "negativeHidden": 3,
        "negatives": 2,
        "hashes": [[1, 2, 3, 4], [10, 11, 10, 12], [1, 20, 21, 11, 22]],
        "ruledOut": [[2, 8]],
    }
    yield {
        **base,
        "name": "everything, with own negatives",
        "pooling": "mean",
        "padding": "left",
        "learnable": True,
        "symmetric": True,
        "own": True,
        "negatives": 3,
        "hashes": [[1, 2, 3, 4], [10, 11, 12, 13], [20, 21, 22]],
        # The anchor's and the positive's own texts are no negatives; that of another pair is one.
        "ownHashes": [[1, 30], [31, 11], [10, 32], [33, 34]],
        "ruledOut": [[3, 8]],
        "ruledOutOfQueue": [[0, 2], [1, 1]],
    }


def metrics():
    """Alignment, uniformity and consistency of random unit vectors, the latter over three batches."""
    anchor, positive = (F.normalize(randn(5, 4), dim=1).float().double() for _ in range(2))
    pairs = [(i, j) for i in range(5) for j in range(i)]
    kernels = torch.stack([torch.exp(-2 * (anchor[i] - anchor[j]).square().sum()) for i, j in pairs])
    batches = [F.normalize(randn(3, 4), dim=1).float().double() for _ in range(3)]
    reference, consistency, references = None, [], []
    for batch in batches:
        against = batch.mean(0) if reference is None else reference
        consistency.append(F.cosine_similarity(batch, against[None]).mean().item())
        reference = batch.mean(0) if reference is None else 0.9 * reference + 0.1 * batch.mean(0)
        references.append(reference)
    tensors = {
        "metrics/anchor": anchor,
        "metrics/positive": positive,
        "metrics/batches": torch.stack(batches),
        "metrics/references": torch.stack(references),
    }
    expected = {
        "alignment": (anchor - positive).square().sum(1).mean().item(),
        "uniformity": kernels.mean().log().item(),
        "consistency": consistency,
    }
    return expected, tensors


def main():
    torch.manual_seed(SEED)
    OUT.mkdir(parents=True, exist_ok=True)
    shared = inputs()
    listed, tensors = [], {f"inputs/{name}": tensor for name, tensor in shared.items()}
    for case in cases():
        described, made = info_nce(case, shared)
        listed.append(described)
        tensors |= made
    measured, made = metrics()
    tensors |= made
    save_file({name: tensor.float().contiguous() for name, tensor in tensors.items()}, OUT / "losses.safetensors")
    text = {
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "seed": SEED},
        "hiddenSize": HIDDEN,
        "infoNCE": listed,
        "metrics": measured,
    }
    (OUT / "losses.json").write_text(json.dumps(text) + "\n")


main()
