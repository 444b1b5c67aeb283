"""What all peers share: the line protocol, the synthetic data, the trainer's settings.

Protocol. The driver starts a peer with pipes and reads one JSON object a line:

    peer    {"ready": true, "name", "import_seconds", "load_seconds",
             "ready_seconds_since_start", "versions", "settings"}
    driver  step
    peer    {"seconds", "cpu_seconds", "loss", ...}
    driver  quit                      (or end of input)
    peer    {"done": true, "steps", "peak_rss_bytes"}

With --once a peer takes no commands: it runs one step and prints one line with
{"first_step_seconds_since_start", "seconds", "cpu_seconds", "loss", "import_seconds", "load_seconds",
"peak_rss_bytes", "versions", "settings"}. Everything that libraries print goes to stderr.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from importlib import metadata

SEQUENCE = 128
ROWS = 4
STEPS = 64
PROMPT = 64
ANSWER = 64
END = 2
PROMPTS = 4
COPIES = 4
VOCABULARY = 49152
PACKAGES = ["torch", "transformers", "trl", "peft", "accelerate", "datasets", "safetensors", "contrastive-ft"]

_started_reading = time.perf_counter()
_protocol = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

# Peers read nothing but the folder they are given.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def seconds_since_start() -> float:
    """Seconds since the kernel started this process, to 10 ms; where /proc is absent,
    since this file was read."""
    try:
        with open("/proc/self/stat", encoding="ascii") as stat:
            # The second field is the program's name in parentheses and may hold spaces.
            fields = stat.read().rsplit(")", 1)[1].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, AttributeError):
        return time.perf_counter() - _started_reading


def peak_rss_bytes() -> int:
    """Largest resident size so far. VmHWM first: ru_maxrss would also count what the
    driver's process held when it forked."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def say(message: dict) -> None:
    _protocol.write(json.dumps(message) + "\n")


class Session:
    """Takes the driver's commands and prints what the protocol asks for."""

    def __init__(self, name: str, once: bool) -> None:
        self.name = name
        self.once = once
        self.steps = 0
        self.settings: dict = {}
        self.import_seconds = 0.0
        self.load_seconds = 0.0
        self._mark = time.perf_counter()

    def imported(self) -> None:
        now = time.perf_counter()
        self.import_seconds, self._mark = now - self._mark, now

    def ready(self) -> None:
        """Says that the next thing to happen is a step."""
        self.load_seconds = time.perf_counter() - self._mark
        if not self.once:
            say({"ready": True, "ready_seconds_since_start": seconds_since_start(), **self._facts()})

    def wait(self) -> bool:
        """Waits for a command; true when a step is to run, false when the peer is to end."""
        if self.once:
            return self.steps == 0
        for line in sys.stdin:
            command = line.strip()
            if command == "step":
                return True
            if command == "quit":
                return False
            if command:
                raise SystemExit(f"{self.name}: unknown command {command!r}; it accepts step or quit")
        return False

    def finished(self, seconds: float, **values: object) -> None:
        self.steps += 1
        if self.once:
            since_start = seconds_since_start()
            say(
                {
                    "first_step_seconds_since_start": since_start,
                    "seconds": seconds,
                    **values,
                    "peak_rss_bytes": peak_rss_bytes(),
                    **self._facts(),
                }
            )
        else:
            say({"seconds": seconds, **values})

    def end(self) -> None:
        if not self.once:
            say({"done": True, "steps": self.steps, "peak_rss_bytes": peak_rss_bytes()})

    def _facts(self) -> dict:
        return {
            "name": self.name,
            "import_seconds": self.import_seconds,
            "load_seconds": self.load_seconds,
            "versions": versions(),
            "settings": self.settings,
        }


