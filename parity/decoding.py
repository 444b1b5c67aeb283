"""Writes test/fixtures/generation/decoding.json: what transformers' logits processors make of given logits, and what
its beam search and its penalised greedy search find, and its pooled hidden states, with the model of parity/generation.py (run that first).

Run from the project root: python parity/decoding.py
Results that rounding would decide are refused.
"""

import json
import platform
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

SEED = 31
OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "generation"
PROMPTS = [[3, 17, 9], [5], [11, 4, 20, 7, 7, 19, 8], [2, 2, 13, 6]]
# Names are ours; the order is that of transformers' generate.
SETTINGS = [
    {"topK": 1},
    {"topK": 5},
    {"topK": 99},
    {"topP": 0.0},
    {"topP": 0.5},
    {"topP": 0.9},
    {"minP": 0.1},
    {"minP": 1.0},
    {"repetitionPenalty": 1.3},
    {"repetitionPenalty": 0.8},
    {"temperature": 0.6, "topP": 0.8},
    {"temperature": 1.7, "topK": 7, "topP": 0.7, "minP": 0.05},
    {"repetitionPenalty": 1.2, "temperature": 0.5, "topK": 12, "topP": 0.95, "minP": 0.02},
]
BEAMS = [
    {"num_beams": 2},
    {"num_beams": 4},
    {"num_beams": 4, "num_return_sequences": 3},
    {"num_beams": 4, "length_penalty": 0.0, "early_stopping": "never"},
    {"num_beams": 4, "length_penalty": 2.0, "early_stopping": "never"},
    {"num_beams": 3, "length_penalty": -1.0},
    {"num_beams": 3, "length_penalty": 2.5},
    {"num_beams": 3, "early_stopping": True, "num_return_sequences": 3},
    {"num_beams": 5, "repetition_penalty": 1.4},
]


def processed():
    generator = torch.Generator().manual_seed(SEED)
    logits = torch.randn(4, 24, generator=generator) * 2.5
    seen = torch.randint(0, 24, (4, 9), generator=generator)
    for setting in SETTINGS:
        processors = LogitsProcessorList()
        if "repetitionPenalty" in setting:
            processors.append(RepetitionPenaltyLogitsProcessor(setting["repetitionPenalty"]))
        if "temperature" in setting:
            processors.append(TemperatureLogitsWarper(setting["temperature"]))
        if "topK" in setting:
            processors.append(TopKLogitsWarper(setting["topK"]))
        if "topP" in setting:
            processors.append(TopPLogitsWarper(setting["topP"]))
        if "minP" in setting:
            processors.append(MinPLogitsWarper(setting["minP"]))
        scores = processors(seen, logits.clone())
        yield {"setting": setting, "chances": scores.softmax(-1).tolist()}
    yield {"logits": logits.tolist(), "seen": seen.tolist()}


def padded():
    longest = max(map(len, PROMPTS))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in PROMPTS])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in PROMPTS])
    return {"input_ids": ids, "attention_mask": mask}


def cut(row, eos):
    end = next((i + 1 for i, token in enumerate(row) if token in eos), len(row))
    return row[:end]


def beams(model, eos):
    for setting in BEAMS:
        for new in (12, 30) if setting.get("early_stopping") == "never" else (30,):
            for ends in ([], eos):
                # One prompt at a time: the penalty of transformers sees padding as tokens.
                rows, scores = [], []
                for prompt in PROMPTS:
                    result = model.generate(
                        input_ids=torch.tensor([prompt]),
                        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                        max_new_tokens=new,
                        do_sample=False,
                        eos_token_id=ends or None,
                        pad_token_id=0,
                        return_dict_in_generate=True,
                        output_scores=True,
                        **setting,
                    )
                    rows += [cut(row, ends) for row in result.sequences[:, len(prompt) :].tolist()]
                    scores += result.sequences_scores.tolist()
                yield {"setting": setting, "maxNewTokens": new, "eosTokenIds": ends, "sequences": rows, "scores": scores}


def penalised(model):
    """Greedy with a repetition penalty, each prompt by itself."""
    rows, chosen, top = [], [], []
    for prompt in PROMPTS:
        result = model.generate(
            input_ids=torch.tensor([prompt]),
            max_new_tokens=25,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            repetition_penalty=1.35,
            return_dict_in_generate=True,
            output_scores=True,
            output_logits=True,
        )
        best = torch.stack(result.scores, 1)[0].topk(2, -1).values
        if (best[:, 0] - best[:, 1]).min() < 5e-4:
            raise SystemExit("a token is decided by rounding: choose another seed")
        row = result.sequences[0, len(prompt) :]
        logs = torch.stack(result.logits, 1)[0].log_softmax(-1)
        rows.append(row.tolist())
        chosen.append(logs.gather(1, row[:, None])[:, 0].tolist())
        likeliest = logs.topk(3, -1)
        top.append([list(zip(i, v)) for i, v in zip(likeliest.indices.tolist(), likeliest.values.tolist())])
    return {"repetitionPenalty": 1.35, "sequences": rows, "logProbs": chosen, "top": top}


def pooled(model):
    """Final hidden states of each prompt by itself: the last, the mean, the first."""
    states = [model.model(input_ids=torch.tensor([prompt])).last_hidden_state[0] for prompt in PROMPTS]
    return {
        "last_token": [state[-1].tolist() for state in states],
        "mean": [state.mean(0).tolist() for state in states],
        "cls": [state[0].tolist() for state in states],
    }


@torch.no_grad()
def main():
    model = AutoModelForCausalLM.from_pretrained(OUT / "model").eval()
    *cases, given = processed()
    eos = json.loads((OUT / "expected.json").read_text())["eosTokenIds"]
    result = {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "seed": SEED,
        },
        "prompts": PROMPTS,
        **given,
        "processed": cases,
        "penalised": penalised(model),
        "beams": list(beams(model, eos)),
        "pooled": pooled(model),
    }
    rounded = json.loads(json.dumps(result), parse_float=lambda text: float(f"{float(text):.8g}"))
    (OUT / "decoding.json").write_text(json.dumps(rounded, separators=(",", ":")) + "\n", encoding="utf-8")


main()
