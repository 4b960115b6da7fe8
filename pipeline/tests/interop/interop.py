"""Loads a prepared folder with the libraries it is made for and compares what they find, cell by cell.

    python interop.py <weaverec>

It generates a small shop and a small film platform, prepares and exports them with the real binary, and fails at the first
difference. `make test-interop` makes the environment.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

# Nothing here may ask a hub, and every library is told its data in full.
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1", DISABLE_VERSION_CHECK="1")

import datasets
import duckdb
import numpy
import pandas
import polars
import pyarrow.parquet

SPLITS = ["train", "validation", "test"]
TABLES = ["interactions", "items", "sequences", "rejects"]


def plain(value):
    """A cell as Python writes it, whichever library it comes from."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if value is None or value is pandas.NA or value != value:
        return None
    return value


def by_pandas(path):
    return pandas.read_parquet(path).to_dict("records")


def by_polars(path):
    return polars.read_parquet(path).to_dicts()


def by_duckdb(path):
    answer = duckdb.connect().execute("SELECT * FROM read_parquet(?)", [str(path)])
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row)) for row in answer.fetchall()]


def by_pyarrow(path):
    return pyarrow.parquet.read_table(path).to_pylist()


def by_datasets(path):
    return list(datasets.load_dataset("parquet", data_files=str(path), split="train"))


READERS = {"pandas": by_pandas, "Polars": by_polars, "DuckDB": by_duckdb, "pyarrow": by_pyarrow, "datasets": by_datasets}


def same(found, expected, what):
    """Fails at the first cell that differs."""
    assert len(found) == len(expected), f"{what}: {len(found)} rows, expected {len(expected)}"
    for number, (one, other) in enumerate(zip(found, expected)):
        one, other = plain(one), plain(other)
        assert list(one) == list(other), f"{what}: columns {list(one)}, expected {list(other)}"
        for name in other:
            assert one[name] == other[name], f"{what}, row {number}, {name}: {one[name]!r}, expected {other[name]!r}"


def read_by_all(path, what):
    """The rows of a Parquet file, which all libraries must read alike."""
    rows = {name: read(path) for name, read in READERS.items()}
    first = rows.pop("pyarrow")
    for name, found in rows.items():
        same(found, first, f"{what} by {name}")
    return [plain(row) for row in first]


def check_tables(folder, manifest):
    """The tables agree with the manifest and with each other; returns items by dense id and sequences by user."""
    tables = {name: read_by_all(folder / f"{name}.parquet", name) for name in TABLES}
    last = manifest["counts"][-1]
    assert len(tables["interactions"]) == last["interactions"]
    assert len(tables["sequences"]) == last["users"]
    assert len(tables["items"]) == last["items"]
    assert len(tables["rejects"]) == sum(manifest["rejects"].values())
    assert tables["rejects"] and all(row["reason"] and row["line"] > 0 for row in tables["rejects"])
    sequences = {row["user_id"]: row["items"] for row in tables["sequences"]}
    by_user = {}
    for row in tables["interactions"]:
        by_user.setdefault(row["user_id"], []).append(row["item"])
    assert by_user == sequences
    items = {row["item"]: row for row in tables["items"]}
    assert sorted(items) == list(range(1, len(items) + 1))
    return items, sequences


def check_prompts(folder, manifest, items, sequences):
    """The splits load by the data-set card alone, and every row is a conversation about its own ids; returns them."""
    loaded = datasets.load_dataset(str(folder))
    assert sorted(loaded) == sorted(SPLITS)
    splits = {}
    for split in SPLITS:
        files = sorted((folder / "prompts").glob(f"{split}-*.parquet"))
        rows = [row for path in files for row in read_by_all(path, path.name)]
        same(list(loaded[split]), rows, f"{split} by the card")
        assert len(rows) == manifest["prompts"][split] > 0
        splits[split] = rows
        for row in rows:
            roles = [turn["role"] for turn in row["messages"]]
            assert roles in (["system", "user", "assistant"], ["user", "assistant"]), roles
            question, answer = (turn["content"] for turn in row["messages"][-2:])
            assert answer.startswith(items[row["target"]]["title"])
            assert all(items[item]["title"] in question for item in row["history"] + row["candidates"])
            sequence = sequences[row["user_id"]]
            assert sequence[: row["position"]][-len(row["history"]) - 1 :] == row["history"] + [row["target"]]
    keys = [row["key"] for rows in splits.values() for row in rows]
    assert len(set(keys)) == len(keys)
    for name in TABLES:
        table = datasets.load_dataset(str(folder), name, split="train")
        same(list(table), by_pyarrow(folder / f"{name}.parquet"), f"{name} by the card")
    return splits


