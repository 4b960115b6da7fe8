"""Puts what fuzzing a reader starts from into its corpus: the test fixtures, whole and line by line.

    python seeds.py <target>

The first byte of an input chooses the set, in the order in which the target lists them; files whose header the target gives
itself go without theirs.
"""

import gzip
import hashlib
import itertools
import struct
import sys
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIXTURES = HERE.parent / "tests" / "fixtures"
MODELS = HERE.parents[1] / "model" / "tests" / "it" / "fixtures"
# The targets of the readers, and those of models and adapters.
FOLDERS = [HERE, HERE.parents[1] / "model" / "fuzz"]

# Target -> (first bytes, fixture, lines left out at the beginning)
SEEDS = {
    "python_literal": [(b"", "amazon-2014/meta_Tea.json", 0), (b"", "steam/steam_games.json", 0)],
    "python_lines": [
        (b"\x00", "amazon-2014/meta_Tea.json", 0),
        (b"\x01", "steam/steam_reviews.json", 0),
        (b"\x02", "steam/steam_games.json", 0),
        (b"\x03", "steam-library/australian_users_items.json", 0),
    ],
    "json_lines": [
        (b"\x00", "amazon-2018/Jam_5.json", 0),
        (b"\x01", "amazon-2018/meta_Jam.json", 0),
        (b"\x02", "amazon-2023/Toys.jsonl", 0),
        (b"\x03", "amazon-2023/meta_Toys.jsonl", 0),
        (b"\x04", "goodreads/goodreads_interactions_maps.json", 0),
        (b"\x05", "goodreads/goodreads_books_maps.json", 0),
    ],
    "csv": [
        (b"\x00", "movielens-csv/ratings.csv", 1),
        (b"\x01", "movielens-csv/movies.csv", 1),
        (b"\x02", "movielens-csv/ratings.csv", 0),
        (b"\x03", "movielens-csv/movies.csv", 0),
        (b"\x04", "amazon-2023/Toys.csv", 1),
    ],
    "movielens": [
        (b"\x00", "movielens-100k/u.data", 0),
        (b"\x01", "movielens-100k/u.item", 0),
        (b"\x02", "movielens-dat/ratings.dat", 0),
        (b"\x03", "movielens-dat/movies.dat", 0),
    ],
    "recbole": [
        (b"\x00", "recbole/cafe.inter", 1),
        (b"\x01", "recbole/cafe.item", 1),
        (b"\x02", "recbole/cafe.inter", 0),
        (b"\x03", "recbole/cafe.item", 0),
    ],
    "generic": [
        (b"\x00", "generic-csv/events.csv", 1),
        (b"\x01", "generic-csv/articles.csv", 1),
        (b"\x04", "generic-jsonl/events.jsonl", 0),
        (b"\x06", "generic-jsonl/articles.ndjson", 0),
    ],
    # Plain, compressed, twice, followed by something else; cut or changed in the middle; with and without salvage.
    # Compressed by the target; the other ways are below.
    "gzip": [(b"\x1b\x0c", "amazon-2018/Jam_5.json", 0)],
    "compressed": [(bytes([way, 128, 1]), "amazon-2018/Jam_5.json", 0) for way in range(32)],
}

TEXTS = {
    # What no fixture has: tabs, and times in other forms.
    "generic": [
        "\x02u1\tb7\t2017-12-17T02:00:00+02:00\t4\nu2\tb8\t2017-12-18\t\n",
        "\x03u1\tb7\t1513468800000000000\t4.5\nu2\t\t7\tx\n",
        '\x05{"who": "u1", "what": 7, "score": 3, "at": "2017-12-17 02:00:00"}\n{"who": null, "at": 1513468800}\n',
    ],
    "clock": ["iso\n2017-12-17T02:00:00+02:00", "%a %b %d %H:%M:%S %z %Y\nSun Jul 30 07:44:10 -0700 2017", "s\n1", "%s\n9"],
    "tokenizer_config": [
        '{"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>", "lstrip": false}, "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}',
        '{"chat_template": [{"name": "default", "template": "{{ bos_token }}"}], "added_tokens_decoder": {"0": {"content": "<|endoftext|>", "special": true}}}',
    ],
    "description": [path.read_text() for path in sorted((HERE.parents[1] / "datasets").glob("*.toml"))],
}


def inputs(target):
    if target == "compressed":
        # As it is stored, so that the form of a member itself is changed.
        lines = (FIXTURES / "amazon-2018/Jam_5.json").read_bytes()
        yield bytes([0, 0, 0]) + gzip.compress(lines, mtime=0)
    if target == "gzip":
        lines = (FIXTURES / "amazon-2018/Jam_5.json").read_bytes()
        yield bytes([0, 9]) + gzip.compress(lines, mtime=0)
        # Blocks without what stands around them, stored, fixed and with codes of their own.
        for level, strategy in itertools.product(range(10), range(5)):
            encoder = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
            yield bytes([1, level]) + encoder.compress(lines) + encoder.flush()
    if target == "parquet":
        # Which file, whole.
        yield from (bytes([way, part, 0]) for way in range(4) for part in range(2))
    if target == "adapter":
        # The length of the settings, these, and the factors.
        for folder in sorted(MODELS.glob("adapter*")):
            settings, factors = ((folder / name).read_bytes() for name in ("adapter_config.json", "adapter_model.safetensors"))
            yield struct.pack("<H", len(settings)) + settings + factors
    if target == "model_config":
        yield from (path.read_bytes() for path in sorted(MODELS.glob("*/config.json")))
    if target == "model_files":
        tensors = b'{"model.norm.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"__metadata__":{"format":"pt"}}'
        yield b"\0" + struct.pack("<Q", len(tensors)) + tensors + bytes(8)
        yield b'\1{"metadata": {}, "weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}'
        yield b"\2" + (MODELS / "formats.gguf").read_bytes()
    for text in TEXTS.get(target, []):
        yield text.encode()
    for first, fixture, header in SEEDS.get(target, []):
        lines = (FIXTURES / fixture).read_bytes().splitlines(keepends=True)[header:]
        yield first + b"".join(lines)
        for line in lines:
            yield first + line


def folder_of(target):
    """The crate that a target is in."""
    return next((folder for folder in FOLDERS if (folder / "fuzz_targets" / f"{target}.rs").exists()), None)


def targets():
    return sorted(path.stem for folder in FOLDERS for path in (folder / "fuzz_targets").glob("*.rs"))


def main(target):
    folder = folder_of(target)
    if folder is None:
        sys.exit(f"no fuzz target {target}; there are {', '.join(targets())}")
    corpus = folder / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    for content in inputs(target):
        (corpus / hashlib.sha1(content).hexdigest()).write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1])
