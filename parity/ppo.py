"""Writes test/fixtures/ppo/runs.json: PPO in plain PyTorch on the tiny Llama of test/fixtures/trl/model.

TRL has no PPO since 1.11. This is its loop of 1.10 by its formulas: divergence from the reference as a reward of each
token, generalised advantages, whitening, clipped policy and value losses, mini-batches that each take a step of the
optimiser; except that the score is the reward of a completion's last token. Completions are given. Mini-batches are cut
from the orders in permutations.json, those of `new Random(seed, "rollout_order", n, epoch).permutation(rows)`.

Run from the project root: python parity/ppo.py
"""

import json
import platform
import sys
from pathlib import Path

# A file beside this one has the name of the library.
sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

SEED = 31
FIXTURES = Path(__file__).resolve().parent.parent / "test" / "fixtures"
OUT = FIXTURES / "ppo"
VOCAB, EOS = 48, 2
LORA = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
DEFAULTS = {
    "per_device_train_batch_size": 4,
    "num_mini_batches": 2,
    "num_ppo_epochs": 2,
    "learning_rate": 5e-3,
    "response_length": 8,
    "temperature": 0.7,
    "kl_coef": 0.05,
    "kl_estimator": "k1",
    "cliprange": 0.2,
    "cliprange_value": 0.2,
    "vf_coef": 0.1,
    "gamma": 1.0,
    "lam": 0.95,
}
RUNS = {
    "defaults": {"steps": 10, "args": {}},
    "adaptive, discounted, whitened": {
        "steps": 12,
        "args": {
            "gamma": 0.95,
            "lam": 0.8,
            "whiten_rewards": True,
            "kl_estimator": "k3",
            "kl_coef": 0.5,
            "adap_kl_ctrl": True,
            "target": 0.05,
            "horizon": 40,
            "missing_eos_penalty": 0.7,
            "cliprange": 0.05,
            "cliprange_value": 0.1,
            "vf_coef": 0.5,
            "learning_rate": 2e-2,
        },
    },
}


def whiten(x, mask, shift_mean=True):
    n = mask.sum()
    mean = (x * mask).sum() / n
    var = ((x - mean) ** 2 * mask).sum() / (n - 1)
    out = (x - mean) * torch.rsqrt(var + 1e-8)
    return out if shift_mean else out + mean


def batch_of(prompts, completions, width):
    """Prompts on the left, padding on the right."""
    length = max(len(p) for p in prompts) + width
    ids = torch.zeros((len(prompts), length), dtype=torch.long)
    at = torch.zeros((len(prompts), width), dtype=torch.long)
    labels = torch.zeros((len(prompts), width), dtype=torch.long)
    mask = torch.zeros((len(prompts), width))
    for i, (p, c) in enumerate(zip(prompts, completions)):
        ids[i, : len(p) + len(c)] = torch.tensor([*p, *c])
        at[i, : len(c)] = torch.arange(len(p) - 1, len(p) - 1 + len(c))
        labels[i, : len(c)] = torch.tensor(c)
        mask[i, : len(c)] = 1
    return ids, at, labels, mask


def forward(model, head, batch, temperature):
    ids, at, labels, _ = batch
    hidden = model(input_ids=ids, output_hidden_states=True)
    states = hidden.hidden_states[-1].gather(1, at[..., None].expand(-1, -1, hidden.hidden_states[-1].shape[-1]))
    logits = hidden.logits.gather(1, at[..., None].expand(-1, -1, VOCAB)) / temperature
    logp = logits.log_softmax(-1)
    entropy = -(logp.exp() * logp).sum(-1)
    return logp.gather(2, labels[..., None])[..., 0], head(states)[..., 0], entropy


