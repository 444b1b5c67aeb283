"""Writes test/fixtures/preferences/: what TRL's DPO, ORPO and reward trainers compute on a tiny Llama.

`losses.json` has log-probabilities of pairs and what DPOTrainer makes of them by each loss and divergence. `runs.json` has
pairs of tokens, settings, and what was logged at each of ten steps. Everything runs in float32 on the CPU, on the model
of parity/trl.py, in the order in which the rows stand.

Run from the project root, after parity/trl.py: python parity/preferences.py
"""

import json
import platform
import sys
import tempfile
from pathlib import Path

# Beside this file there is one with the name of the library.
sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

import torch
import transformers
import trl
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForSequenceClassification,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    TrainerCallback,
)
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

SEED = 37
FIXTURES = Path(__file__).resolve().parent.parent / "test" / "fixtures"
MODEL = FIXTURES / "trl" / "model"
OUT = FIXTURES / "preferences"
VOCAB, EOS = 48, 2
STEPS = 10
COMMON = {
    "per_device_train_batch_size": 2,
    "max_steps": STEPS,
    "logging_steps": 1,
    "learning_rate": 5e-3,
    "max_grad_norm": 1.0,
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "train_sampling_strategy": "sequential",
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "seed": SEED,
}

DPO_RUNS = {
    "sigmoid": {"max_length": 24},
    "sigmoid, several micro-batches": {"gradient_accumulation_steps": 2, "max_steps": 5},
    "cut at the end": {"max_length": 9},
    "length desensitised": {"ld_alpha": 0.5, "beta": 0.3},
    "weighted": {"use_weighting": True, "beta": 0.5},
    "a mix": {"loss_type": ["sigmoid", "bco_pair", "sft"], "loss_weights": [0.8, 0.2, 1.0]},
    "precomputed": {"loss_type": "ipo", "precompute_ref_log_probs": True},
    "a reference that follows": {"sync_ref_model": True, "ref_model_sync_steps": 3, "ref_model_mixup_alpha": 0.6},
}
LOSSES = {
    "sigmoid": {},
    "hinge": {},
    "ipo": {},
    "exo_pair": {"label_smoothing": 0.05},
    "nca_pair": {},
    "robust": {"label_smoothing": 0.1},
    "bco_pair": {},
    "sppo_hard": {},
    "aot": {"label_smoothing": 0.1},
    "aot_unpaired": {},
    "apo_zero": {},
    "apo_down": {},
    "discopop": {"discopop_tau": 0.2},
    "sigmoid_norm": {},
}
DIVERGENCES = [
    {"f_divergence_type": "forward_kl"},
    {"f_divergence_type": "js_divergence"},
    {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.3},
    {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 1.0},
]


def make_rows():
    """Prompts of 2 to 7 tokens, answers of 2 to 9, all different."""
    generator = torch.Generator().manual_seed(SEED)

    def draw(count):
        return torch.randint(3, VOCAB, (count,), generator=generator).tolist()

    return [
        {
            "prompt_ids": draw(2 + i % 6),
            "chosen_ids": draw(1 + (5 * i) % 8) + [EOS],
            "rejected_ids": draw(1 + (3 * i + 2) % 8) + [EOS],
        }
        for i in range(20)
    ]


# Special tokens are found anywhere in a text, so that no other may begin with their names.
NAMES = ["<pad>", "t1", "</s>", *(f"t{i}" for i in range(3, VOCAB))]


def text(ids):
    return " ".join(NAMES[i] for i in ids)


def texts(rows):
    return Dataset.from_list(
        [
            {
                "prompt": text(row["prompt_ids"]),
                "chosen": " " + text(row["chosen_ids"]),
                "rejected": " " + text(row["rejected_ids"]),
            }
            for row in rows
        ]
    )


def make_tokenizer():
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(NAMES)}, unk_token="t1"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")


class Recorder(TrainerCallback):
    def __init__(self):
        self.steps = []

    def on_log(self, args, state, control, logs=None, **more):
        if "loss" in logs:
            self.steps.append({name: float(value) for name, value in logs.items()})


