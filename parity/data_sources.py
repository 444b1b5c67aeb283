"""Files of rows and what Python's libraries read from them: pyarrow, pandas, datasets and TRL."""

import copy
import datetime
import gzip
import io
import json
import sys
import tempfile
from pathlib import Path

# A script beside this one has the name of a library.
sys.path.pop(0)

import datasets
import pandas
import pyarrow
import pyarrow.parquet
import trl
from datasets.data_files import DataFilesDict, EmptyDatasetError, get_data_patterns, sanitize_patterns
from datasets.load import infer_module_for_data_files
from datasets.packaged_modules import _MODULE_TO_EXTENSIONS
from trl.data_utils import (
    extract_prompt,
    is_conversational,
    is_conversational_from_value,
    maybe_convert_to_chatml,
    maybe_extract_prompt,
    maybe_unpair_preference_dataset,
)

FIXTURES = Path(__file__).parent.parent / "test" / "fixtures" / "data"

SCHEMA = pyarrow.schema(
    [
        ("text", pyarrow.string()),
        ("number", pyarrow.int64()),
        ("small", pyarrow.int8()),
        ("unsigned", pyarrow.uint32()),
        ("share", pyarrow.float64()),
        ("half", pyarrow.float32()),
        ("flag", pyarrow.bool_()),
        ("input_ids", pyarrow.list_(pyarrow.int64())),
        ("scores", pyarrow.list_(pyarrow.float32())),
        ("messages", pyarrow.list_(pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())]))),
        ("meta", pyarrow.struct([("source", pyarrow.string()), ("tags", pyarrow.list_(pyarrow.string()))])),
        ("kind", pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
        ("nested", pyarrow.list_(pyarrow.list_(pyarrow.int32()))),
    ]
)


def row(i: int) -> dict:
    return {
        "text": [f"row {i}", "naïve 猫 🙂", "", None, "a\nb"][i % 5],
        "number": [i, -i, None, 2**52 + i, 0][i % 5],
        "small": i % 100 - 50,
        "unsigned": 2**32 - 1 - i,
        "share": [i / 7, None, -1e300][i % 3],
        "half": i / 4,
        "flag": [True, False, None][i % 3],
        "input_ids": [list(range(i % 4)), None, []][i % 3],
        "scores": [i + 0.5, None],
        "messages": [
            [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": None}],
            [],
            None,
            [{"role": "user", "content": "x"}, None],
        ][i % 4],
        "meta": [{"source": "a", "tags": ["t", "u"]}, None, {"source": None, "tags": []}][i % 3],
        "kind": ["x", "y", None][i % 3],
        "nested": [[[1, 2], []], [], [[3], None, [i]]][i % 3],
    }


def parquet() -> dict:
    rows = [row(i) for i in range(11)]
    table = pyarrow.Table.from_pylist(rows, schema=SCHEMA)
    codecs = ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]
    for codec in codecs:
        version = {"data_page_version": "2.0"} if codec in ("zstd", "none") else {}
        path = FIXTURES / "files" / f"{codec}.parquet"
        pyarrow.parquet.write_table(table, path, compression=codec, row_group_size=4, store_schema=False, **version)
        # What pyarrow reads is what is expected, not what was meant to be written.
        assert pyarrow.parquet.read_table(path).to_pylist() == table.to_pylist(), codec
    special = pyarrow.table(
        {
            "large": pyarrow.array([2**62, -(2**62), None], pyarrow.int64()),
            "bytes": pyarrow.array([b"\x00\xff", b"", None], pyarrow.binary()),
            "time": pyarrow.array([datetime.datetime(2024, 5, 6, 7, 8, 9), None, None], pyarrow.timestamp("ms")),
            "day": pyarrow.array([datetime.date(2024, 5, 6), None, None], pyarrow.date32()),
        }
    )
    pyarrow.parquet.write_table(special, FIXTURES / "files" / "special.parquet", store_schema=False)
    return {"codecs": codecs, "rows": table.to_pylist()}