def undone(value):
    """A value of mlcroissant, which has texts as bytes and columns under the name of their table, as the others have it."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {key.rsplit("/", 1)[-1]: undone(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [undone(inner) for inner in value]
    return value


def check_croissant(folder, manifest, splits):
    """mlcroissant takes croissant.json for valid, finds every file to have its hash, and reads from it what the Parquet files hold."""
    import mlcroissant

    dataset = mlcroissant.Dataset(folder / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    # What is not known is left out, and only that is remarked on.
    for remark in dataset.metadata.ctx.issues.warnings:
        assert "is recommended, but does not exist" in remark, remark
    hashes = {file.content_url: file.sha256 for file in dataset.metadata.distribution if hasattr(file, "sha256")}
    assert list(hashes) == [file["path"] for file in manifest["files"]]
    for name, sha256 in hashes.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256, name
    assert dataset.metadata.name == manifest["name"]
    assert dataset.metadata.license == [manifest["dataset"]["licence"]]

    def records(name, **filters):
        return [undone(record) for record in dataset.records(name, **filters)]

    for name in TABLES:
        same(records(name), by_pyarrow(folder / f"{name}.parquet"), f"{name} by mlcroissant")
    assert [record["name"] for record in records("splits")] == SPLITS
    # A filter narrows the files that the opened data set reads from then on, so that each split has one of its own.
    for split, rows in splits.items():
        dataset = mlcroissant.Dataset(folder / "croissant.json")
        found = records("prompts", filters={"prompts/split": split})
        same(found, [{"split": split, **row} for row in rows], f"{split} by mlcroissant")
    dataset = mlcroissant.Dataset(folder / "croissant.json")
    found = [record["key"] for record in records("prompts")]
    assert sorted(found) == sorted(row["key"] for rows in splits.values() for row in rows)


def check_json_lines(folder, splits):
    """The export says what the Parquet files say; its keys are hexadecimal, as JSON has no unsigned 64-bit numbers."""
    for split, rows in splits.items():
        path = str(folder / f"{split}.jsonl")
        hexadecimal = [{**row, "key": f"{row['key']:016x}"} for row in rows]
        columns = ["key", "user_id", "position", "history", "target", "ties", "candidates", "binned", "messages"]
        expected = [{name: row[name] for name in columns} for row in hexadecimal]
        types_of = {"key": str, "user_id": str}
        same(list(datasets.load_dataset("json", data_files=path, split="train")), expected, f"{path} by datasets")
        same(pandas.read_json(path, lines=True, dtype=types_of).to_dict("records"), expected, f"{path} by pandas")
        same(polars.read_ndjson(path).to_dicts(), expected, f"{path} by Polars")
        answer = duckdb.connect().execute("SELECT * FROM read_json(?, format = 'newline_delimited')", [path])
        names = [column[0] for column in answer.description]
        same([dict(zip(names, row)) for row in answer.fetchall()], expected, f"{path} by DuckDB")


def check_llama_factory(folder, name, splits):
    """LLaMA-Factory finds the prompts by dataset_info.json and turns them into its own form without loss."""
    # Its audio plug-in imports torchaudio, which must match the build of torch and has no part in reading texts.
    stand_in = types.ModuleType("torchaudio")
    stand_in.__spec__ = ModuleSpec("torchaudio", None)
    sys.modules.setdefault("torchaudio", stand_in)
    from llamafactory.data.loader import _load_single_dataset
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import Seq2SeqTrainingArguments

    index = json.loads((folder / "dataset_info.json").read_text())
    data = DataArguments(dataset_dir=str(folder), template="default")
    model = ModelArguments(model_name_or_path="none")
    for split, rows in splits.items():
        names = sorted(key for key in index if key.startswith(f"{name}-{split}-"))
        found = []
        with tempfile.TemporaryDirectory() as out:
            training = Seq2SeqTrainingArguments(output_dir=out, report_to="none", use_cpu=True)
            for described in get_dataset_list(names, str(folder)):
                found.extend(_load_single_dataset(described, model, data, training))
        assert len(found) == len(rows) > 0
        for one, row in zip(found, rows):
            system = [turn["content"] for turn in row["messages"] if turn["role"] == "system"]
            turns = [turn for turn in row["messages"] if turn["role"] != "system"]
            assert one["_system"] == (system[0] if system else "")
            assert plain(one["_prompt"]) == turns[:-1] and plain(one["_response"]) == turns[-1:], row["key"]


def check_trl(splits):
    """TRL takes the rows for conversations and words them with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from trl.data_utils import apply_chat_template, is_conversational

    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
    tokenizer.chat_template = "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}</{{ turn.role }}>{% endfor %}"
    for row in splits["train"]:
        example = {"messages": row["messages"]}
        assert is_conversational(example)
        expected = "".join(f"<{turn['role']}>{turn['content']}</{turn['role']}>" for turn in row["messages"])
        assert apply_chat_template(example, tokenizer)["text"] == expected


