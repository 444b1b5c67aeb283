"""Writes test/fixtures/evaluation/*.json: BLEU and chrF as sacreBLEU computes them, retrieval as PyTorch does.

Run from the project root: python parity/evaluation.py
"""

import json
import logging
import platform
import random
from pathlib import Path

import sacrebleu
import torch
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.metrics.bleu import _get_tokenizer

SEED = 20
OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "evaluation"
TOKENIZERS = ["13a", "intl", "zh", "char"]
SMOOTHINGS = [("none", None), ("floor", None), ("floor", 0.5), ("add-k", None), ("add-k", 0.25)]

logging.getLogger("sacrebleu").setLevel(logging.ERROR)

SEGMENTS = [
    "",
    "   ",
    "Type 'string' is not assignable to type 'number'.",
    "It costs 1,234.56 dollars, or 3.5% more; see pages 10-12.",
    "A well-known state-of-the-art re-\nduction over two\nlines.",
    "AT&amp;T said &quot;a &lt; b&quot; &amp;lt; is odd <skipped> here",
    "¿Dónde está el módulo «{0}»? ¡Aquí!",
    "Übergröße, naïve café — “curly” quotes … and ‘single’ ones.",
    "未找到模块“{0}”。TypeScript 5.9 版本,共2,118条消息!",
    "モジュール '{0}' が見つかりません。",
    "모듈 '{0}'을(를) 찾을 수 없습니다.",
    "emoji 👩‍💻 and 𝒳 beyond the BMP, 𠀀 too.",
    "tabs\tand\u00a0no-break\u3000wide\u2003em\u0085next\x1cfile separators",
    "zero\u200bwidth and \ufeffmark stay",
    "9.,9 ,.1 .5, 5.. a.b,c 1-2 -3 x-4 4-x",
    "[a]{b}(c)<d>/e\\f|g~h`i^j_k=l+m*n@o?p:q;r#s$t%u",
    " leading and trailing \n",
    "ends in a number 7.",
    "1,2.3 ½,½ ٣,٤ 5€ £7 a+b=c 3°C №8 Ⅷ. «9» 7! §4.2–4.3",
    "हिन्दी में, यह १,२३४ है। ไทย ๆ ຯ (العربية)؟",
    "⺀ ㍿ ﹏ ☃ ✂ ㆐ ⿰ ⩭ ⾁",
]

ENGLISH = [
    "The quick brown fox jumps over the lazy dog.",
    "A module cannot be found at the given path, so nothing is loaded.",
    "Prices rose by 3.5% to 1,200 dollars - the most in 10 years.",
    "Yes.",
    "She said: \"I don't know (yet)\".",
]
GUESSES = [
    "The quick brown dog jumps over the lazy fox.",
    "A module could not be found at the path, and so nothing was loaded.",
    "Prices rose 3.5% to 1,200 dollars, the most in 10 years.",
    "Yes!",
    "She said \"I do not know yet\".",
]