CSVS = {
    "plain": 'id,text,score,ok,empty,mixed\n1,hello,0.5,True,,1\n2,"a, ""b""\nc",-2,False,,x\n3,,1e3,True,,2\n',
    "dots": "a,b,c,d\n.5,+1,1.,0x1\n1,-2,2.5,3\n",
    "bom": "\ufefftext,n\r\nnaïve 猫,7\r\n,8\r\n",
    "tabs": "prompt\tcompletion\na,b\tc\n\"d\te\"\tf\n",
}


def csv() -> dict:
    out = {}
    for name, text in CSVS.items():
        frame = pandas.read_csv(io.StringIO(text), sep="\t" if name == "tabs" else ",", encoding="utf-8")
        frame.columns = [column.removeprefix("\ufeff") for column in frame.columns]
        rows = json.loads(frame.to_json(orient="records", double_precision=15))
        out[name] = {"text": text, "rows": rows}
    return out


def interleaving() -> list:
    cases = []
    for lengths in ([3, 2, 4], [1, 5], [2, 2], [4]):
        for strategy in ("first_exhausted", "all_exhausted", "all_exhausted_without_replacement"):
            parts = [datasets.Dataset.from_dict({"v": [10 * k + i for i in range(n)]}) for k, n in enumerate(lengths)]
            mapped = datasets.interleave_datasets(parts, stopping_strategy=strategy)["v"]
            streams = [part.to_iterable_dataset() for part in parts]
            streamed = [r["v"] for r in datasets.interleave_datasets(streams, stopping_strategy=strategy)]
            cases.append({"lengths": lengths, "strategy": strategy, "map": list(mapped), "stream": streamed})
    return cases


TREES = [
    ["README.md", "dataset.csv"],
    ["train.csv", "test.csv", "README.md"],
    ["data/train.jsonl", "data/test.jsonl"],
    ["train_0.jsonl", "train_1.jsonl", "test_0.jsonl", "dev.jsonl"],
    ["data/train/shard_0.parquet", "data/train/shard_1.parquet", "data/test/shard_0.parquet"],
    ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test_sft-00000-of-00001.parquet"],
    ["data/random-00000-of-00001.parquet", "data/validation-00000-of-00001-abc123.parquet"],
    ["en/train.parquet", "fr/train.parquet", "en/valid.parquet"],
    ["a.jsonl", "b.jsonl", "sub/c.jsonl"],
    ["training set/part one.csv", "my-validation.csv", "evaluation.csv"],
    ["my_train_file.json", "my_test_file.json", "restrained.json"],
    ["contest.jsonl", "latest.jsonl"],
    ["train.jsonl.gz", "test.jsonl.gz"],
    [".hidden/train.jsonl", "visible.jsonl"],
    ["__pycache__/train.jsonl", "x.jsonl"],
    ["train.csv", "notes.txt", "test.parquet", "more_train.csv"],
    ["train.txt", "script.py", "train.jsonl", "train2.jsonl"],
    ["config.json", "dataset_infos.json", "rows.json"],
    ["test/a.jsonl", "testing-2/b.jsonl", "train/sub/deep/c.jsonl"],
    ["train-1.parquet", "data/train/x.parquet"],
    ["eval.jsonl", "train.jsonl", "dev/a.jsonl"],
    ["image.png", "README.md"],
    ["README.md"],
]

CONFIGS = [
    (["a/x.jsonl", "a/y.jsonl", "b/x.jsonl"], {"train": "a/*.jsonl", "test": "b/*.jsonl"}),
    (["a/x.jsonl", "b/c/x.jsonl"], "**/x.jsonl"),
    (["a.csv", "b.csv"], ["a.csv", "b.csv"]),
    (["a.csv", "b.csv"], [{"split": "train", "path": ["a.csv"]}, {"split": "extra", "path": "b.csv"}]),
    (["data/train-0.parquet", "data/train-1.parquet"], {"train": "data/train-*"}),
    (["x/1.jsonl", "x/y/2.jsonl"], {"train": "x/**"}),
]


def resolved(files: list, patterns=None) -> dict | str:
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            path = Path(folder) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
        try:
            patterns = get_data_patterns(folder) if patterns is None else sanitize_patterns(patterns)
            found = DataFilesDict.from_patterns(
                patterns, base_path=folder, allowed_extensions=datasets.load._ALL_ALLOWED_EXTENSIONS
            )
            module, _ = infer_module_for_data_files(found)
            found = found.filter(extensions=_MODULE_TO_EXTENSIONS[module])
        except (EmptyDatasetError, datasets.exceptions.DataFilesNotFoundError):
            return "empty"
        except ValueError as error:
            assert "same data file format" in str(error)
            return "mixed"
        return {
            "module": module,
            "splits": {
                str(split): [Path(path).resolve().relative_to(Path(folder).resolve()).as_posix() for path in paths]
                for split, paths in found.items()
            },
        }


