"""The Python contrastive-ft 0.4.3, with the repairs that it needs on today's TRL:

- it imports the ORPO and PPO configs from TRL's top level, where they no longer are, and then
  takes `object` for the base of every config: empty stand-ins are put there first;
- Trainer counts the labels of the whole window, so the rows of pairs need a labels column of
  -100 (peer.pair_rows has one).

Nothing else is touched: what it computes and leaves out is its own.
"""

from __future__ import annotations

import trl
from transformers import TrainingArguments

VERSION = "0.4.3"


def build(checkpoint: str, settings: dict, tuning: dict, sft, pairs, tokenizer):
    for absent in ("ORPOConfig", "PPOConfig"):
        if not hasattr(trl, absent):
            setattr(trl, absent, type(absent, (TrainingArguments,), {}))

    from craft.config import CRAFTSFTConfig
    from craft.data import CRAFTCollator, make_craft_datasets
    from craft.trainers import CRAFTSFTTrainer

    if not issubclass(CRAFTSFTConfig, trl.SFTConfig):
        raise SystemExit("craft_original: CRAFTSFTConfig is no SFTConfig: the repair of its imports failed")
    return CRAFTSFTTrainer(
        model=checkpoint,
        args=CRAFTSFTConfig(**settings),
        train_dataset=sft,
        processing_class=tokenizer,
        craft_bundle=make_craft_datasets(sft, contrastive_dataset=pairs, strategy="paired_dataset"),
        craft_collator=CRAFTCollator(),
        **tuning,
    )
