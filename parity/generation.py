"""Writes test/fixtures/generation/: a tiny random Llama with grouped queries, a PEFT adapter for it, and what
transformers generates and computes with them. Everything is in float32.

expected.json holds greedy continuations of a ragged batch (with and without end-of-sequence tokens and adapter), logits
of a whole sequence, the chances of the first sampled token, and losses of ragged rows. Continuations in which the two
likeliest tokens come closer than 0.001 are refused, since rounding would decide them.

Run from the project root: python parity/generation.py
"""

import json
import platform
import shutil
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

SEED = 23
OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "generation"
VOCAB, POSITIONS, NEW, TEMPERATURE = 24, 256, 150, 0.7
PROMPTS = [[3, 17, 9], [5], [11, 4, 20, 7, 7, 19, 8], [2, 2, 13, 6]]


def make_model():
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        intermediate_size=20,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=POSITIONS,
        initializer_range=0.5,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config).eval()
    model.generation_config.eos_token_id = None
    return model


def attach_adapter(model):
    torch.manual_seed(SEED + 1)
    config = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.4)
    return adapted


def greedy(model, new, eos=None):
    """Continuations of the prompts, padded on the left, each cut behind its end-of-sequence token."""
    longest = max(map(len, PROMPTS))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in PROMPTS])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in PROMPTS])
    result = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=new,
        do_sample=False,
        eos_token_id=eos,
        return_dict_in_generate=True,
        output_logits=True,
    )
    rows = result.sequences[:, longest:].tolist()
    ends = [next((i + 1 for i, token in enumerate(row) if token in (eos or [])), len(row)) for row in rows]
    top = torch.stack(result.logits, 1).topk(2, -1).values
    for i, end in enumerate(ends):
        margin = (top[i, :end, 0] - top[i, :end, 1]).min().item()
        if margin < 1e-3:
            raise SystemExit(f"row {i} is decided by {margin}: choose another seed")
    return [row[:end] for row, end in zip(rows, ends)]


def mean_loss(model, rows):
    total, count = 0.0, 0
    for row in rows:
        if len(row) < 2:
            continue
        ids = torch.tensor([row])
        with torch.no_grad():
            total += model(input_ids=ids, labels=ids).loss.item() * (len(row) - 1)
        count += len(row) - 1
    return {"loss": total / count, "tokens": count}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name in ("model", "adapter"):
        shutil.rmtree(OUT / name, ignore_errors=True)
    model = make_model()
    model.save_pretrained(OUT / "model")
    plain = greedy(model, NEW)
    eos = [plain[1][6], plain[2][3]]
    whole = PROMPTS[2] + plain[2][:20]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([whole])).logits[0]
        last = model(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1].double()
    torch.manual_seed(SEED + 2)
    rows = [torch.randint(0, VOCAB, (n,)).tolist() for n in (2, 9, 1, 30, 17, 9, 24)]
    expected = {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
            "seed": SEED,
        },
        "prompts": PROMPTS,
        "greedy": plain,
        "eosTokenIds": eos,
        "greedyUntilEos": greedy(model, 40, eos),
        "sequence": whole,
        "logits": logits.tolist(),
        "temperature": TEMPERATURE,
        "chances": torch.softmax(last / TEMPERATURE, -1).tolist(),
        "rows": rows,
        "loss": mean_loss(model, rows),
    }
    adapted = attach_adapter(model)
    adapted.save_pretrained(OUT / "adapter")
    (OUT / "adapter" / "README.md").unlink(missing_ok=True)
    adapted = PeftModel.from_pretrained(make_model(), OUT / "adapter").eval()
    expected |= {"greedyWithAdapter": greedy(adapted, 40), "lossWithAdapter": mean_loss(adapted, rows)}
    (OUT / "expected.json").write_text(json.dumps(expected) + "\n", encoding="utf-8")


main()
