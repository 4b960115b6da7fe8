"""Puts what fuzzing a reader starts from into its corpus: the test fixtures, whole and line by line.

    python seeds.py <target>

The first byte of an input chooses the set, in the order in which the target lists them; files whose header the target gives
itself go without theirs.
"""

import gzip
import hashlib
import itertools
import sys
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIXTURES = HERE.parent / "tests" / "fixtures"

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
    # The last bytes choose the rules (libFuzzer takes numbers from the end).
    "titles": [
        f"{title}\xff"
        for title in [
            "Shea  Butter &amp;amp; <b>Honey</b>", '<span class="a-size-medium', "L'Or&eacuteal &#146;&#x2122;", "Fran\u00c3\u00a7ais don\u00e2\u20ac\u2122t",
            "City of Lost Children, The (a.k.a. Cit\u00e9 des enfants perdus, La) (1995)", "List<String> <![CDATA[x]]> <script>a;</script>",
            "Cafe\u0301 \u200b\u202e\U0001f469\u200d\U0001f52c||x|", 'Magazines" />', "nan",
        ]
    ],
    "clock": ["iso\n2017-12-17T02:00:00+02:00", "%a %b %d %H:%M:%S %z %Y\nSun Jul 30 07:44:10 -0700 2017", "s\n1", "%s\n9"],
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
    for text in TEXTS.get(target, []):
        yield text.encode()
    for first, fixture, header in SEEDS.get(target, []):
        lines = (FIXTURES / fixture).read_bytes().splitlines(keepends=True)[header:]
        yield first + b"".join(lines)
        for line in lines:
            yield first + line


def main(target):
    targets = sorted(path.stem for path in (HERE / "fuzz_targets").glob("*.rs"))
    if target not in targets:
        sys.exit(f"no fuzz target {target}; there are {', '.join(targets)}")
    corpus = HERE / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    for content in inputs(target):
        (corpus / hashlib.sha1(content).hexdigest()).write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1])
