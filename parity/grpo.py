"""Writes test/fixtures/grpo/: TRL's GRPO losses on given log-probabilities, and runs of its GRPOTrainer.

`losses.json`: for each setting loss, gradients and metrics of GRPOTrainer._compute_loss. `runs.json`: runs of
GRPOTrainer on the tiny Llama of test/fixtures/trl/model, in float32 on the CPU. Completions are given (TRL's
`rollout_func`), so that both sides train on the same ones; where a rollout is cut into micro-batches, TRL's shuffle is
replaced by given permutations, those of `new Random(seed, "rollout_order", n, 0).permutation(rows)`. Of each rollout the
advantages, of each step what was logged.

Run from the project root: python parity/grpo.py
"""

import json
import platform
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

# A file beside this one has the name of the library.
sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

import peft
import torch
import transformers
import trl
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from trl.trainer import grpo_trainer

SEED = 31
FIXTURES = Path(__file__).resolve().parent.parent / "test" / "fixtures"
OUT = FIXTURES / "grpo"
VOCAB, EOS, PAD = 48, 2, 0
LORA = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}

# ---------------------------------------------------------------------------------------------------------- losses

DEFAULTS = {
    "loss_type": "dapo",
    "importance_sampling_level": "token",
    "epsilon": 0.2,
    "epsilon_high": None,
    "delta": None,
    "beta": 0.0,
    "use_bias_correction_kl": True,
    "off_policy_mask_threshold": None,
    "top_entropy_quantile": 1.0,
    "entropy_coef": 0.0,
    "sapo_temperature_pos": 1.0,
    "sapo_temperature_neg": 1.05,
    "vespo_k_pos": 2.0,
    "vespo_lambda_pos": 3.0,
    "vespo_k_neg": 3.0,
    "vespo_lambda_neg": 2.0,
    "max_completion_length": 9,
}
LOSSES = [
    {"loss_type": "grpo"},
    {"loss_type": "bnpo"},
    {"loss_type": "dr_grpo"},
    {"loss_type": "dapo"},
    {"loss_type": "luspo", "importance_sampling_level": "sequence"},
    {"loss_type": "cispo", "epsilon_high": 1.3},
    {"loss_type": "sapo"},
    {"loss_type": "vespo"},
    {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.02, "epsilon_high": 0.04},
    {"loss_type": "dapo", "epsilon": 0.1, "epsilon_high": 0.28},
    {"loss_type": "dapo", "delta": 1.25, "epsilon_high": 0.4},
    {"loss_type": "grpo", "beta": 0.2},
    {"loss_type": "grpo", "beta": 0.2, "use_bias_correction_kl": False},
    {"loss_type": "dr_grpo", "beta": 0.1, "importance_sampling_level": "sequence"},
    {"loss_type": "bnpo", "top_entropy_quantile": 0.3},
    {"loss_type": "dapo", "top_entropy_quantile": 0.5, "entropy_coef": 0.2},
    {"loss_type": "grpo", "entropy_coef": 0.1, "beta": 0.05},
    {"loss_type": "grpo", "off_policy_mask_threshold": 0.02},
    {"loss_type": "cispo", "epsilon_high": 2.0, "old": False},
    {"loss_type": "grpo", "old": False},
]


def stub(options, recorded):
    accelerator = SimpleNamespace(
        num_processes=1,
        sync_gradients=False,
        gather=lambda x: x,
        gather_for_metrics=lambda x: x,
        reduce=lambda x, reduction="sum": x,
        pad_across_processes=lambda x, dim=0, pad_index=0: x,
    )
    self = SimpleNamespace(
        accelerator=accelerator,
        aux_loss_enabled=False,
        top_entropy_quantile=options["top_entropy_quantile"],
        off_policy_mask_threshold=options["off_policy_mask_threshold"],
        importance_sampling_level=options["importance_sampling_level"],
        beta=options["beta"],
        args=SimpleNamespace(**options, steps_per_generation=1),
        loss_type=options["loss_type"],
        epsilon_low=options["epsilon"],
        epsilon_high=options["epsilon_high"] if options["epsilon_high"] is not None else options["epsilon"],
        use_vllm=False,
        vllm_importance_sampling_correction=False,
        model=SimpleNamespace(training=True),
        current_gradient_accumulation_steps=1,
        max_completion_length=options["max_completion_length"],
        use_adaptive_entropy=False,
        entropy_coef=options["entropy_coef"],
        _entropy_bonus_enabled=options["entropy_coef"] != 0,
        _metrics={"train": defaultdict(list)},
        _get_per_token_logps_and_entropies=lambda *a, **k: (recorded["logps"], recorded["entropies"], None),
        get_off_policy_mask=GRPOTrainer.get_off_policy_mask,
        get_gamma_weights=GRPOTrainer.get_gamma_weights,
    )
    self.get_high_entropy_mask = lambda *a: GRPOTrainer.get_high_entropy_mask(self, *a)
    return self


