"""Peer: plain TRL SFTTrainer. One step = 4 rows of 128 tokens, half of them supervised."""

import peer

given = peer.trainer_parser(__doc__).parse_args()
session = peer.Session("trl_sft", given.once)

from datasets import Dataset  # noqa: E402
from trl import SFTConfig, SFTTrainer  # noqa: E402

tuning = {} if given.full else {"peft_config": peer.lora()}
session.imported()

config = SFTConfig(**peer.trainer_settings(given))
session.settings = {"full": given.full, "gradient_checkpointing": config.gradient_checkpointing, "bf16": config.bf16}
trainer = SFTTrainer(
    given.checkpoint,
    args=config,
    train_dataset=Dataset.from_dict(peer.sft_rows(64)),
    processing_class=peer.placeholder_tokenizer(),
    **tuning,
)
peer.drive(trainer, session)
