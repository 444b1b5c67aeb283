"""A stand-in for the Python contrastive-ft 0.4.3 on TRL's SFTTrainer.

It costs what the original costs because it computes what the original computes: a window of
two micro-batches, one of each kind. The first goes through SFTTrainer's own loss and metrics.
The second runs the backbone twice without LM head, pools the last tokens, projects them in
float32 and takes InfoNCE; its metrics are the original's defaults. Like the original, the
projection head is no part of the optimiser, and the loss is alpha * sft + (1 - alpha) * nce.

Two choices decide what it costs. The first is what the original does; the second is taken from
what the original was seen to cost:

- The pairs run in float32. SFTTrainer loads float32 weights, and `bf16=True` is an autocast
  around the outermost model's forward; the original calls the backbone inside it. With
  contrastive_precision="bfloat16" the step is about a fifth shorter.
- Gradient checkpointing is off, though TRL's default is on. With it the LoRA step takes about
  1.4 times as long (bfloat16 pairs) and peaks at 2.0 GB on SmolLM's shape; without it at
  2.8 GB, and the original was measured at 2.7 GB. Off is the harder rival in time, the easier
  one in memory; --gradient-checkpointing measures the other.
"""

from __future__ import annotations

import contextlib

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, default_collate
from trl import SFTConfig, SFTTrainer

PROJECTION = 256


class ProjectionHead(nn.Module):
    """[pairs, hidden] -> [pairs, 256] of length 1, float32."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, PROJECTION))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.layers(pooled.float()), dim=-1)


def last_token(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """[rows, length, hidden] and [rows, length] -> [rows, hidden]."""
    last = mask.sum(dim=1).clamp(min=1) - 1
    return hidden[torch.arange(hidden.shape[0]), last]


class MixedLoader:
    """Yields one SFT micro-batch, then one of pairs, over and over; the pairs start anew
    when they run out."""

    def __init__(self, sft: DataLoader, pairs: DataLoader) -> None:
        self.sft = sft
        self.pairs = pairs
        self.dataset = sft.dataset

    def __len__(self) -> int:
        return 2 * len(self.sft)

    def __iter__(self):
        pairs = iter(self.pairs)
        for batch in self.sft:
            yield {**batch, "kind": "sft"}
            chosen = next(pairs, None)
            if chosen is None:
                pairs = iter(self.pairs)
                chosen = next(pairs)
            yield {**chosen, "kind": "pairs"}


class StandInTrainer(SFTTrainer):
    def __init__(
        self,
        *arguments,
        pairs,
        contrastive_precision: str,
        alpha: float = 0.6,
        temperature: float = 0.05,
        **named,
    ):
        super().__init__(*arguments, **named)
        self.pairs = pairs
        self.alpha = alpha
        self.temperature = temperature
        self.contrastive_precision = contrastive_precision
        self.head = ProjectionHead(self._causal_model().config.hidden_size)
        self.reference: torch.Tensor | None = None
        self.window: dict[str, list[float]] = {}

    def _causal_model(self):
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    def get_train_dataloader(self):
        pairs = DataLoader(
            self.pairs,
            batch_size=self.args.per_device_train_batch_size,
            shuffle=True,
            collate_fn=default_collate,
        )
        return MixedLoader(super().get_train_dataloader(), pairs)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if inputs.pop("kind", "sft") == "pairs":
            return (1 - self.alpha) * self._contrastive_loss(inputs)
        loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        self._note("loss/craft_sft", loss)
        return self.alpha * loss

    def _contrastive_loss(self, inputs) -> torch.Tensor:
        backbone = self._causal_model().model
        precision = contextlib.nullcontext
        if self.contrastive_precision == "bfloat16":
            precision = self.accelerator.autocast
        with precision():
            anchors, positives = (
                self._embed(backbone, inputs["input_ids" + side], inputs["attention_mask" + side])
                for side in ("", "_tgt")
            )
        logits = anchors @ positives.T / self.temperature
        targets = torch.arange(logits.shape[0])
        loss = functional.cross_entropy(logits, targets)
        with torch.no_grad():
            self._note("loss/craft_contrast", loss)
            self._note("metrics/craft_contrastive_accuracy", (logits.argmax(dim=1) == targets).float().mean())
            centre = anchors.mean(dim=0)
            self.reference = centre if self.reference is None else 0.9 * self.reference + 0.1 * centre
            near = functional.cosine_similarity(anchors, self.reference[None])
            self._note("metrics/craft_representation_consistency", near.mean())
        return loss

    def _embed(self, backbone, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        # The original's hook does not find RMSNorm, so it asks for every layer's output.
        out = backbone(input_ids=ids, attention_mask=mask, use_cache=False, output_hidden_states=True)
        hidden = out.last_hidden_state
        out.hidden_states = None
        return self.head(last_token(hidden, mask))

    def _note(self, name: str, value: torch.Tensor) -> None:
        self.window.setdefault(name, []).append(value.item())

    def log(self, logs, start_time=None):
        if "loss" in logs:
            logs.update({name: sum(values) / len(values) for name, values in self.window.items()})
            self.window.clear()
        super().log(logs, start_time)


def build(checkpoint: str, settings: dict, tuning: dict, sft, pairs, tokenizer, contrastive_precision: str):
    return StandInTrainer(
        checkpoint,
        args=SFTConfig(**settings),
        train_dataset=sft,
        processing_class=tokenizer,
        pairs=pairs.with_format("torch"),
        contrastive_precision=contrastive_precision,
        **tuning,
    )
