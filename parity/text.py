"""Writes test/fixtures/text: two small tokenizers, and what tokenizers, transformers and Jinja make of hard input.

Run from the project root: python parity/text.py
Character offsets are converted to UTF-16 units, which is how JavaScript counts.
"""

import json
import platform
import random
from collections import Counter
from pathlib import Path

import jinja2
import tokenizers
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import _compile_jinja_template

from text_cases import CHATS, CORPUS, JINJA, TEMPLATES, TEXTS, TOOLS

SEED = 7
ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "test" / "fixtures" / "text"
VERSIONS = {
    "python": platform.python_version(),
    "tokenizers": tokenizers.__version__,
    "transformers": transformers.__version__,
    "jinja2": jinja2.__version__,
    "seed": SEED,
}
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PLAIN = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
QWEN2_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
BYTE_LEVEL_SPECIALS = [
    f"<|{name}|>" for name in ("bos", "eos", "pad", "im_start", "im_end", "header", "/header", "eot")
]


def write(path: Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
    path.write_text(text, encoding="utf-8")


def train_byte_level() -> Tokenizer:
    """Llama-3 style: split by expression, bytes, BOS from a template."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(LLAMA3_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in BYTE_LEVEL_SPECIALS])
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False)])
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|bos|>:0 $A:0",
                pair="<|bos|>:0 $A:0 <|bos|>:1 $B:1",
                special_tokens=[("<|bos|>", tokenizer.token_to_id("<|bos|>"))],
            ),
        ]
    )
    return tokenizer


def train_byte_fallback() -> Tokenizer:
    """Llama-2 style: spaces as U+2581, what is unknown as bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    # The trainer breaks ties of frequency as it likes, so the alphabet is chosen here.
    counts = Counter("▁".join(CORPUS).replace(" ", "▁"))
    alphabet = sorted(counts, key=lambda char: (-counts[char], char))[:90]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=alphabet,
        special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)],
        limit_alphabet=len(alphabet),
        max_token_length=12,
        show_progress=False,
    )
    words = [word if word.startswith("▁") else "▁" + word for line in CORPUS for word in line.split(" ")]
    tokenizer.train_from_iterator(words, trainer)
    # The trainer makes every byte token special; sentencepiece models keep only the three control tokens so.
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = state["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def make_unigram(byte_fallback: Tokenizer) -> Tokenizer:
    """T5 style: scores instead of merges. Its trainer is not reproducible, so the scores are made up."""
    tokens = [t for t in sorted(byte_fallback.get_vocab()) if t.replace("▁", "").isascii() and not t.startswith("<")]
    scores = [(token, round(-9 + 0.8 * len(token) - 0.001 * i, 3)) for i, token in enumerate(tokens)]
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("</s>", 0.0), *scores], unk_id=0))
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "</s>")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer


def word_level() -> dict:
    words = sorted({word for line in CORPUS for word in line.split()})
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    none = {"normalizer": None, "post_processor": None, "decoder": None, "added_tokens": []}
    model = json.loads(tokenizer.to_str())["model"]
    return {**none, "model": model, "pre_tokenizer": component(pre_tokenizers.Whitespace())}


def added(tokenizer: Tokenizer, changes: dict[str, dict]) -> list[dict]:
    return [{**token, **changes.get(token["content"], {})} for token in json.loads(tokenizer.to_str())["added_tokens"]]


def component(thing) -> dict:
    """The JSON of a normalizer, pre-tokenizer, post-processor or decoder."""
    return json.loads(thing.__getstate__())


