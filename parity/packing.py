"""Writes test/fixtures/data/packing.json: rows as TRL packs them, and the loss of a packed batch in transformers.

`plans` has what pack_dataset makes of rows of the given lengths, whose tokens are numbered through: of each packed row
the runs [first number, count]. `batch` has rows with labels, what TRL's padding-free collator makes of them when they
are packed, and the token loss and its gradient of transformers' Llama in test/fixtures/trl/model on that batch, in
float64, where attention keeps to the documents.

Run from the project root: python parity/packing.py
"""

import json
import platform
import random
import sys
from pathlib import Path

sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

import torch
import torch.nn.functional as F
import transformers
import trl
from datasets import Dataset, concatenate_datasets
from transformers import LlamaForCausalLM
from trl import pack_dataset
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

SEED = 31
FIXTURES = Path(__file__).resolve().parent.parent / "test" / "fixtures"
STRATEGIES = ["bfd", "bfd_split", "wrapped"]


def runs(ids):
    """[first, count] of each run of rising numbers."""
    found = []
    for number in ids:
        if found and number == sum(found[-1]):
            found[-1][1] += 1
        else:
            found.append([number, 1])
    return found


def plan(lengths, max_length):
    ids, start = [], 0
    for length in lengths:
        # A gap between rows, so that two of them never make one run.
        ids.append(list(range(start, start + length)))
        start += length + 1
    packed = {}
    for strategy in STRATEGIES:
        # Beyond the first group of 1000 rows, TRL's "wrapped" reads the tokens of the first one again and loses those
        # of the others: each group is a dataset of its own.
        size = 1000 if strategy == "wrapped" else len(ids)
        rows = concatenate_datasets(
            [
                pack_dataset(Dataset.from_dict({"input_ids": ids[at : at + size]}), max_length, strategy)
                for at in range(0, len(ids), size)
            ]
        )
        packed[strategy] = [runs(row) for row in rows["input_ids"]]
        if strategy != "wrapped":
            for row, lengths_of in zip(rows["input_ids"], rows["seq_lengths"]):
                assert sum(lengths_of) == len(row)
    return {"lengths": lengths, "max_length": max_length, "packed": packed}


def batch(generator):
    rows = []
    for length in [9, 3, 5, 2, 7, 4, 12, 6]:
        ids = [generator.randrange(3, 48) for _ in range(length)]
        labels = [-100 if place < length // 3 else token for place, token in enumerate(ids)]
        rows.append({"input_ids": ids, "labels": labels})
    packed = pack_dataset(Dataset.from_list(rows), 16, "bfd")
    collated = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(list(packed))
    model = LlamaForCausalLM.from_pretrained(
        FIXTURES / "trl" / "model", dtype=torch.float64, attn_implementation="eager"
    )
    logits = model(input_ids=collated["input_ids"], position_ids=collated["position_ids"], use_cache=False).logits
    loss = F.cross_entropy(logits[0, :-1], collated["labels"][0, 1:], ignore_index=-100, reduction="sum")
    # The same rows one by one, so that the fixture cannot hold attention across documents.
    alone = sum(
        F.cross_entropy(
            model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1],
            torch.tensor(row["labels"][1:]),
            ignore_index=-100,
            reduction="sum",
        )
        for row in rows
    )
    assert torch.allclose(loss, alone, rtol=1e-6), (loss, alone)
    loss.backward()
    norms = {name: parameter.grad.norm().item() for name, parameter in model.named_parameters()}
    return {
        "rows": rows,
        "max_length": 16,
        "collated": {name: tensor[0].tolist() for name, tensor in collated.items()},
        "loss": loss.item(),
        "labels": int((collated["labels"][0, 1:] != -100).sum()),
        "gradient_norms": norms,
    }


def main():
    generator = random.Random(SEED)
    content = {
        "made_by": "parity/packing.py",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "trl": trl.__version__,
        },
        "seed": SEED,
        "plans": [
            plan([5, 2, 3, 1], 4),
            plan([0, 7, 7, 1, 0, 3, 16, 8, 8, 9, 2, 2, 2, 5, 11, 6], 8),
            plan([generator.randrange(1, 40) for _ in range(150)], 32),
            # More than one of the groups in which rows are packed.
            plan([generator.randrange(1, 9) for _ in range(1013)], 64),
        ],
        "batch": batch(generator),
    }
    path = FIXTURES / "data" / "packing.json"
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