def parser(description: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--checkpoint", required=True, help="folder with config.json and model.safetensors")
    made.add_argument("--once", action="store_true", help="run one step, print one line, end")
    return made


def trainer_parser(description: str) -> argparse.ArgumentParser:
    made = parser(description)
    made.add_argument("--full", action="store_true", help="train all weights instead of LoRA")
    made.add_argument(
        "--gradient-checkpointing",
        action="store_true",
        help="TRL's default; off here, where memory suffices, because it makes a step slower",
    )
    return made


def tokens(rows: int, stream: int) -> list[list[int]]:
    """Token ids that every peer and the driver can make alike: x <- 1664525 x + 1013904223
    (mod 2^32) from x = stream, id = (x >> 8) mod 49152."""
    state = stream
    made = []
    for _ in range(rows):
        row = []
        for _ in range(SEQUENCE):
            state = (1664525 * state + 1013904223) & 0xFFFFFFFF
            row.append((state >> 8) % VOCABULARY)
        made.append(row)
    return made


def labels(row: list[int]) -> list[int]:
    """The second half of a row is supervised."""
    half = SEQUENCE // 2
    return [-100] * half + row[half:]


SFT_STREAM, ANCHOR_STREAM, POSITIVE_STREAM = 1, 2, 3


def sft_rows(steps: int) -> dict[str, list]:
    rows = tokens(ROWS * steps, SFT_STREAM)
    return {"input_ids": rows, "labels": [labels(row) for row in rows]}


def pair_rows(steps: int) -> dict[str, list]:
    anchors = tokens(ROWS * steps, ANCHOR_STREAM)
    positives = tokens(ROWS * steps, POSITIVE_STREAM)
    mask = [[1] * SEQUENCE for _ in anchors]
    return {
        "input_ids": anchors,
        "attention_mask": mask,
        "input_ids_tgt": positives,
        "attention_mask_tgt": mask,
        # Trainer counts the labels of the whole window, so these rows need the column too.
        "labels": [[-100] * SEQUENCE for _ in anchors],
    }


def preference_rows() -> list[dict[str, list]]:
    """Prompts of 128 tokens with two answers of 64, which end with the end token."""
    answers = tokens(ROWS * STEPS, ANCHOR_STREAM)
    return [
        {"prompt": prompt, "chosen": both[: ANSWER - 1] + [END], "rejected": both[ANSWER : 2 * ANSWER - 1] + [END]}
        for prompt, both in zip(tokens(ROWS * STEPS, SFT_STREAM), answers, strict=True)
    ]


def prompt_rows() -> list[list[int]]:
    """Prompts of 64 tokens."""
    return [row[:PROMPT] for row in tokens(PROMPTS * STEPS, SFT_STREAM)]


def even_share(ids: list[int]) -> float:
    """What completions are rewarded with: the share of their tokens that have an even number."""
    return sum(token % 2 == 0 for token in ids) / len(ids)


def lora():
    from peft import LoraConfig

    return LoraConfig(
        r=8,
        lora_alpha=16,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
        task_type="CAUSAL_LM",
    )


def placeholder_tokenizer():
    """SFTTrainer wants a tokenizer for its pad token; the rows are token ids already."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")


def temporary_folder() -> str:
    folder = tempfile.mkdtemp(prefix="craft-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def trainer_settings(given: argparse.Namespace) -> dict:
    """Settings for SFTConfig. What is not named here is the trainer's own default: float32
    weights under bf16 autocast, fused AdamW, the chunked loss, a linear schedule."""
    return {
        "output_dir": temporary_folder(),
        "use_cpu": True,
        "bf16": True,
        "gradient_checkpointing": given.gradient_checkpointing,
        "per_device_train_batch_size": ROWS,
        "max_steps": 100_000,
        "save_strategy": "no",
        "dataloader_pin_memory": False,
        "seed": 0,
    }


class _Quit(Exception):
    """Leaves trainer.train() between two steps."""


def drive(trainer, session: Session) -> None:
    """Runs trainer.train() itself; only the moment at which each step begins is the driver's."""
    from transformers import TrainerCallback

    losses: list = []
    training_step = trainer.training_step

    def recorded(*arguments, **named):
        loss = training_step(*arguments, **named)
        losses.append(loss.detach())
        return loss

    trainer.training_step = recorded

    class OnDemand(TrainerCallback):
        began = cpu_began = 0.0

        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 0:
                session.ready()
            if not session.wait():
                raise _Quit
            losses.clear()
            self.began, self.cpu_began = time.perf_counter(), time.process_time()

        def on_step_end(self, args, state, control, **kwargs):
            seconds = time.perf_counter() - self.began
            cpu_seconds = time.process_time() - self.cpu_began
            parts = [loss.item() for loss in losses]
            session.finished(seconds, cpu_seconds=cpu_seconds, loss=sum(parts), parts=parts)

    trainer.add_callback(OnDemand())
    with contextlib.suppress(_Quit):
        trainer.train()
    session.end()
