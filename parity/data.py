"""Writes test/fixtures/data/sft_rows.json: what TRL's SFTTrainer makes of rows in each format.

Run from the project root: python parity/data.py
The tokenizer is a word-level one made here; it is part of the fixture.
"""

import json
import logging
import platform
import tempfile
from pathlib import Path

import datasets
import tokenizers
import torch
import transformers
import trl
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

SEED = 11
OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "data" / "sft_rows.json"
WORDS = "the cat sat on a mat and then it ran away quickly what is your name my no yes sunny catnip".split()
SPECIALS = ["<unk>", "<s>", "</s>", "<pad>", "<user>", "<assistant>", "<system>", "<end>"]
TEMPLATE = """{{ bos_token }}{% for message in messages %}<{{ message['role'] }}> \
{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }} <end>{% endgeneration %}\
{% else %}{{ message['content'] }} <end>{% endif %} {% endfor %}{% if add_generation_prompt %}<assistant> {% endif %}"""

datasets.disable_progress_bars()
datasets.logging.set_verbosity_error()
logging.getLogger("trl").setLevel(logging.ERROR)
transformers.logging.set_verbosity_error()


def make_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {token: index for index, token in enumerate(SPECIALS + WORDS + ["."])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    fast.chat_template = TEMPLATE
    return fast


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict:
    return {"role": "assistant", "content": text}


TALK = [user("what is your name ."), assistant("my name is cat ."), user("is it sunny ."), assistant("yes .")]
TEXTS = [{"text": "the cat sat on a mat ."}, {"text": "it ran away .</s>"}, {"text": "no"}]
PROMPTS = [
    {"prompt": "the cat sat", "completion": " on a mat ."},
    {"prompt": "what is your name .", "completion": " my name is cat .</s>"},
    {"prompt": "the cat", "completion": "nip ran"},
]
LONG = [
    {"prompt": "the cat sat on a mat and then it ran away quickly", "completion": " yes"},
    {"prompt": "the cat", "completion": " sat on a mat and then it ran away quickly ."},
]
CHAT_PROMPTS = [{"prompt": TALK[:1], "completion": TALK[1:2]}, {"prompt": TALK[:3], "completion": TALK[3:]}]
CHATS = [{"messages": TALK}, {"messages": [{"role": "system", "content": "the mat ."}] + TALK[:2]}]
TOKENISED = [
    {"input_ids": [1, 9, 10, 11, 2], "labels": [-100, -100, 10, 11, 2]},
    {"input_ids": [1, 12, 13], "labels": [-100, 12, 13]},
]
MASKED = [
    {"input_ids": [1, 9, 10, 11, 2], "completion_mask": [0, 0, 1, 1, 1], "assistant_masks": [0, 1, 1, 0, 1]},
    {"input_ids": [1, 12, 13], "completion_mask": [0, 1, 1], "assistant_masks": [1, 1, 1]},
]

CASES = [
    ("text", TEXTS, {}),
    ("text, cut", TEXTS, {"max_length": 4}),
    ("prompt and completion", PROMPTS, {}),
    ("prompt and completion, all predicted", PROMPTS, {"completion_only_loss": False}),
    ("prompt and completion, cut from the end", LONG, {"max_length": 9}),
    ("prompt and completion, cut from the beginning", LONG, {"max_length": 9, "truncation_mode": "keep_end"}),
    ("conversational prompt and completion", CHAT_PROMPTS, {}),
    ("conversational prompt and completion, assistant only", CHAT_PROMPTS, {"assistant_only_loss": True}),
    (
        "conversational prompt and completion, assistant only, prompt too",
        CHAT_PROMPTS,
        {"assistant_only_loss": True, "completion_only_loss": False},
    ),
    ("messages", CHATS, {}),
    ("messages, assistant only", CHATS, {"assistant_only_loss": True}),
    ("messages, assistant only, cut", CHATS, {"assistant_only_loss": True, "max_length": 10}),
    ("labels", TOKENISED, {}),
    ("labels, cut", TOKENISED, {"max_length": 3}),
    ("masks", MASKED, {"completion_only_loss": True}),
    ("masks, not the completion's", MASKED, {"completion_only_loss": False}),
]


def prepare(tokenizer, rows, options, folder):
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, eos_token_id=2
        )
    )
    config = SFTConfig(
        output_dir=folder, use_cpu=True, report_to="none", bf16=False, gradient_checkpointing=False,
        **{"max_length": None, **options},
    )
    trainer = SFTTrainer(model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    return [{"input_ids": row["input_ids"], "labels": row["labels"]} for row in trainer.train_dataset]


def main() -> None:
    torch.manual_seed(SEED)
    tokenizer = make_tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        cases = [
            {"name": name, "rows": rows, "options": options, "expected": prepare(tokenizer, rows, options, folder)}
            for name, rows, options in CASES
        ]
    fixture = {
        "versions": {
            "python": platform.python_version(),
            "trl": trl.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
            "seed": SEED,
        },
        "tokenizerJson": json.loads(tokenizer.backend_tokenizer.to_str()),
        "chatTemplate": TEMPLATE,
        "cases": cases,
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(fixture, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
