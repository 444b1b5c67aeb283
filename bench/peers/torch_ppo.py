"""Peer: PPO in bare PyTorch with transformers and PEFT, since TRL has none any more.

One step = a rollout of 16 prompts of 64 tokens with a completion of 64 each and what is learnt from
it: 2 passes of 2 optimiser steps over 8 completions each. Weights are bfloat16, what is trained is
float32, the forward passes run under bfloat16 autocast. The policy's log-probabilities and values
come from one pass over the completions, the reference's from one with the adapter off; the LM head
runs at the completions' places only. Nothing ends a completion early.
"""

import time

import peer

given = peer.parser(__doc__).parse_args()
session = peer.Session("torch_ppo", given.once)

import torch  # noqa: E402
from peft import get_peft_model  # noqa: E402
from torch import nn  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

session.imported()
torch.manual_seed(0)

COMPLETIONS = peer.PROMPTS * peer.COPIES
EPOCHS, MINI_BATCHES = 2, 2
MINI_BATCH = COMPLETIONS // MINI_BATCHES
TEMPERATURE, KL, CLIP, CLIP_VALUE, VALUE_COEF, GAMMA, LAMBDA = 0.7, 0.05, 0.2, 0.2, 0.1, 1.0, 0.95

base = AutoModelForCausalLM.from_pretrained(given.checkpoint, dtype=torch.bfloat16)
base.generation_config.eos_token_id = None
base.generation_config.pad_token_id = 0
model = get_peft_model(base, peer.lora())
value_head = nn.Linear(base.config.hidden_size, 1)
nn.init.zeros_(value_head.weight)
nn.init.zeros_(value_head.bias)
trained = [weight for weight in (*model.parameters(), *value_head.parameters()) if weight.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=3e-6, weight_decay=0.0, fused=True)
all_prompts = torch.tensor(peer.prompt_rows())


def look(ids: torch.Tensor, values: bool = True) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log-probabilities of the completions' tokens, and values of the states before them."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = base.model(input_ids=ids, use_cache=False).last_hidden_state[:, peer.PROMPT - 1 : -1]
        logits = base.lm_head(hidden)
    logits = logits.float() / TEMPERATURE
    labels = ids[:, peer.PROMPT :, None]
    logps = logits.gather(-1, labels).squeeze(-1) - logits.logsumexp(-1)
    return logps, value_head(hidden.float()).squeeze(-1) if values else None


def rollout(prompts: torch.Tensor) -> list[torch.Tensor]:
    model.eval()
    with torch.no_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            ids = model.generate(
                input_ids=prompts,
                attention_mask=torch.ones_like(prompts),
                max_new_tokens=peer.ANSWER,
                min_new_tokens=peer.ANSWER,
                do_sample=True,
                temperature=TEMPERATURE,
                top_k=0,
                top_p=1.0,
            )
        if ids.shape[1] != peer.PROMPT + peer.ANSWER:
            raise SystemExit(f"torch_ppo: {ids.shape[1] - peer.PROMPT} new tokens instead of {peer.ANSWER}")
        scores = torch.tensor([peer.even_share(row) for row in ids[:, peer.PROMPT :].tolist()])
        parts = ids.split(MINI_BATCH)
        logps, values = (torch.cat(all_) for all_ in zip(*(look(part) for part in parts), strict=True))
        with model.disable_adapter():
            reference = torch.cat([look(part, values=False)[0] for part in parts])
    rewards = -KL * (logps - reference)
    rewards[:, -1] += scores
    advantages = torch.zeros_like(rewards)
    later = torch.zeros(len(ids))
    for t in reversed(range(peer.ANSWER)):
        following = values[:, t + 1] if t + 1 < peer.ANSWER else 0.0
        later = rewards[:, t] + GAMMA * following - values[:, t] + GAMMA * LAMBDA * later
        advantages[:, t] = later
    returns = advantages + values
    advantages = (advantages - advantages.mean()) * (advantages.var() + 1e-8).rsqrt()
    model.train()
    return [ids, logps, values, advantages, returns]


def learn(ids, old_logps, old_values, advantages, returns) -> float:
    logps, values = look(ids)
    ratio = (logps - old_logps).exp()
    policy = torch.max(-advantages * ratio, -advantages * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
    near = old_values + (values - old_values).clamp(-CLIP_VALUE, CLIP_VALUE)
    value = 0.5 * torch.max((values - returns).square(), (near - returns).square()).mean()
    loss = policy + VALUE_COEF * value
    loss.backward()
    nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def run_step(index: int) -> list[float]:
    begin = index * COMPLETIONS % len(all_prompts)
    made = rollout(all_prompts[begin : begin + COMPLETIONS])
    losses = []
    for _ in range(EPOCHS):
        for rows in torch.randperm(COMPLETIONS).split(MINI_BATCH):
            losses.append(learn(*(numbers[rows] for numbers in made)))
    return losses


session.settings = {"dtype": "bfloat16", "epochs": EPOCHS, "mini_batches": MINI_BATCHES}
session.ready()
while session.wait():
    began, cpu_began = time.perf_counter(), time.process_time()
    parts = run_step(session.steps)
    session.finished(
        time.perf_counter() - began, cpu_seconds=time.process_time() - cpu_began, loss=parts[-1], parts=parts
    )
session.end()