def run(name, settings, prompts, permutations):
    args = {**DEFAULTS, **settings["args"]}
    torch.manual_seed(SEED)
    model = LlamaForCausalLM.from_pretrained(FIXTURES / "trl" / "model", dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **LORA))
    tensors = load_file(FIXTURES / "trl" / "weights.safetensors")
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(tensors["lora/0/" + key.replace(".default.", ".")])
    head = torch.nn.Linear(16, 1)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    trained = [p for p in model.parameters() if p.requires_grad] + list(head.parameters())
    optimizer = torch.optim.AdamW(trained, lr=args["learning_rate"], weight_decay=0.0)
    rows = args["per_device_train_batch_size"] * args["num_mini_batches"]
    size = args["per_device_train_batch_size"]
    generator = torch.Generator().manual_seed(SEED + len(name))
    per_rollout = args["num_ppo_epochs"] * args["num_mini_batches"]
    kl_coef, steps, made, rollouts = args["kl_coef"], [], [], []
    for number in range(-(-settings["steps"] // per_rollout)):
        # Prompts that do not fill a rollout are left out of an epoch.
        queries = prompts[:rows]
        completions = []
        for _ in range(rows):
            length = 2 + int(torch.randint(0, 7, (1,), generator=generator))
            ids = torch.randint(3, VOCAB, (length,), generator=generator).tolist()
            completions.append(ids if length == 8 else [*ids[:-1], EOS])
        made.append(completions)
        batch = batch_of(queries, completions, 8)
        mask = batch[3]
        with torch.no_grad():
            old, values, _ = forward(model, head, batch, args["temperature"])
            with model.disable_adapter():
                ref, _, _ = forward(model, head, batch, args["temperature"])
        score = torch.tensor([sum(t % 2 == 0 for t in c) / len(c) for c in completions])
        cut = torch.tensor([c[-1] != EOS for c in completions])
        score = score - args.get("missing_eos_penalty", 0) * cut
        difference = ref - old
        kl = -difference if args["kl_estimator"] == "k1" else difference.exp() - 1 - difference
        rewards = -kl_coef * kl
        last = mask.sum(1).long() - 1
        rewards[torch.arange(rows), last] += score
        if args.get("whiten_rewards"):
            rewards = whiten(rewards, mask, shift_mean=False)
        rewards, values = rewards * mask, values * mask
        advantages = torch.zeros_like(rewards)
        later = torch.zeros(rows)
        for t in reversed(range(8)):
            following = values[:, t + 1] if t < 7 else torch.zeros(rows)
            delta = rewards[:, t] + args["gamma"] * following - values[:, t]
            later = (delta + args["gamma"] * args["lam"] * later) * mask[:, t]
            advantages[:, t] = later
        returns = advantages + values
        advantages = whiten(advantages, mask) * mask
        mean_kl = (kl * mask).sum(1).mean().item()
        rollouts.append(
            {
                "objective/kl": mean_kl,
                "objective/kl_coef": kl_coef,
                "objective/scores": score.mean().item(),
                "objective/entropy": -(old * mask).sum(1).mean().item(),
                "advantages": [a[m > 0].tolist() for a, m in zip(advantages, mask)],
            }
        )
        if args.get("adap_kl_ctrl"):
            error = min(max(mean_kl / args["target"] - 1, -0.2), 0.2)
            kl_coef *= 1 + error * rows / args["horizon"]
        for epoch in range(args["num_ppo_epochs"]):
            shuffled = permutations[f"{number},{epoch}"]
            for start in range(0, rows, size):
                if len(steps) == settings["steps"]:
                    break
                some = torch.tensor(shuffled[start : start + size])
                part = tuple(x[some] for x in batch)
                m, a, r, v = part[3], advantages[some], returns[some], values[some]
                new, now, entropy = forward(model, head, part, args["temperature"])
                mean = lambda x: (x * m).sum() / m.sum()
                ratio = (new - old[some]).exp()
                pg = mean(torch.max(-a * ratio, -a * ratio.clamp(1 - args["cliprange"], 1 + args["cliprange"])))
                near = torch.clamp(now, v - args["cliprange_value"], v + args["cliprange_value"])
                vf = 0.5 * mean(torch.max((now - r) ** 2, (near - r) ** 2))
                loss = pg + args["vf_coef"] * vf
                rate = args["learning_rate"] * (1 - len(steps) / settings["steps"])
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.zero_grad()
                loss.backward()
                norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
                optimizer.step()
                steps.append(
                    {
                        "loss": loss.item(),
                        "grad_norm": norm.item(),
                        "loss/policy_avg": pg.item(),
                        "loss/value_avg": vf.item(),
                        "policy/approxkl_avg": 0.5 * mean((new - old[some]) ** 2).item(),
                        "policy/clipfrac_avg": mean(
                            (-a * ratio.clamp(1 - args["cliprange"], 1 + args["cliprange"]) > -a * ratio).float()
                        ).item(),
                        "policy/entropy_avg": mean(entropy).item(),
                        "val/ratio": mean(ratio).item(),
                    }
                )
    return {"name": name, "args": args, "lora": LORA, "completions": made, "rollouts": rollouts, "steps": steps}


def main():
    prompts = json.loads((FIXTURES / "grpo" / "runs.json").read_text())["prompts"]
    permutations = json.loads((OUT / "permutations.json").read_text())
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "seed": SEED,
    }
    runs = [run(name, settings, prompts, permutations) for name, settings in RUNS.items()]
    (OUT / "runs.json").write_text(json.dumps({"versions": versions, "prompts": prompts, "runs": runs}) + "\n")


if __name__ == "__main__":
    main()