def check_recbole(folder, name, manifest, sequences, items):
    """RecBole reads the exported atomic files: the same users and items, and their histories in the same order."""
    # RecBole 1.2.1 asks for names that NumPy 2 no longer has.
    numpy.float_, numpy.complex_, numpy.unicode_ = numpy.float64, numpy.complex128, numpy.str_
    # It takes the lengths of lists by `agg(len)`, which before pandas 3 went through the values.
    whole = pandas.Series.agg
    pandas.Series.agg = lambda self, function, *rest: self.map(len) if function is len else whole(self, function, *rest)
    from recbole.config import Config
    from recbole.data.dataset import SequentialDataset

    settings = {
        "data_path": str(folder.parent),
        "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"], "item": ["item_id", "title", "categories"]},
        "ITEM_LIST_LENGTH_FIELD": "item_length",
        "MAX_ITEM_LIST_LENGTH": 50,
        "log_wandb": False,
        "use_gpu": False,
        "gpu_id": "",
        "show_progress": False,
    }
    arguments, sys.argv = sys.argv, sys.argv[:1]
    config = Config(model="GRU4Rec", dataset=name, config_dict={**settings, "train_neg_sample_args": None})
    sys.argv = arguments
    dataset = SequentialDataset(config)
    last = manifest["counts"][-1]
    # Its counts include the padding.
    assert (dataset.user_num - 1, dataset.item_num - 1) == (last["users"], last["items"])
    assert dataset.inter_num == last["interactions"]
    found = {}
    frame = dataset.inter_feat
    frame = frame if isinstance(frame, pandas.DataFrame) else pandas.DataFrame({k: v.numpy() for k, v in frame.interaction.items()})
    for user, item in frame.sort_values("timestamp", kind="stable")[["user_id", "item_id"]].itertuples(index=False):
        user, item = dataset.id2token("user_id", user), dataset.id2token("item_id", item)
        found.setdefault(str(user), []).append(str(item))
    assert found == {user: [items[item]["item_id"] for item in history] for user, history in sequences.items()}


def main(weaverec):
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as work:
        datasets.config.HF_DATASETS_CACHE = Path(work) / "cache"

        def run(*arguments):
            subprocess.run([weaverec, *arguments], cwd=work, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

        domains = ["--domain", "home=amazon2014", "--domain", "films=movielens-csv"]
        run("datasets", "synth", "--out", "raw", "--users", "150", "--items", "80", "--dirt", "0.005", *domains)
        for name, recipe in [("home", ["--candidates", "10"]), ("films", ["--candidates", "8", "--format", "target-only"])]:
            run("prepare", f"raw/{name}/{name}.toml", "--raw", f"raw/{name}", "--out", "prepared", *recipe)
            run("export", f"prepared/{name}", "--format", "jsonl", "--out", "json")
            run("export", f"prepared/{name}", "--format", "recbole", "--out", "atomic")
            folder = Path(work, "prepared", name)
            manifest = json.loads((folder / "manifest.json").read_text())
            items, sequences = check_tables(folder, manifest)
            splits = check_prompts(folder, manifest, items, sequences)
            counts = ", ".join(f"{split} {len(rows)}" for split, rows in splits.items())
            print(f"{name}: {', '.join(READERS)} agree on {', '.join(TABLES)} and on {counts} prompts")
            check_croissant(folder, manifest, splits)
            print(f"{name}: mlcroissant reads the same by croissant.json, and finds every hash to be right")
            check_json_lines(Path(work, "json", name), splits)
            print(f"{name}: datasets, pandas, Polars and DuckDB read the same from JSON lines")
            check_llama_factory(folder, name, splits)
            print(f"{name}: LLaMA-Factory loads every prompt by dataset_info.json")
            check_trl(splits)
            print(f"{name}: TRL takes every training prompt for a conversation")
            check_recbole(Path(work, "atomic", name), name, manifest, sequences, items)
            print(f"{name}: RecBole reads the atomic files, with every history in order")


if __name__ == "__main__":
    main(str(Path(sys.argv[1]).resolve()))