def corpora(rng):
    """Name, hypotheses, references of each segment."""
    words = "the a of type module is not found cannot {0} '{1}' , . ; 1,5 2.0 x-1 é ñ 型 模块 ( )".split(" ")
    text = lambda low, high: " ".join(rng.choice(words) for _ in range(rng.randint(low, high)))

    def noisy(source):
        kept = [w if rng.random() > 0.25 else rng.choice(words) for w in source.split(" ") if rng.random() > 0.1]
        return " ".join(kept)

    yield "identical", ENGLISH, [[e] for e in ENGLISH]
    yield "close", GUESSES, [[e] for e in ENGLISH]
    yield "two references", GUESSES, [[e, e.replace("the", "a")] for e in ENGLISH]
    yield "references in varying number", GUESSES, [[e] * (1 + i % 2) + ["Something else."] * (i % 3) for i, e in enumerate(ENGLISH)]
    yield "one empty hypothesis", ["", *GUESSES[1:]], [[e] for e in ENGLISH]
    yield "all hypotheses empty", ["", ""], [["one"], ["two words"]]
    yield "empty reference", ["a stray word", "the right answer is here"], [[""], ["the right answer is here"]]
    yield "nothing matches", ["alpha beta gamma delta epsilon"], [["one two three four five"]]
    yield "only single words match", ["d c b a e"], [["a b c d f"]]
    yield "too short for four-grams", ["Yes.", "No!"], [["Yes."], ["No."]]
    yield "hypothesis too long", ["the the the the the the the", "a b c d e f g h"], [["the cat is on the mat"], ["a b c d"]]
    yield "hypothesis too short", ["the cat", "a b c d"], [["the cat is on the mat today"], ["a b c d e f g h"]]
    yield "case differs", [e.upper() for e in ENGLISH], [[e] for e in ENGLISH]
    yield "odd characters", SEGMENTS[2:], [[" ".join(reversed(s.split(" "))), s[: len(s) * 2 // 3]] for s in SEGMENTS[2:]]
    for size, low, high in [(40, 1, 12), (25, 6, 30), (30, 0, 5)]:
        sources = [text(low, high) for _ in range(size)]
        references = [[s] + [noisy(s) for _ in range(rng.randint(0, 2))] for s in sources]
        yield f"random, {low} to {high} words", [noisy(s) for s in sources], references


def streams_of(references):
    width = max(len(r) for r in references)
    return [[r[i] if i < len(r) else None for r in references] for i in range(width)]


def bleu_cases():
    rng = random.Random(SEED)
    for name, hypotheses, references in corpora(rng):
        streams = streams_of(references)
        results = []
        for tokenize in TOKENIZERS:
            for lowercase in (False, True):
                for effective_order in (False, True):
                    metric = BLEU(tokenize=tokenize, lowercase=lowercase, effective_order=effective_order)
                    score = metric.corpus_score(hypotheses, streams)
                    results.append(
                        {
                            "options": {"tokenize": tokenize, "lowercase": lowercase, "effectiveOrder": effective_order},
                            "score": score.score,
                            "precisions": score.precisions,
                            "matches": score.counts,
                            "totals": score.totals,
                            "brevityPenalty": score.bp,
                            "hypothesisLength": score.sys_len,
                            "referenceLength": score.ref_len,
                            "signature": str(metric.get_signature()),
                        }
                    )
        yield {"name": name, "hypotheses": hypotheses, "references": references, "results": results}


def smoothing_cases():
    """Scores of the corpora of bleu.json, by their names."""
    for name, hypotheses, references in corpora(random.Random(SEED)):
        results = []
        for method, value in SMOOTHINGS:
            for effective_order in (False, True):
                metric = BLEU(smooth_method=method, smooth_value=value, effective_order=effective_order)
                score = metric.corpus_score(hypotheses, streams_of(references))
                options = {"smooth": method, "effectiveOrder": effective_order}
                if value is not None:
                    options["smoothValue"] = value
                signature = str(metric.get_signature())
                results.append(
                    {"options": options, "score": score.score, "precisions": score.precisions, "signature": signature}
                )
        yield {"name": name, "results": results}


def chrf_cases():
    """Scores of the corpora of bleu.json, by their names."""
    settings = [
        {},
        {"word_order": 2},
        {"word_order": 1, "lowercase": True},
        {"whitespace": True},
        {"word_order": 2, "eps_smoothing": True},
        {"char_order": 4, "beta": 3},
    ]
    names = {"word_order": "wordOrder", "eps_smoothing": "epsSmoothing", "char_order": "charOrder"}
    for name, hypotheses, references in corpora(random.Random(SEED)):
        results = []
        for setting in settings:
            metric = CHRF(**setting)
            score = metric.corpus_score(hypotheses, streams_of(references))
            results.append(
                {
                    "options": {names.get(k, k): v for k, v in setting.items()},
                    "score": score.score,
                    "name": score.name,
                    "signature": str(metric.get_signature()),
                }
            )
        yield {"name": name, "results": results}


def token_cases():
    for segment in SEGMENTS:
        tokens = {t: _get_tokenizer(t)()(segment.rstrip()).split() for t in TOKENIZERS}
        yield {"segment": segment, "tokens": tokens}


def unit(rows):
    return torch.nn.functional.normalize(rows, dim=-1)


def retrieval_cases():
    generator = torch.Generator().manual_seed(SEED)
    for rows, width, noise in [(12, 6, 1.0), (30, 8, 2.0)]:
        candidates = torch.randn(rows, width, generator=generator)
        queries = candidates + noise * torch.randn(rows, width, generator=generator)
        scale = torch.rand(rows, 1, generator=generator) * 5 + 0.1  # cosine must not see it
        queries = queries * scale
        similarity = torch.nn.functional.cosine_similarity(queries[:, None], candidates[None], dim=-1)
        ranks = (similarity > similarity.diagonal()[:, None]).sum(1) + 1
        batch = 6
        blocks = [similarity[i : i + batch, i : i + batch] for i in range(0, rows, batch)]
        accuracy = torch.cat([b.argmax(1) == torch.arange(batch) for b in blocks]).double().mean()
        yield {
            "queries": queries.tolist(),
            "candidates": candidates.tolist(),
            "ranks": ranks.tolist(),
            "recall": {k: (ranks <= k).double().mean().item() for k in (1, 5, 10)},
            "meanReciprocalRank": (1 / ranks.double()).mean().item(),
            "alignment": (unit(queries) - unit(candidates)).pow(2).sum(1).mean().item(),
            "uniformity": torch.pdist(unit(queries).double()).pow(2).mul(-2).exp().mean().log().item(),
            "batchSize": batch,
            "accuracy": accuracy.item(),
        }


def write(name, cases, **versions):
    made = {"seed": SEED, "python": platform.python_version(), **versions}
    (OUT / name).write_text(json.dumps({"made": made, "cases": list(cases)}, ensure_ascii=True, separators=(",", ":")) + "\n")


OUT.mkdir(parents=True, exist_ok=True)
write("bleu.json", bleu_cases(), sacrebleu=sacrebleu.__version__)
write("bleu_smoothing.json", smoothing_cases(), sacrebleu=sacrebleu.__version__)
write("chrf.json", chrf_cases(), sacrebleu=sacrebleu.__version__)
write("bleu_tokens.json", token_cases(), sacrebleu=sacrebleu.__version__)
write("retrieval.json", retrieval_cases(), torch=torch.__version__)