def message(role, content):
    return {"role": role, "content": content}


PREFERENCES = [
    {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
    {"chosen": "The sky is blue.", "rejected": "The sky is green."},
    {"chosen": "The sky is blue", "rejected": "The sky isn't"},
    {"chosen": "abc", "rejected": "abcdef"},
    {"chosen": "same", "rejected": "same"},
    {"chosen": "x y", "rejected": "a y"},
    {"chosen": "🙂 yes", "rejected": "🙂 no"},
    {"chosen": "🙂", "rejected": "🙃"},
    {"chosen": "a ", "rejected": "b "},
    {
        "chosen": [message("user", "What color is the sky?"), message("assistant", "It is blue.")],
        "rejected": [message("user", "What color is the sky?"), message("assistant", "It is green.")],
    },
    {
        "prompt": "What color is the sky?",
        "chosen": [message("user", "What color is the sky?"), message("assistant", "It is blue.")],
        "rejected": [message("user", "What color is the sky?"), message("assistant", "It is green.")],
    },
    {
        "prompt": [message("user", "q")],
        "chosen": [message("assistant", "a")],
        "rejected": [message("assistant", "b")],
    },
    {
        "chosen": [message("user", "q"), message("assistant", "a")],
        "rejected": [message("user", "q"), message("assistant", "a"), message("user", "more")],
    },
    {"prompt": "p", "completion": "c"},
]

CHATS = [
    {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}], "id": 1},
    {"conversations": [message("user", "hi"), message("assistant", "hello")]},
    {"conversations": [{"from": "system", "value": "s", "weight": 0}, {"from": "human", "value": "hi"}]},
    {"messages": [{"from": "user", "value": "hi"}]},
    {"prompt": [{"from": "user", "value": "hi"}], "completion": [{"from": "assistant", "value": "yo"}]},
    {"conversations": "no list"},
    {"text": "plain"},
    {"messages": [message("user", "hi")]},
]


def formats() -> dict:
    out = {"extract": [], "maybe_extract": [], "chatml": [], "conversational": [], "unpair": []}
    for example in PREFERENCES:
        if "prompt" not in example:
            out["extract"].append({"row": example, "expected": extract_prompt(copy.deepcopy(example))})
        out["maybe_extract"].append({"row": example, "expected": maybe_extract_prompt(copy.deepcopy(example))})
    for example in CHATS:
        out["chatml"].append({"row": example, "expected": maybe_convert_to_chatml(copy.deepcopy(example))})
    for example in PREFERENCES + CHATS:
        out["conversational"].append(
            {
                "row": example,
                "expected": is_conversational(example),
                "from_value": is_conversational_from_value(example),
            }
        )
    for rows in (PREFERENCES[:1] * 2, PREFERENCES[9:10] * 2, [{"prompt": "p", "completion": "c", "label": True}]):
        made = maybe_unpair_preference_dataset(datasets.Dataset.from_list(rows))
        out["unpair"].append({"rows": rows, "expected": made.to_list()})
    return out


def main():
    (FIXTURES / "files").mkdir(parents=True, exist_ok=True)
    datasets.disable_progress_bars()
    packed = gzip.compress(b'{"a": 1}\n{"a": 2}\n', mtime=0)
    (FIXTURES / "files" / "lines.jsonl.gz").write_bytes(packed)
    record = {
        "versions": {m.__name__: m.__version__ for m in (datasets, pandas, pyarrow, trl)},
        "parquet": parquet(),
        "csv": csv(),
        "interleave": interleaving(),
        "data_files": [{"files": files, "expected": resolved(files)} for files in TREES]
        + [{"files": files, "patterns": patterns, "expected": resolved(files, patterns)} for files, patterns in CONFIGS],
        "formats": formats(),
    }
    (FIXTURES / "sources.json").write_text(json.dumps(record, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
