"""Writes test/fixtures/models/classifiers.json: what transformers' ...ForSequenceClassification computes on the tiny
checkpoints of parity/architectures.py, with a head of known numbers, and how it saves them.

Run from the project root, after parity/architectures.py: python parity/classifiers.py
"""

import json
import platform
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForSequenceClassification

FIXTURES = Path(__file__).resolve().parent.parent / "test" / "fixtures"
OUT = FIXTURES / "models" / "classifiers.json"
LABELS = 3
PAD = 0
# Token 0 is padding: rows end before it, also where it stands at the end of the text itself.
ROWS = [[5, 3, 9, 2], [7, 1, 4, 8, 6, 2, 3], [11]]


def case(folder):
    config = AutoConfig.from_pretrained(folder)
    if config.model_type == "gemma3":
        return None
    config.pad_token_id = PAD
    config.num_labels = LABELS
    # Only eager attention caps scores as Gemma 2 does.
    options = {"config": config, "dtype": torch.float32, "attn_implementation": "eager"}
    model = AutoModelForSequenceClassification.from_pretrained(folder, **options).eval()
    hidden = config.get_text_config().hidden_size
    with torch.no_grad():
        model.score.weight.copy_(torch.sin(torch.arange(LABELS * hidden, dtype=torch.float32)).view(LABELS, hidden))
        length = max(map(len, ROWS))
        ids = torch.tensor([row + [PAD] * (length - len(row)) for row in ROWS])
        logits = model(input_ids=ids, attention_mask=(ids != PAD).long()).logits
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        with safe_open(Path(saved) / "model.safetensors", "pt") as file:
            names = sorted(file.keys())
        written = json.loads((Path(saved) / "config.json").read_text())
    fields = ("architectures", "id2label", "label2id", "pad_token_id", "model_type")
    return {
        "checkpoint": str(folder.relative_to(FIXTURES)),
        "scores": logits.tolist(),
        "names": names,
        "config": {key: written[key] for key in fields},
    }


def main():
    folders = [path.parent for path in sorted((FIXTURES / "architectures").glob("*/config.json"))]
    folders += [FIXTURES / "llama" / name for name in ("tied", "untied")]
    content = {
        "made_by": "parity/classifiers.py",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "rows": ROWS,
        "labels": LABELS,
        "pad": PAD,
        "cases": [found for folder in folders if (found := case(folder)) is not None],
    }
    OUT.write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