def losses():
    generator = torch.Generator().manual_seed(SEED)
    lengths = [7, 1, 5, 9, 3, 0]
    rows, width = len(lengths), max(lengths)
    normal = lambda scale: torch.randn((rows, width), generator=generator) * scale
    logps = -normal(1.0).abs() - 0.1
    old = logps + normal(0.2)
    ref = logps + normal(0.3)
    entropies = normal(1.0).abs()
    mask = torch.tensor([[1 if t < length else 0 for t in range(width)] for length in lengths])
    advantages = torch.tensor([1.2, -0.7, -1.1, 0.4, 0.0, 0.9])
    made = []
    for given in LOSSES:
        options = {**DEFAULTS, **given}
        with_old = options.pop("old", True)
        recorded = {"logps": logps.clone().requires_grad_(), "entropies": entropies.clone().requires_grad_()}
        self = stub(options, recorded)
        empty = torch.zeros((rows, 1), dtype=torch.long)
        inputs = {
            "prompt_ids": empty,
            "prompt_mask": empty,
            "completion_ids": torch.zeros_like(mask),
            "completion_mask": mask,
            "advantages": advantages,
            "num_items_in_batch": mask.sum(),
            "ref_per_token_logps": ref,
        }
        if with_old:
            inputs["old_per_token_logps"] = old
        loss = GRPOTrainer._compute_loss(self, None, inputs)
        loss.backward()
        entropy_gradient = recorded["entropies"].grad
        made.append(
            {
                "options": given,
                "loss": loss.item(),
                "gradient": recorded["logps"].grad.tolist(),
                "entropy_gradient": None if entropy_gradient is None else entropy_gradient.tolist(),
                "metrics": {k: v[0] for k, v in self._metrics["train"].items()},
            }
        )
    return {
        "lengths": lengths,
        "logps": logps.tolist(),
        "old": old.tolist(),
        "ref": ref.tolist(),
        "entropies": entropies.tolist(),
        "advantages": advantages.tolist(),
        "defaults": DEFAULTS,
        "losses": made,
    }


# ------------------------------------------------------------------------------------------------------------ runs

COMMON = {"learning_rate": 5e-3, "max_completion_length": 8, "num_generations": 4, "shuffle_dataset": False}
RUNS = {
    "lora, defaults": {"steps": 10, "lora": True, "args": {"per_device_train_batch_size": 8}},
    "full, divergence, two iterations": {
        "steps": 10,
        "lora": False,
        "args": {
            "per_device_train_batch_size": 8,
            "loss_type": "grpo",
            "beta": 0.1,
            "num_iterations": 2,
            "learning_rate": 2e-3,
            "scale_rewards": "batch",
        },
    },
    "lora, divergence from the base, clip-higher": {
        "steps": 6,
        "lora": True,
        "args": {
            "per_device_train_batch_size": 8,
            "loss_type": "bnpo",
            "beta": 0.3,
            "num_iterations": 3,
            "epsilon": 0.05,
            "epsilon_high": 0.1,
            "temperature": 0.7,
        },
    },
    "several steps for a rollout": {
        "steps": 8,
        "lora": True,
        "args": {
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 2,
            "steps_per_generation": 4,
            "num_iterations": 2,
            "importance_sampling_level": "sequence",
            "loss_type": "grpo",
            "epsilon": 0.02,
        },
    },
    "accumulation over rollouts": {
        "steps": 4,
        "lora": True,
        "args": {
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 4,
            "steps_per_generation": 2,
            "loss_type": "grpo",
            "scale_rewards": "none",
        },
    },
    "dr_grpo, two rewards": {
        "steps": 4,
        "lora": True,
        "args": {
            "per_device_train_batch_size": 8,
            "loss_type": "dr_grpo",
            "reward_weights": [1.0, 0.5],
            "num_iterations": 2,
            "mask_truncated_completions": True,
        },
    },
    "cispo, normalised before the sum": {
        "steps": 4,
        "lora": True,
        "args": {
            "per_device_train_batch_size": 8,
            "loss_type": "cispo",
            "epsilon_high": 1.2,
            "num_iterations": 2,
            "reward_weights": [1.0, 2.0],
            "multi_objective_aggregation": "normalize_then_sum",
        },
    },
    "sapo, entropy bonus": {
        "steps": 4,
        "lora": True,
        "args": {"per_device_train_batch_size": 8, "loss_type": "sapo", "num_iterations": 2, "entropy_coef": 0.05},
    },
    "adaptive entropy": {
        "steps": 6,
        "lora": True,
        "args": {
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 2,
            "use_adaptive_entropy": True,
            "entropy_coef": 0.05,
            "entropy_coef_delta": 0.02,
            "entropy_target": 3.25,
            "learning_rate": 2e-2,
        },
    },
    "vespo, uncertain tokens": {
        "steps": 4,
        "lora": True,
        "args": {
            "per_device_train_batch_size": 8,
            "loss_type": "vespo",
            "num_iterations": 2,
            "top_entropy_quantile": 0.4,
        },
    },
}


