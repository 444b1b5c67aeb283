"""Checks that the stand-in does what it stands in for: gradients of the SFT rows and of the
pairs both reach every LoRA matrix (or, with --full, every weight that they depend on), and
the two kinds of micro-batch alternate. Prints one line of JSON; exit code 1 on a failure.
"""

import peer

given = peer.trainer_parser(__doc__).parse_args()

import torch  # noqa: E402
from datasets import Dataset  # noqa: E402

import craft_stand_in  # noqa: E402

trainer = craft_stand_in.build(
    given.checkpoint,
    settings=peer.trainer_settings(given) | {"gradient_accumulation_steps": 2},
    tuning={} if given.full else {"peft_config": peer.lora()},
    sft=Dataset.from_dict(peer.sft_rows(2)),
    pairs=Dataset.from_dict(peer.pair_rows(2)),
    tokenizer=peer.placeholder_tokenizer(),
    contrastive_precision="float32",
)
trained = {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}
# The up-projections of LoRA start at zero, which would leave the down-projections without a gradient.
for name, weight in trained.items():
    if "lora_B" in name:
        torch.nn.init.normal_(weight, std=0.02)
trainer.create_optimizer_and_scheduler(num_training_steps=10)
model = trainer.accelerator.prepare(trainer.model)

batches = list(trainer.get_train_dataloader())
kinds = [batch["kind"] for batch in batches]
report: dict = {"kinds": kinds, "trained": len(trained)}
failures = [] if kinds == ["sft", "pairs"] * 2 else ["the micro-batches do not alternate"]
for batch in batches[:2]:
    kind = batch["kind"]
    loss = trainer.training_step(model, dict(batch), torch.tensor(peer.ROWS * peer.SEQUENCE // 2))
    flowing = {n: w.grad.norm().item() for n, w in trained.items() if w.grad is not None and w.grad.any()}
    report[kind] = {
        "loss": loss.item(),
        "reached": len(flowing),
        "norm": sum(norm**2 for norm in flowing.values()) ** 0.5,
    }
    missing = sorted(set(trained) - set(flowing))
    if missing:
        failures.append(f"no gradient from {kind}: {', '.join(missing[:4])}")
    model.zero_grad()
report["failures"] = failures
peer.say(report)
raise SystemExit(1 if failures else 0)
