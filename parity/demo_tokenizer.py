"""Writes test/fixtures/demo/tokenizer.json: what Hugging Face's Python libraries make of the demo's tokenizer.

Run from the project root: python parity/demo_tokenizer.py

`ids`: texts encoded by transformers' AutoTokenizer and by tokenizers' Tokenizer (which must agree) with
assets/demo. `trained`: the vocabulary and merges of tokenizers' BpeTrainer on a small corpus.
"""

import json
import platform
import random
from pathlib import Path

import tokenizers
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

SEED = 20
ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets" / "demo"
OUT = ROOT / "test" / "fixtures" / "demo" / "tokenizer.json"

TEXTS = [
    "Type '{0}' is not assignable to type '{1}'.",
    "<|en|>Cannot find name '{0}'.<|es|>No se encuentra el nombre '{0}'.<|endoftext|>",
    "<|en|>Unused label.<|ja|>未使用のラベルです。<|endoftext|><|pad|><|pad|>",
    "<|zh-cn|>未找到模块“{0}”。<|zh-tw|>找不到模組 '{0}'。<|pt-br|>Não é possível.",
    "Имя не найдено: `{0}`; über naïve façade, ¿dónde?",
    "'{0}' 모듈을 찾을 수 없습니다.",
    "  two  spaces\tand a tab\nand lines\r\n\r\nend ",
    "emoji 👩‍💻, 𝒳, U+0000: \x00, U+FFFD: \ufffd, no-break\u00a0space",
    "don't I'll we're they've I'm he'd it's DON'T",
    "0 12 345 x86_64 1,234.5 v5.9.3 ½ Ⅷ",
    "<|xx|> is no tag, nor is <|en|",
    "",
]

SENTENCES = [
    "the compiler cannot find the module",
    "the module cannot be found by the compiler",
    "it's 12 modules, 12 compilers; naïve über-modules",
    "el módulo no se encuentra",
    "模块 模块 未找到模块",
    "aaaa aaaa aaa aa a",
]


def encoded():
    whole = transformers.AutoTokenizer.from_pretrained(ASSETS)
    bare = Tokenizer.from_file(str(ASSETS / "tokenizer.json"))
    assert whole.eos_token == "<|endoftext|>" and whole.pad_token == "<|pad|>"
    assert whole.decode(whole("<|en|>a b.<|es|>c<|endoftext|>").input_ids, skip_special_tokens=True) == "a b.c"
    for text in TEXTS:
        ids = whole(text).input_ids
        assert ids == bare.encode(text).ids, text
        assert whole.decode(ids, skip_special_tokens=False) == text, text
        yield {"text": text, "ids": ids}


def trained():
    rng = random.Random(SEED)
    texts = [rng.choice(SENTENCES) for _ in range(40)]
    special = ["<|endoftext|>", "<|pad|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return {"texts": texts, "special": special, "size": 330, "vocabulary": model["vocab"], "merges": merges}


versions = {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__}
made = {"seed": SEED, "python": platform.python_version(), **versions}
OUT.parent.mkdir(parents=True, exist_ok=True)
content = {"made": made, "ids": list(encoded()), "trained": trained()}
OUT.write_text(json.dumps(content, ensure_ascii=True, separators=(",", ":")) + "\n")