def even_share(completion_ids, **rest):
    return [sum(token % 2 == 0 for token in ids) / len(ids) for ids in completion_ids]


def brevity(completion_ids, **rest):
    """Not every completion is judged."""
    return [None if ids[0] % 3 == 0 else 1 - len(ids) / 8 for ids in completion_ids]


def make_prompts():
    generator = torch.Generator().manual_seed(SEED)
    draw = lambda n: torch.randint(3, VOCAB, (n,), generator=generator).tolist()
    return [draw(3 + (5 * i) % 4) for i in range(12)]


def make_completions(rollouts, rows, seed):
    """Some end with the end-of-sequence token, some were cut off at 8 tokens; those of one group are all equally good."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for r in range(rollouts):
        batch = []
        for i in range(rows):
            length = 2 + int(torch.randint(0, 7, (1,), generator=generator))
            ids = torch.randint(3, VOCAB, (length,), generator=generator).tolist()
            batch.append(ids if length == 8 else [*ids[:-1], EOS])
        if r == 1:
            batch[:4] = [[5, 7, EOS]] * 4
        made.append(batch)
    return made


def make_tokenizer():
    tokenizer = Tokenizer(models.WordLevel({f"t{i}": i for i in range(VOCAB)}, unk_token="t0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="t0", eos_token="t2", padding_side="left")


class Recorder(TrainerCallback):
    def __init__(self):
        self.steps = []

    def on_log(self, args, state, control, logs=None, **more):
        if "loss" in logs:
            self.steps.append({k: v for k, v in logs.items() if k not in ("step_time", "num_tokens")})


def load_adapter(model):
    """The adapter that the SFT runs of parity/trl.py begin with."""
    tensors = load_file(FIXTURES / "trl" / "weights.safetensors")
    start = {k.removeprefix("lora/0/"): v for k, v in tensors.items() if k.startswith("lora/0/")}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(start[name.replace(".default.", ".")])


def run(name, settings, prompts, permutations):
    args = {**COMMON, **settings["args"]}
    window = args.get("gradient_accumulation_steps", 1)
    micro_batches = args.get("steps_per_generation", window)
    rows = micro_batches * args["per_device_train_batch_size"]
    rollouts = -(-settings["steps"] * window // (micro_batches * args.get("num_iterations", 1)))
    completions = make_completions(rollouts, rows, SEED + len(name))
    orders = iter(permutations[str(rows)])
    remaining = iter(completions)
    recorded = []

    def rollout(texts, trainer):
        batch = next(remaining)
        return {
            "prompt_ids": [[int(word[1:]) for word in text.split()] for text in texts],
            "completion_ids": batch,
            "logprobs": [[0.0] * len(ids) for ids in batch],
        }

    def shuffle(batch):
        order = torch.tensor(next(orders))
        return {k: v[order] if isinstance(v, torch.Tensor) and v.ndim > 0 else v for k, v in batch.items()}

    grpo_trainer.shuffle_sequence_dict = shuffle
    judged = [even_share, brevity] if "reward_weights" in args else [even_share]
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder()
        trainer = GRPOTrainer(
            model=str(FIXTURES / "trl" / "model"),
            reward_funcs=judged,
            args=GRPOConfig(
                output_dir=folder,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                logging_steps=1,
                max_steps=settings["steps"],
                seed=SEED,
                model_init_kwargs={"dtype": "float32"},
                **args,
            ),
            train_dataset=Dataset.from_list([{"prompt": " ".join(f"t{i}" for i in ids)} for ids in prompts]),
            processing_class=make_tokenizer(),
            peft_config=LoraConfig(task_type="CAUSAL_LM", **LORA) if settings["lora"] else None,
            rollout_func=rollout,
            callbacks=[recorder],
        )
        if settings["lora"]:
            load_adapter(trainer.model)
        score = trainer._generate_and_score_completions

        def scored(inputs):
            output = score(inputs)
            recorded.append(output["advantages"].tolist())
            return output

        trainer._generate_and_score_completions = scored
        trainer.train()
    return {
        "name": name,
        "args": args,
        "lora": LORA if settings["lora"] else None,
        "completions": completions,
        "advantages": recorded,
        "steps": recorder.steps,
    }


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    permutations = json.loads((OUT / "permutations.json").read_text())
    prompts = make_prompts()
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "trl": trl.__version__,
        "peft": peft.__version__,
        "seed": SEED,
    }
    (OUT / "losses.json").write_text(json.dumps({"versions": versions, **losses()}) + "\n")
    runs = [run(name, settings, prompts, permutations) for name, settings in RUNS.items()]
    (OUT / "runs.json").write_text(json.dumps({"versions": versions, "prompts": prompts, "runs": runs}) + "\n")


if __name__ == "__main__":
    main()
