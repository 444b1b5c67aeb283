"""Writes test/fixtures/cli/stories.json: what transformers computes for rows of text with the model stories260K.

For each length to which rows are cut: the mean negative log-likelihood per predicted token over all rows, and the
number of those tokens; each row encoded as the tokenizer does by default. For prompts: the ids of a greedy continuation.

Run from the project root: python parity/cli.py ../shared/data/stories260K
"""

import json
import pathlib
import sys

import torch
import transformers

FOLDER = sys.argv[1]
OUT = pathlib.Path(__file__).resolve().parent.parent / "test/fixtures/cli/stories.json"

# Of unequal length, so that batches have padding; with line breaks, other scripts and characters outside the vocabulary.
ROWS = [
    "Once upon a time, there was a little boy named Tim. He liked to play with his red ball in the garden.",
    "The cat sat.",
    "Lily went to the park with her mom. She saw a big dog and a small bird.\nThe bird could sing. \"I like you,\" said Lily.",
    "One day, a bear found some honey. It was very sweet, and the bear was happy. He ate it all, and then he went to sleep "
    "under a tall tree. When he woke up, his friend the fox was there. \"Where is the honey?\" asked the fox. The bear was "
    "sad, for there was none left.",
    "El niño comió una manzana; 7 × 6 = 42 €.",
    "A",
    "Mia had a kite 🪁 that was blue. The wind took it up, up, up.",
]
LENGTHS = [512, 16, 5]
PROMPTS = ["Once upon a time", "The dog said, \"", "Lily"]
NEW_TOKENS = 40

model = transformers.AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)


def evaluate(length):
    total, count = 0.0, 0
    for text in ROWS:
        ids = torch.tensor([tokenizer(text)["input_ids"][:length]])
        predicted = ids.shape[1] - 1
        if predicted == 0:
            continue
        with torch.no_grad():
            total += model(input_ids=ids, labels=ids).loss.double().item() * predicted
        count += predicted
    return {"max_length": length, "loss": total / count, "tokens": count}


def continue_greedily(prompt):
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    with torch.no_grad():
        output = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0)
    new = output[0, ids.shape[1] :].tolist()
    return {
        "prompt": prompt,
        "max_new_tokens": NEW_TOKENS,
        "token_ids": new,
        "text": tokenizer.decode(new, skip_special_tokens=True),
    }


fixture = {
    "made_by": "parity/cli.py",
    "transformers": transformers.__version__,
    "torch": torch.__version__,
    "rows": ROWS,
    "eval": [evaluate(length) for length in LENGTHS],
    "generate": [continue_greedily(prompt) for prompt in PROMPTS],
}
OUT.parent.mkdir(parents=True, exist_ok=True)
OUT.write_text(json.dumps(fixture, indent=1, ensure_ascii=False) + "\n")