def variants(byte_level: Tokenizer, byte_fallback: Tokenizer) -> list[dict]:
    """The parts in which real model families differ, put onto the two vocabularies."""
    split = lambda pattern, behavior, invert=False: pre_tokenizers.Split(pattern, behavior, invert)  # noqa: E731
    regex = tokenizers.Regex
    last_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)

    def bytes_after(*steps):
        return {"pre_tokenizer": component(pre_tokenizers.Sequence([*steps, last_bytes]))}

    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
    qwen2 = {"normalizer": component(normalizers.NFC()), **bytes_after(split(regex(QWEN2_SPLIT), "isolated"))}

    def before_gpt2(step):
        return {"pre_tokenizer": component(pre_tokenizers.Sequence([step, gpt2]))}

    def normalized(*steps):
        return {"normalizer": component(normalizers.Sequence(list(steps)))}

    def gpt2_words(**settings):
        return {"pre_tokenizer": component(pre_tokenizers.ByteLevel(**settings))}

    at_marks = regex(r"\s|[.,]")
    found = [
        ("llama3", "byte_level", {}),
        (
            "gpt2",
            "byte_level",
            {**gpt2_words(add_prefix_space=False), "post_processor": None, "model": {"ignore_merges": False}},
        ),
        ("gpt2-prefix-space", "byte_level", gpt2_words(add_prefix_space=True)),
        ("smollm-digits", "byte_level", before_gpt2(pre_tokenizers.Digits(individual_digits=True))),
        ("digits-grouped", "byte_level", bytes_after(pre_tokenizers.Digits(individual_digits=False))),
        ("qwen2-nfc", "byte_level", qwen2),
        ("nfkc-lowercase", "byte_level", normalized(normalizers.NFKC(), normalizers.Lowercase())),
        ("nfd-strip", "byte_level", normalized(normalizers.NFD(), normalizers.StripAccents(), normalizers.Strip())),
        ("split-removed", "byte_level", bytes_after(split(regex(r"\s+"), "removed"))),
        ("split-merged-previous", "byte_level", bytes_after(split(at_marks, "merged_with_previous"))),
        ("split-merged-next", "byte_level", bytes_after(split(at_marks, "merged_with_next"))),
        ("split-contiguous", "byte_level", bytes_after(split(at_marks, "contiguous"))),
        ("split-inverted", "byte_level", bytes_after(split(regex(r"\w+|[^\w\s]+"), "removed", True))),
        ("punctuation", "byte_level", bytes_after(pre_tokenizers.Punctuation(), pre_tokenizers.Whitespace())),
        (
            "whitespace-delimiter",
            "byte_level",
            bytes_after(pre_tokenizers.WhitespaceSplit(), pre_tokenizers.CharDelimiterSplit("-")),
        ),
        (
            "added-token-flags",
            "byte_level",
            {
                "normalizer": component(normalizers.Lowercase()),
                "added_tokens": added(
                    byte_level,
                    {
                        "<|im_start|>": {"lstrip": True},
                        "<|im_end|>": {"rstrip": True},
                        "<tool_call>": {"single_word": True},
                        "</tool_call>": {"normalized": True},
                    },
                ),
            },
        ),
        ("llama2", "byte_fallback", {}),
        (
            "mistral-metaspace-first",
            "byte_fallback",
            {
                "normalizer": None,
                "pre_tokenizer": component(pre_tokenizers.Metaspace(prepend_scheme="first", split=False)),
            },
        ),
        (
            "metaspace-always-split",
            "byte_fallback",
            {
                "normalizer": None,
                "pre_tokenizer": component(pre_tokenizers.Metaspace(prepend_scheme="always", split=True)),
                "decoder": component(decoders.Metaspace(prepend_scheme="always")),
            },
        ),
        (
            "gemma",
            "byte_fallback",
            {
                "normalizer": component(normalizers.Replace(" ", "▁")),
                "pre_tokenizer": component(split(" ", "merged_with_previous")),
                "decoder": component(
                    decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
                ),
            },
        ),
        ("no-fallback-fused", "byte_fallback", {"model": {"byte_fallback": False, "fuse_unk": True}}),
        ("t5-unigram", "unigram", {}),
        ("unigram-nfkc", "unigram", {"normalizer": component(normalizers.NFKC())}),
        ("word-level", "unigram", word_level()),
        ("no-fallback-single", "byte_fallback", {"model": {"byte_fallback": False, "fuse_unk": False}}),
    ]
    return [{"name": name, "base": base, "overrides": overrides} for name, base, overrides in found]


def utf16(text: str, offset: int) -> int:
    return len(text[:offset].encode("utf-16-le")) // 2


def tokenization(byte_level: Tokenizer, byte_fallback: Tokenizer, unigram: Tokenizer) -> dict:
    rng = random.Random(SEED)
    bases = {
        "byte_level": json.loads(byte_level.to_str()),
        "byte_fallback": json.loads(byte_fallback.to_str()),
        "unigram": json.loads(unigram.to_str()),
    }
    results = []
    for variant in variants(byte_level, byte_fallback):
        base = bases[variant["base"]]
        overrides = variant["overrides"]
        model = overrides.get("model", {})
        state = {**base, **overrides, "model": model if "vocab" in model else {**base["model"], **model}}
        tokenizer = Tokenizer.from_str(json.dumps(state))
        encoded = []
        for text in TEXTS:
            encoding = tokenizer.encode(text)
            encoded.append([encoding.ids, [[utf16(text, a), utf16(text, b)] for a, b in encoding.offsets]])
        decoded = []
        # Ids as they come from text, and ids in random order, whose bytes often are no text.
        for ids in [e[0] for e in encoded[::3]] + [
            [rng.randrange(tokenizer.get_vocab_size()) for _ in range(rng.randrange(1, 12))] for _ in range(24)
        ]:
            decoded.append([ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids)])
        results.append({**variant, "encoded": encoded, "decoded": decoded})
    return {"versions": VERSIONS, "texts": TEXTS, "unigram": bases["unigram"], "variants": results}


