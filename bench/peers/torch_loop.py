"""Peer: a bare PyTorch loop for the step of craft_sft.py, as a lower bound.

No trainer. bfloat16 weights, no gradient checkpointing, one product for the LM head over the
supervised positions of the SFT rows, none for the pairs, one forward for both sides of the
pairs, no metric. LoRA masters are float32 and cast where they are used; with --full the
bfloat16 weights themselves are trained. The projection head is trained too.

--keep-memory tells glibc to keep freed blocks instead of handing them back to the kernel.
"""

import time

import peer

options = peer.parser(__doc__)
options.add_argument("--full", action="store_true", help="train all weights instead of LoRA")
options.add_argument("--keep-memory", action="store_true", help="glibc only")
given = options.parse_args()
session = peer.Session("torch_loop", given.once)

if given.keep_memory:
    import ctypes

    libc = ctypes.CDLL(None)
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # of malloc.h
    for parameter, value in ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 256 << 20)):
        if libc.mallopt(parameter, value) != 1:
            raise SystemExit("torch_loop: mallopt refused a setting")

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

session.imported()
torch.manual_seed(0)

ALPHA, TEMPERATURE, RANK, SCALE = 0.6, 0.05, 8, 2.0


class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(torch.empty(RANK, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, RANK))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        down = functional.linear(x, self.down.to(x.dtype))
        return self.base(x) + SCALE * functional.linear(down, self.up.to(x.dtype))


model = AutoModelForCausalLM.from_pretrained(given.checkpoint, dtype=torch.bfloat16)
model.train()
if not given.full:
    model.requires_grad_(False)
    for layer in model.model.layers:
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(layer.self_attn, name, LoRALinear(getattr(layer.self_attn, name)))
hidden_size = model.config.hidden_size
head = nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.GELU(), nn.Linear(hidden_size, 256))
trained = [weight for weight in (*model.parameters(), *head.parameters()) if weight.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=2e-5, weight_decay=0.0, fused=True)

STEPS = 64
sft = {name: torch.tensor(rows) for name, rows in peer.sft_rows(STEPS).items()}
pairs = {name: torch.tensor(rows) for name, rows in peer.pair_rows(STEPS).items() if name.startswith("input")}


def backbone(ids: torch.Tensor) -> torch.Tensor:
    return model.model(input_ids=ids, use_cache=False).last_hidden_state


def run_step(index: int) -> tuple[float, float]:
    rows = slice(index * peer.ROWS, (index + 1) * peer.ROWS)
    targets = sft["labels"][rows, 1:]
    supervised = targets != -100
    hidden = backbone(sft["input_ids"][rows])[:, :-1][supervised]
    sft_loss = ALPHA * functional.cross_entropy(model.lm_head(hidden).float(), targets[supervised])
    sft_loss.backward()
    both = torch.cat([pairs["input_ids"][rows], pairs["input_ids_tgt"][rows]])
    embedded = functional.normalize(head(backbone(both)[:, -1].float()), dim=-1)
    anchors, positives = embedded.chunk(2)
    nce = (1 - ALPHA) * functional.cross_entropy(anchors @ positives.T / TEMPERATURE, torch.arange(peer.ROWS))
    nce.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return sft_loss.item(), nce.item()


session.settings = {"full": given.full, "keep_memory": given.keep_memory, "dtype": "bfloat16"}
session.ready()
while session.wait():
    began, cpu_began = time.perf_counter(), time.process_time()
    parts = run_step(session.steps % STEPS)
    session.finished(
        time.perf_counter() - began, cpu_seconds=time.process_time() - cpu_began, loss=sum(parts), parts=parts
    )
session.end()
