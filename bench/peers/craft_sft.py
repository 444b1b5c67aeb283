"""Peer: contrastive SFT in Python. One step = 4 rows of 128 tokens, half of them supervised,
and 4 pairs of 128 tokens a side, as two micro-batches of one window.

Runs contrastive-ft 0.4.3 where it is installed, else the stand-in of craft_stand_in.py.
"""

from importlib import metadata

import peer

options = peer.trainer_parser(__doc__)
options.add_argument(
    "--contrastive-precision",
    choices=["float32", "bfloat16"],
    default="float32",
    help="stand-in only; float32 is what the original does (see craft_stand_in.py)",
)
given = options.parse_args()
session = peer.Session("craft_sft", given.once)

from datasets import Dataset  # noqa: E402

import craft_original  # noqa: E402

try:
    original = metadata.version("contrastive-ft") == craft_original.VERSION
except metadata.PackageNotFoundError:
    original = False
if not original:
    import craft_stand_in

tuning = {} if given.full else {"peft_config": peer.lora()}
session.imported()

settings = peer.trainer_settings(given) | {"gradient_accumulation_steps": 2}
arguments = {
    "settings": settings,
    "tuning": tuning,
    "sft": Dataset.from_dict(peer.sft_rows(64)),
    "pairs": Dataset.from_dict(peer.pair_rows(64)),
    "tokenizer": peer.placeholder_tokenizer(),
}
if original:
    trainer = craft_original.build(given.checkpoint, **arguments)
else:
    trainer = craft_stand_in.build(
        given.checkpoint, **arguments, contrastive_precision=given.contrastive_precision
    )
session.settings = {
    "implementation": f"contrastive-ft {craft_original.VERSION}" if original else "stand-in",
    "full": given.full,
    "gradient_checkpointing": trainer.args.gradient_checkpointing,
    "bf16": trainer.args.bf16,
    "contrastive_precision": "its own" if original else given.contrastive_precision,
}
peer.drive(trainer, session)