def train(kind, settings, rows):
    settings = {**COMMON, **settings}
    config, trainer = {
        "dpo": (DPOConfig, DPOTrainer),
        "orpo": (ORPOConfig, ORPOTrainer),
        "reward": (RewardConfig, RewardTrainer),
    }[kind]
    if kind == "reward":
        model = reward_model()
    else:
        model = LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as folder:
        trainer(
            model=model,
            args=config(output_dir=folder, **settings),
            train_dataset=texts(rows) if "prompt_ids" in rows[0] else Dataset.from_list(rows),
            processing_class=make_tokenizer(),
            callbacks=[recorder],
        ).train()
    assert len(recorder.steps) == settings["max_steps"]
    return recorder.steps


def reward_model():
    options = {"num_labels": 1, "dtype": torch.float32, "pad_token_id": 0}
    model = AutoModelForSequenceClassification.from_pretrained(MODEL, **options)
    with torch.no_grad():
        size = model.score.weight.shape[1]
        model.score.weight.copy_(torch.sin(torch.arange(size, dtype=torch.float32))[None])
    return model


def losses(rows):
    """What TRL's loss makes of one batch whose policy and reference are known."""
    rows = rows[:6]
    generator = torch.Generator().manual_seed(SEED)
    shift = torch.randn(2, len(rows), generator=generator)
    cases, policy, reference, lengths = [], None, None, None
    settings = [(name, {**more}) for name, more in LOSSES.items()]
    settings += [("sigmoid", more) for more in DIVERGENCES] + [("ipo", DIVERGENCES[1])]
    for name, more in settings:
        with tempfile.TemporaryDirectory() as folder:
            trainer = DPOTrainer(
                model=LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32),
                args=DPOConfig(output_dir=folder, loss_type=name, beta=0.4, **{**COMMON, **more}),
                train_dataset=texts(rows),
                processing_class=make_tokenizer(),
            )
            inputs = trainer.data_collator([trainer.train_dataset[i] for i in range(len(rows))])
            if policy is None:
                policy = sums(trainer.model, inputs)
                reference = policy + shift
                lengths = inputs["completion_mask"].sum(1).view(2, -1)
            trainer.precompute_ref_logps = True
            inputs["ref_chosen_logps"], inputs["ref_rejected_logps"] = reference
            with torch.no_grad():
                loss = trainer._compute_loss(trainer.model, inputs, False)
            cases.append({"loss_type": name, "beta": 0.4, **more, "loss": loss.item()})
    return {
        "policy": policy.tolist(),
        "reference": reference.tolist(),
        "lengths": lengths.tolist(),
        "cases": cases,
    }


def sums(model, inputs):
    with torch.no_grad():
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
    log_p = logits[:, :-1].log_softmax(-1).gather(2, inputs["input_ids"][:, 1:, None])[..., 0]
    return (log_p * inputs["completion_mask"][:, 1:]).sum(1).view(2, -1)


def main():
    OUT.mkdir(exist_ok=True)
    rows = make_rows()
    with_margins = [{"chosen_ids": r["prompt_ids"] + r["chosen_ids"],
                     "rejected_ids": r["prompt_ids"] + r["rejected_ids"], "margin": 0.1 * (i % 3)}
                    for i, r in enumerate(rows)]
    runs = [{"kind": "dpo", "name": name, "args": args, "steps": train("dpo", args, rows)}
            for name, args in DPO_RUNS.items()]
    runs += [
        {"kind": "orpo", "name": name, "args": args, "steps": train("orpo", args, rows)}
        for name, args in {"plain": {}, "beta": {"beta": 0.5, "max_length": 64}}.items()
    ]
    runs += [
        {"kind": "reward", "name": "plain", "args": {}, "steps": train("reward", {}, rows)},
        {"kind": "reward", "name": "centred", "args": {"center_rewards_coefficient": 0.1},
         "steps": train("reward", {"center_rewards_coefficient": 0.1}, rows)},
        {"kind": "reward", "name": "margins", "args": {}, "margins": True,
         "steps": train("reward", {}, with_margins)},
    ]
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "trl": trl.__version__,
        "seed": SEED,
    }
    (OUT / "losses.json").write_text(json.dumps({"versions": versions, **losses(rows)}, separators=(",", ":")) + "\n")
    text_of = {"versions": versions, "rows": rows, "common": {k: COMMON[k] for k in ("per_device_train_batch_size", "max_steps", "learning_rate", "max_grad_norm")}, "runs": runs}
    (OUT / "runs.json").write_text(json.dumps(text_of, separators=(",", ":")) + "\n")


main()
