"""Peer: TRL's GRPOTrainer with transformers' generate. One step = 4 prompts of 64 tokens with 4
completions of 64 each, their rewards, one optimiser step; no divergence from a reference.

The end token is one that the model does not have, so that no completion ends early.
"""

import peer

given = peer.trainer_parser(__doc__).parse_args()
session = peer.Session("trl_grpo", given.once)

from trl import GRPOConfig, GRPOTrainer  # noqa: E402

from number_texts import NumberTexts  # noqa: E402

tuning = {} if given.full else {"peft_config": peer.lora()}
session.imported()


def even_share(completion_ids: list[list[int]], **_: object) -> list[float]:
    if any(len(ids) != peer.ANSWER for ids in completion_ids):
        raise SystemExit(f"trl_grpo: completions of {sorted({len(ids) for ids in completion_ids})} tokens")
    return [peer.even_share(ids) for ids in completion_ids]


config = GRPOConfig(
    **peer.trainer_settings(given)
    | {
        "per_device_train_batch_size": peer.PROMPTS * peer.COPIES,
        "num_generations": peer.COPIES,
        "max_completion_length": peer.ANSWER,
    }
)
session.settings = {"full": given.full, "gradient_checkpointing": config.gradient_checkpointing, "bf16": config.bf16}
texts = NumberTexts(peer.VOCABULARY)
trainer = GRPOTrainer(
    given.checkpoint,
    args=config,
    reward_funcs=even_share,
    train_dataset=texts.prompts(),
    processing_class=texts.tokenizer,
    **tuning,
)
peer.drive(trainer, session)