def chat_cases(folder: str, templates: dict[str, str]) -> list[dict]:
    tokenizer = AutoTokenizer.from_pretrained(OUT / folder)
    cases = []
    for name, template in templates.items():
        for title, chat in CHATS.items():
            for options in [{}, {"add_generation_prompt": True}, {"tools": TOOLS}, {"continue_final_message": True}]:
                marked = "generation %}" in template and not options.get("continue_final_message")
                case = {"template": name, "chat": title, "options": options}
                try:
                    case["rendered"] = tokenizer.apply_chat_template(
                        chat, chat_template=template, tokenize=False, **options
                    )
                    out = tokenizer.apply_chat_template(
                        chat, chat_template=template, return_assistant_tokens_mask=marked, **options
                    )
                    case["ids"] = out["input_ids"]
                    if marked:
                        case["mask"] = out["assistant_masks"]
                except Exception as error:  # what a template refuses is part of the record
                    case["error"] = str(error)
                cases.append(case)
    return cases


def jinja_cases() -> list[dict]:
    cases = []
    for template, variables in JINJA:
        case = {"template": template, "variables": variables}
        try:
            case["output"] = _compile_jinja_template(template).render(**variables)
        except Exception as error:
            case["error"] = f"{type(error).__name__}: {error}"
        cases.append(case)
    return cases


def facts(folder: str) -> dict:
    tokenizer = AutoTokenizer.from_pretrained(OUT / folder)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    return {
        "vocab_size": len(tokenizer),
        "special_tokens": tokenizer.special_tokens_map,
        "all_special_ids": tokenizer.all_special_ids,
        "model_max_length": tokenizer.model_max_length,
        "chat_template": tokenizer.chat_template,
    }


def main() -> None:
    byte_level, byte_fallback = train_byte_level(), train_byte_fallback()
    write(OUT / "byte_level" / "tokenizer.json", json.dumps(json.loads(byte_level.to_str()), ensure_ascii=False))
    write(
        OUT / "byte_level" / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|bos|>",
            "eos_token": {"__type": "AddedToken", "content": "<|eos|>", **PLAIN},
            "pad_token": "<|pad|>",
            "extra_special_tokens": ["<|im_start|>", "<|im_end|>", "<|extra|>"],
            "added_tokens_decoder": {
                str(token["id"]): {key: token[key] for key in token if key != "id"} for token in added(byte_level, {})
            },
            "model_max_length": 256,
            "chat_template": "the file beside this one wins",
        },
    )
    write(OUT / "byte_level" / "chat_template.jinja", TEMPLATES["chatml"])
    write(OUT / "byte_fallback" / "tokenizer.json", json.dumps(json.loads(byte_fallback.to_str()), ensure_ascii=False))
    write(
        OUT / "byte_fallback" / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "add_bos_token": True,
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "clean_up_tokenization_spaces": False,
            "chat_template": [
                {"name": "default", "template": TEMPLATES["mistral"]},
                {"name": "tool_use", "template": TEMPLATES["chatml"]},
            ],
        },
    )
    write(
        OUT / "byte_fallback" / "special_tokens_map.json",
        {"bos_token": "<s>", "eos_token": {"content": "</s>", **PLAIN}, "unk_token": "<unk>", "pad_token": "<pad>"},
    )

    write(OUT / "tokenization.json", tokenization(byte_level, byte_fallback, make_unigram(byte_fallback)))
    write(
        OUT / "chat.json",
        {
            "versions": VERSIONS,
            "templates": TEMPLATES,
            "chats": CHATS,
            "facts": {folder: facts(folder) for folder in ("byte_level", "byte_fallback")},
            "cases": {
                "byte_level": chat_cases("byte_level", {k: v for k, v in TEMPLATES.items() if k != "mistral"}),
                "byte_fallback": chat_cases("byte_fallback", {k: TEMPLATES[k] for k in ("mistral", "zephyr", "marked")}),
            },
        },
    )
    write(OUT / "jinja.json", {"versions": VERSIONS, "cases": jinja_cases()})


if __name__ == "__main__":
    main()
