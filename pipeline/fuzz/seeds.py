"""Puts what fuzzing a reader starts from into its corpus: the test fixtures, whole and line by line.

    python seeds.py <target>

The first byte of an input chooses the set, in the order in which the target lists them; files whose header the target gives
itself go without theirs.
"""

import bz2
import gzip
import hashlib
import io
import itertools
import lzma
import struct
import sys
import zipfile
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
        (b"\x02", "generic-csv/events.csv", 1),
        (b"\x03", "generic-csv/articles.csv", 1),
        (b"\x08", "generic-csv/events.csv", 0),
        (b"\x09", "generic-jsonl/events.jsonl", 0),
        (b"\x0b", "generic-jsonl/articles.ndjson", 0),
    ],
    # Way by way: plain, compressed, twice, followed by something else; cut or changed in the middle; with and without salvage. Then the
    # compression, in the order in which the target lists them.
    "compressed": [(bytes([way, kind, 128, 1]), "amazon-2018/Jam_5.json", 0) for way in range(16) for kind in range(6)],
}

# With the keys that no published data set needs.
DESCRIPTION = """
name = "a"
title = "A"
platform = "p"
licence = "l"
format = "generic"
time = "%d.%m.%Y %H:%M:%S,%f %z"
interactions = ["e.csv", "f/"]
items = ["i.csv"]
items_optional = true
[columns]
header = false
user = 1
item = 2
rating = 3
timestamp = 4
title = "label"
categories = "kinds"
category_separator = "|"
delimiter = ";"
escape = "\\\\"
decimal = ","
[columns.items]
header = true
item = "sku"
delimiter = ","
escape = "'"
"""

TEXTS = {
    # What no fixture has: tabs, and times in other forms.
    "generic": [
        '\x02"say \\\\"hi\\\\"";b7;4,5;1513468800,5\nu2;"two\nlines \\\\"";1.5;7\n',
        "\x04u1\tb7\t2017-12-17T02:00:00+02:00\t4\nu2\tb8\t2017-12-18\t\n",
        "\x05u1\tb7\t1513468800000000000\t4.5\nu2\t\t7\tx\n",
        '\x06b7\t"Oak" chair\tHome\nb8\t"with a\ttab"\t"half\nb9\t5" pipe\t"two\nlines"\n',
        "\x07u1,b7,\"4,5\",1513468800\nu2,b8,,1513468801\n",
        "\x08sep=;\nuser_id;item_id;timestamp\nu1;b7;2017-12-17\n",
        '\x0a{"who": "u1", "what": 7, "score": 3, "at": "2017-12-17 02:00:00"}\n{"who": null, "at": 1513468800}\n',
    ],
    "csv": [f"{choice}AX,B7,5.0,1369699200\nB7,AX,5.0,1369699201\n" for choice in "\x05\x06"],
    "clock": [
        "iso\n2017-12-17T02:00:00+02:00",
        "iso\n2017W507T020000,5 UTC+02",
        "%Y-%m-%d %H:%M:%S,%f\n2017-12-17 02:00:00,123",
        "%m/%d/%y %I:%M %p\n12/17/17 2:00 AM",
        "%Y-%m-%d %Z\n2017-12-17 CET",
        "%a %b %d %H:%M:%S %z %Y\nSun Jul 30 07:44:10 -0700 2017",
        "s\n1",
        "%s\n9",
    ],
    "description": [path.read_text() for path in sorted((HERE.parents[1] / "datasets").glob("*.toml"))]
    + [DESCRIPTION],
    # The last bytes choose the rules (libFuzzer takes numbers from the end).
    "titles": [
        f"{title}\xff"
        for title in [
            "Shea  Butter &amp;amp; <b>Honey</b>", '<span class="a-size-medium', "L'Or&eacuteal &#146;&#x2122;", "Fran\u00c3\u00a7ais don\u00e2\u20ac\u2122t",
            "City of Lost Children, The (a.k.a. Cit\u00e9 des enfants perdus, La) (1995)", "List<String> <![CDATA[x]]> <script>a;</script>",
            "Cafe\u0301 \u200b\u202e\U0001f469\u200d\U0001f52c||x|", 'Magazines" />', "nan",
        ]
    ],
    # The first character chooses the file, in the order in which the target lists them.
    "token_names": [
        '\x00{"bos_token_id": 0, "eos_token_id": [1, 2], "pad_token_id": null}',
        '\x01{"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>"}, "additional_special_tokens": ["<|x|>"]}',
        '\x02{"<|x|>": 300, "<|endoftext|>": 0}',
        '\x03{"model_type": "llama", "eos_token_id": 1, "text_config": {"bos_token_id": 0}}',
    ],
    "tokenizer_config": [
        '{"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>", "lstrip": false}, "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}',
        '{"chat_template": [{"name": "default", "template": "{{ bos_token }}"}], "added_tokens_decoder": {"0": {"content": "<|endoftext|>", "special": true}}}',
    ],
}


def inputs(target):
    if target == "compressed":
        # As it is stored, so that the form of a member itself is changed.
        lines = (FIXTURES / "amazon-2018/Jam_5.json").read_bytes()
        for kind, compress in [(0, gzip.compress), (2, bz2.compress), (3, lzma.compress)]:
            yield bytes([0, kind, 0, 0]) + compress(lines)
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr("a/r.json", lines)
        yield bytes([0, 5, 0, 0]) + archive.getvalue()
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
