"""Peer: transformers' generate. One step = a greedy batch of 48 new tokens after random
prompts of 64, end-of-sequence disabled, bfloat16."""

import time

import peer

PROMPT, NEW = 64, 48

options = peer.parser(__doc__)
options.add_argument("--rows", type=int, default=8)
given = options.parse_args()
session = peer.Session("generate", given.once)

import torch  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

session.imported()

model = AutoModelForCausalLM.from_pretrained(given.checkpoint, dtype=torch.bfloat16).eval()
model.generation_config.eos_token_id = None
model.generation_config.pad_token_id = 0
prompts = torch.tensor(peer.tokens(given.rows, peer.SFT_STREAM))[:, :PROMPT]
session.settings = {"rows": given.rows, "prompt_tokens": PROMPT, "new_tokens": NEW, "dtype": "bfloat16"}
session.ready()
while session.wait():
    began, cpu_began = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        output = model.generate(
            input_ids=prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=NEW,
            min_new_tokens=NEW,
            do_sample=False,
        )
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    made = output.shape[1] - PROMPT
    if made != NEW:
        raise SystemExit(f"generate: {made} new tokens instead of {NEW}")
    session.finished(
        seconds,
        cpu_seconds=cpu_seconds,
        tokens_per_second=given.rows * NEW / seconds,
        last_tokens=output[0, -8:].tolist(),
    )
session.end()
