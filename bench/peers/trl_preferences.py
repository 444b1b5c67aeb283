"""Peer: TRL's DPOTrainer or ORPOTrainer. One step = 4 pairs, prompts of 128 tokens, answers of 64;
DPO's reference is the model with its adapter off, computed in each step."""

import peer

options = peer.trainer_parser(__doc__)
options.add_argument("--trainer", choices=["dpo", "orpo"], required=True)
given = options.parse_args()
session = peer.Session(f"trl_{given.trainer}", given.once)

if given.trainer == "dpo":
    from trl import DPOConfig as Config  # noqa: E402
    from trl import DPOTrainer as Trainer  # noqa: E402
else:
    from trl.experimental.orpo import ORPOConfig as Config  # noqa: E402
    from trl.experimental.orpo import ORPOTrainer as Trainer  # noqa: E402

from number_texts import NumberTexts  # noqa: E402

tuning = {} if given.full else {"peft_config": peer.lora()}
session.imported()

config = Config(**peer.trainer_settings(given))
texts = NumberTexts(peer.END)
trainer = Trainer(
    given.checkpoint,
    args=config,
    train_dataset=texts.preferences(),
    processing_class=texts.tokenizer,
    **tuning,
)
session.settings = {
    "full": given.full,
    "gradient_checkpointing": config.gradient_checkpointing,
    "bf16": config.bf16,
    "weights": str(next(trainer.model.parameters()).dtype),
}
peer.drive(trainer, session)
