"""Raw logs to tables and to prompts: weaverec against Polars, DuckDB, pandas and a line-by-line script, on the same work, in turns.

    python pipeline.py WEAVEREC BENCH FOLDER REPORT

WEAVEREC is the program, BENCH is `pipeline/benches/pipeline.rs`, built: it measures our decompression alone. Logs are generated
into FOLDER once for each size. Every task runs in a process of its own, best of several; REPORT (Markdown, with the raw readings as
JSON beside it) gets seconds, CPU seconds, peak memory and ratios. SIZES (millions of reviews, `2,20`) says which sizes are
measured now, those measured before stay in the report; REPEATS how often a task runs (5, and 1 beyond two million; prompts three times at most, pandas and the script twice); ONLY (`tables`) the beginning of the names
of those that run, while the others' readings stay. `make bench-peers` does all of it.

The tables: reviews and metadata, both gzipped, as published in 2014 → repeats of (user, item, time) removed → users and items
with five interactions or more, to the fixpoint → one row a user, oldest first, and one row an item with a clean title, in Parquet.
All must find the same numbers of interactions, users and items. Published metadata are Python literals, which no peer reads but through
Python's own `ast.literal_eval`; how long that took is told apart, since it says nothing about the peers. The prompts: the same, then the validation and the test prompt of
every user (the last two items that are new to them), 30 candidates each.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

CORE = 5
CANDIDATES = 30
HISTORY = 20
TITLE = 80
CATEGORY = "Bench"
REVIEWS = f"reviews_{CATEGORY}_5.json.gz"
METADATA = f"meta_{CATEGORY}.json.gz"
ITEMS = 125_000
REVIEWS_A_USER = 6
WORDS = 100
# Least ratio of the faster peer's time to ours, by millions of reviews.
AIMS = {2: 5, 20: 2.3}


# The peers. Each gets the raw folder and a folder to write to, and returns its counts.

# Seconds that `ast.literal_eval` took in this process.
literal_seconds = 0.0


def metadata(raw):
    """Titles and categories by item: Python literals, which only Python itself can read for these libraries."""
    import ast
    import gzip
    import html
    import re

    global literal_seconds
    tag = re.compile(r"<[a-zA-Z/!][^>]*>?")
    found = {}
    with gzip.open(raw / METADATA, "rt", encoding="utf-8") as lines:
        for line in lines:
            start = time.perf_counter()
            item = ast.literal_eval(line)
            literal_seconds += time.perf_counter() - start
            if item["asin"] in found:
                continue
            title = " ".join(tag.sub(" ", html.unescape(item.get("title") or "")).split())
            if len(title) > TITLE:
                title = title[: TITLE + 1].rsplit(" ", 1)[0]
            words = dict.fromkeys(word for path in item.get("categories") or [] for word in path)
            found[item["asin"]] = (title or f"Item {item['asin']}", ", ".join(words))
    return found


def with_polars(raw, out):
    import polars as pl

    schema = {"reviewerID": pl.String, "asin": pl.String, "overall": pl.Float64, "unixReviewTime": pl.Int64}
    rows = pl.scan_ndjson(raw / REVIEWS, schema=schema).select(schema.keys()).collect(engine="streaming")
    # Group and join by integers rather than by text.
    rows = rows.with_columns(pl.col("reviewerID", "asin").cast(pl.Categorical))
    rows = rows.unique(["reviewerID", "asin", "unixReviewTime"], keep="first")
    while True:
        before = rows.height
        for key in ["reviewerID", "asin"]:
            enough = rows.group_by(key).len().filter(pl.col("len") >= CORE).select(key)
            rows = rows.join(enough, on=key, how="semi")
        if rows.height == before:
            break
    rows = rows.with_columns(pl.col("reviewerID", "asin").cast(pl.String))
    described = metadata(raw)
    items = rows.select("asin").unique().sort("asin")
    missing = lambda asin: (f"Item {asin}", "")
    texts = [described.get(asin) or missing(asin) for asin in items["asin"]]
    items = items.with_columns(
        pl.Series("title", [t for t, _ in texts]), pl.Series("categories", [c for _, c in texts])
    )
    items.write_parquet(out / "items.parquet")
    sequences = (
        rows.lazy()
        .sort("reviewerID", "unixReviewTime", "asin")
        .group_by("reviewerID", maintain_order=True)
        .agg(pl.col("asin"), pl.col("unixReviewTime"))
        .collect()
    )
    sequences.write_parquet(out / "sequences.parquet")
    return rows.height, sequences.height, items.height


def with_duckdb(raw, out):
    import duckdb
    import pyarrow as pa

    db = duckdb.connect()
    db.execute("SET preserve_insertion_order = false")
    db.execute("SET temp_directory = ?", [str(out / "spill")])
    db.execute(
        f"""
        CREATE TEMP TABLE rows AS
        SELECT reviewerID AS user, asin AS item, any_value(overall) AS rating, unixReviewTime AS time
        FROM read_ndjson('{raw / REVIEWS}', columns = {{
            reviewerID: 'VARCHAR', asin: 'VARCHAR', overall: 'DOUBLE', unixReviewTime: 'BIGINT'}})
        GROUP BY ALL
        """
    )
    # Ids as integers, for the core is a loop of aggregations and joins.
    db.execute("CREATE TEMP TABLE users AS SELECT user, row_number() OVER () AS u FROM (SELECT DISTINCT user FROM rows)")
    db.execute("CREATE TEMP TABLE things AS SELECT item, row_number() OVER () AS i FROM (SELECT DISTINCT item FROM rows)")
    db.execute("CREATE TEMP TABLE kept AS SELECT u, i, time FROM rows JOIN users USING (user) JOIN things USING (item)")
    db.execute("DROP TABLE rows")
    count = lambda: db.execute("SELECT count(*) FROM kept").fetchall()[0][0]
    while True:
        before = count()
        for key in ["u", "i"]:
            db.execute(
                f"CREATE OR REPLACE TEMP TABLE kept AS SELECT * FROM kept SEMI JOIN "
                f"(SELECT {key} FROM kept GROUP BY {key} HAVING count(*) >= {CORE}) USING ({key})"
            )
        if count() == before:
            break
    texts = [(asin, title, categories) for asin, (title, categories) in metadata(raw).items()]
    columns = list(zip(*texts))
    described = pa.table(dict(zip(["item", "title", "categories"], map(list, columns))))
    db.register("described", described)
    db.execute(
        f"""
        COPY (SELECT item, coalesce(title, 'Item ' || item) AS title, coalesce(categories, '') AS categories
              FROM (SELECT DISTINCT i FROM kept) JOIN things USING (i) LEFT JOIN described USING (item) ORDER BY item)
        TO '{out / "items.parquet"}' (FORMAT parquet)
        """
    )
    db.execute(
        f"""
        COPY (SELECT user, list(item ORDER BY time, item) AS items, list(time ORDER BY time, item) AS times
              FROM kept JOIN users USING (u) JOIN things USING (i) GROUP BY user ORDER BY user)
        TO '{out / "sequences.parquet"}' (FORMAT parquet)
        """
    )
    one = lambda what: db.execute(f"SELECT count(DISTINCT {what}) FROM kept").fetchall()[0][0]
    return count(), one("u"), one("i")


def core(rows, user, item):
    while True:
        before = len(rows)
        for key in [user, item]:
            rows = rows[rows.groupby(key, observed=True)[key].transform("size") >= CORE]
        if len(rows) == before:
            return rows


def with_pandas(raw, out):
    import gzip

    import pandas as pd

    columns = ["reviewerID", "asin", "overall", "unixReviewTime"]
    with gzip.open(raw / REVIEWS, "rt", encoding="utf-8") as lines:
        pieces = [piece[columns] for piece in pd.read_json(lines, lines=True, chunksize=100_000)]
    rows = pd.concat(pieces, ignore_index=True)
    rows = rows.astype({"reviewerID": "category", "asin": "category"})
    rows = rows.drop_duplicates(["reviewerID", "asin", "unixReviewTime"])
    rows = core(rows, "reviewerID", "asin")
    rows = rows.astype({"reviewerID": "str", "asin": "str"})
    described = metadata(raw)
    asins = sorted(rows["asin"].unique())
    texts = [described.get(asin) or (f"Item {asin}", "") for asin in asins]
    items = pd.DataFrame({"asin": asins, "title": [t for t, _ in texts], "categories": [c for _, c in texts]})
    items.to_parquet(out / "items.parquet")
    rows = rows.sort_values(["reviewerID", "unixReviewTime", "asin"])
    sequences = rows.groupby("reviewerID", sort=False)[["asin", "unixReviewTime"]].agg(list)
    sequences.to_parquet(out / "sequences.parquet")
    return len(rows), len(sequences), len(items)


def with_a_script(raw, out):
    """What processing scripts beside papers do: every line through `json`, pandas for the core, a loop over users for the prompts."""
    import gzip
    import random

    import pandas as pd

    records = []
    with gzip.open(raw / REVIEWS, "rt", encoding="utf-8") as lines:
        for line in lines:
            review = json.loads(line)
            records.append((review["reviewerID"], review["asin"], review["overall"], review["unixReviewTime"]))
    rows = pd.DataFrame(records, columns=["user", "item", "rating", "time"])
    rows = core(rows.drop_duplicates(["user", "item", "time"]), "user", "item")
    rows = rows.sort_values(["user", "time", "item"])
    described = metadata(raw)
    titles = {item: described[item][0] if item in described else f"Item {item}" for item in rows["item"].unique()}
    catalogue = list(titles)
    random.seed(42)
    prompts = 0
    with open(out / "prompts.jsonl", "w", encoding="utf-8") as file:
        for user, items in rows.groupby("user")["item"].agg(list).items():
            seen = set(items)
            new = [at for at in range(1, len(items)) if items[at] not in items[:at]]
            for split, at in zip(["validation", "test"], new[-2:]):
                target, history = items[at], items[max(at - HISTORY, 0) : at]
                candidates = [target]
                while len(candidates) < CANDIDATES:
                    item = random.choice(catalogue)
                    if item not in seen and item not in candidates:
                        candidates.append(item)
                random.shuffle(candidates)
                question = (
                    "Here is what a user chose so far, oldest first, separated by ||:\n"
                    + " || ".join(titles[item] for item in history)
                    + "\n\nFrom the candidates below, name the one that the user is most likely to choose next.\n\nCandidates:\n"
                    + " || ".join(titles[item] for item in candidates)
                )
                messages = [{"role": "user", "content": question}, {"role": "assistant", "content": titles[target]}]
                row = {"user": user, "split": split, "history": history, "target": target, "candidates": candidates}
                file.write(json.dumps({**row, "messages": messages}) + "\n")
                prompts += 1
    return len(rows), rows["user"].nunique(), len(titles), prompts


PEERS = {"polars": with_polars, "duckdb": with_duckdb, "pandas": with_pandas, "script": with_a_script}


# Running them.


def measured(command):
    """Runs a command; seconds by the clock and of the processors, and the most memory it held."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # Small outputs only, so that neither pipe fills up.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    output, errors = process.stdout.read().decode(), process.stderr.read().decode()
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{errors or output}")
    reading = {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss * 1024}
    return reading, output


def best(readings):
    return min(readings, key=lambda reading: reading["seconds"])


def generate(weaverec, folder, millions):
    raw = folder / f"raw-{millions}m" / CATEGORY.lower()
    users = millions * 1_000_000 // REVIEWS_A_USER
    say(f"{millions} million reviews: generating, unless they are there")
    subprocess.run(
        [weaverec, "datasets", "synth", "--out", raw.parent, "--users", str(users), "--items", str(ITEMS)]
        + ["--interactions", str(REVIEWS_A_USER), "--review-words", str(WORDS), "--dirt", "0"]
        + ["--domain", f"{CATEGORY.lower()}=amazon2014"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return raw


def ours(weaverec, raw, out, prompts):
    """Our command for the tables alone, or with prompts."""
    what = ["--max-train", "0", "--candidates", str(CANDIDATES), "--format", "target-only"] if prompts else ["--no-prompts"]
    core = ["--user-core", str(CORE), "--item-core", str(CORE), "--max-history", str(HISTORY), "--max-title-chars", str(TITLE)]
    return [weaverec, "prepare", raw / f"{raw.name}.toml", "--raw", raw, "--out", out, "--name", "prepared", *core, *what]


def counted(out):
    manifest = json.loads((out / "prepared" / "manifest.json").read_text())
    last = manifest["counts"][-1]
    counts = [last["interactions"], last["users"], last["items"]]
    prompts = sum(manifest["prompts"].values())
    return counts + [prompts] if prompts else counts


def tasks(weaverec, bench, raw, millions):
    """Name of each task → (its command for an output folder, how to read its counts, how often it runs)."""
    repeats = int(os.environ.get("REPEATS", 5 if millions <= 2 else 1))
    peer = lambda name: lambda out: [sys.executable, __file__, "--task", name, str(raw), str(out)]
    told = lambda out, output: json.loads(output.strip().splitlines()[-1])
    own = lambda out, output: {"counts": counted(out)}
    nothing = lambda out, output: {}
    found = {
        "gzip -dc": (lambda out: ["sh", "-c", f"gzip -dc '{raw / REVIEWS}' > /dev/null"], nothing, repeats),
        "our decompression": (lambda out: [bench, "--decompress", raw / REVIEWS], nothing, repeats),
        "tables: weaverec": (lambda out: ours(weaverec, raw, out, False), own, repeats),
        "tables: duckdb": (peer("duckdb"), told, repeats),
        "tables: polars": (peer("polars"), told, repeats),
    }
    # These two take minutes, and their place is not in doubt.
    if millions <= 2:
        found["tables: pandas"] = (peer("pandas"), told, min(repeats, 2))
    found["prompts: weaverec"] = (lambda out: ours(weaverec, raw, out, True), own, min(repeats, 3))
    if millions <= 2:
        found["prompts: script"] = (peer("script"), told, min(repeats, 2))
    return found


def measure(weaverec, bench, folder, millions, before):
    raw = generate(weaverec, folder, millions)
    found = tasks(weaverec, bench, raw, millions)
    only = os.environ.get("ONLY", "")
    chosen = {name: task for name, task in found.items() if name.startswith(only)}
    result = {"bytes": {name: (raw / name).stat().st_size for name in [REVIEWS, METADATA]}, "tasks": {}}
    counts = {}
    # In turns, so that a machine whose speed changes is as fast for one as for the other.
    for turn in range(max(repeats for _, _, repeats in chosen.values())):
        for name, (command, count, repeats) in chosen.items():
            if turn >= repeats:
                continue
            out = folder / "out"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            reading, output = measured(command(out))
            found_out = count(out, output)
            if "counts" in found_out:
                counts.setdefault(name.split(":")[0], {})[name] = found_out["counts"]
            if "literals" in found_out:
                reading["literals"] = found_out["literals"]
            result["tasks"].setdefault(name, []).append(reading)
            shutil.rmtree(out)
            say(
                f"{millions} million, {name}, {turn + 1} of {repeats}: {reading['seconds']:.1f} s, "
                f"CPU {reading['cpu']:.1f} s, {reading['memory'] / 1e6:.0f} MB"
            )
    for work, found in counts.items():
        if len({tuple(numbers) for numbers in found.values()}) > 1:
            sys.exit(f"the counts of {work} differ: {found}")
    result["counts"] = {work: next(iter(found.values())) for work, found in counts.items()}
    # What was not measured now stays as it was, and the report says so.
    result["earlier"] = [name for name in before.get("tasks", {}) if name not in result["tasks"]]
    for part in ["tasks", "counts"]:
        result[part] = {**before.get(part, {}), **result[part]}
    return result


def say(line):
    print(line, file=sys.stderr, flush=True)


# The report.


def cpu():
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def versions():
    from importlib.metadata import version

    return {name: version(name) for name in ["polars", "duckdb", "pandas", "pyarrow"]}


def section(millions, result):
    fastest = {name: best(readings) for name, readings in result["tasks"].items()}
    tables = [name for name in fastest if name.startswith("tables: ") and name != "tables: weaverec"]
    mine, floor = fastest["tables: weaverec"], fastest["our decompression"]
    interactions, users, items = result["counts"]["tables"]
    mega = lambda name: f"{result['bytes'][name] / 1e6:.0f} MB"
    lines = [
        f"## {millions} million reviews",
        "",
        f"{mega(REVIEWS)} of reviews and {mega(METADATA)} of metadata, gzipped. After the core: {interactions:,} interactions, "
        f"{users:,} users, {items:,} items.",
        "",
        "| work | seconds | CPU seconds | peak memory | readings |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, reading in fastest.items():
        count = len(result["tasks"][name])
        lines.append(
            f"| {name} | {reading['seconds']:.2f} | {reading['cpu']:.2f} | {reading['memory'] / 1e6:.0f} MB | best of {count} |"
        )
    for name in tables:
        if "literals" in fastest[name]:
            apart = fastest[name]["literals"]
            lines.append(f"| {name}, `literal_eval` apart ({apart:.2f} s) | {fastest[name]['seconds'] - apart:.2f} | {fastest[name]['cpu'] - apart:.2f} | | |")
    rival = min((name for name in tables if "pandas" not in name), key=lambda name: fastest[name]["seconds"])
    lean = min((name for name in tables if "pandas" not in name), key=lambda name: fastest[name]["memory"])
    short = lambda name: name.split(": ")[1]
    fair = lambda reading: reading["seconds"] - reading.get("literals", 0)
    lines += [
        "",
        "| ratio | measured | aim |",
        "|---|---:|---:|",
        f"| tables, {short(rival)} (the faster of Polars and DuckDB) / weaverec, time | "
        f"{fastest[rival]['seconds'] / mine['seconds']:.1f} | ≥ {AIMS.get(int(millions), 2.3)} |",
        f"| the same without the peer's `literal_eval` (ours includes its own reading of those lines) | "
        f"{min(fair(fastest[name]) for name in tables if 'pandas' not in name) / mine['seconds']:.1f} | |",
        f"| tables, weaverec / {short(lean)} (the leaner of the two), peak memory | {mine['memory'] / fastest[lean]['memory']:.2f} | ≤ 0.5 |",
        f"| tables, weaverec / our decompression alone, time | {mine['seconds'] / floor['seconds']:.2f} | |",
        f"| tables, weaverec / `gzip -dc` alone, time | {mine['seconds'] / fastest['gzip -dc']['seconds']:.2f} | ≤ 1.5 |",
    ]
    if "prompts: script" in fastest:
        ratio = fastest["prompts: script"]["seconds"] / fastest["prompts: weaverec"]["seconds"]
        lines.append(f"| prompts, script / weaverec, time | {ratio:.1f} | ≥ 10 |")
    turns = [[r["seconds"] for r in result["tasks"][name]] for name in ["tables: weaverec", "tables: polars", "tables: duckdb"]]
    by_turn = ", ".join(f"{min(rivals) / own:.1f}" for own, *rivals in zip(*turns))
    lines += ["", f"The first ratio turn by turn, since the machine's speed changes between turns: {by_turn}."]
    if result.get("earlier"):
        names = ", ".join(f"`{name}`" for name in result["earlier"])
        lines += ["", f"Measured earlier than the rest, perhaps with another build and at another speed of the machine: {names}."]
    return lines + [""]


def report(weaverec, bench, folder, path):
    store = path.with_suffix(".json")
    found = json.loads(store.read_text()) if store.exists() else {"sizes": {}}
    for millions in map(int, os.environ.get("SIZES", "2").split(",")):
        before = found["sizes"].get(str(millions), {})
        found["sizes"][str(millions)] = measure(weaverec, bench, folder, millions, before)
        found |= {"machine": cpu(), "cores": os.cpu_count(), "versions": versions()}
        path.parent.mkdir(parents=True, exist_ok=True)
        store.write_text(json.dumps(found, indent=1) + "\n")
        write(found, path)


def write(found, path):
    known = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    lines = [
        "# The pipeline beside Polars, DuckDB, pandas and a script",
        "",
        f"{found['machine']}, {found['cores']} cores; Python {platform.python_version()}, {known}. Each task in a process of its "
        "own, one after the other. Made by `make bench-peers`; `bench/peers/pipeline.py` holds the peers and says what the work is.",
        "",
        "`tables` is raw logs to sequences and items in Parquet; weaverec also writes the interactions, the rejects and a manifest "
        "with the hash of every file. `prompts` is raw logs to the validation and test prompts of all users; weaverec also checks "
        "every prompt for leaks. `our decompression` is the reviews through our reader, with its hash, and nothing done with them.",
        "",
    ]
    for millions, result in sorted(found["sizes"].items(), key=lambda size: int(size[0])):
        lines += section(millions, result)
    path.write_text("\n".join(lines))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--task"]:
        name, raw, out = sys.argv[2:]
        counts = list(PEERS[name](Path(raw), Path(out)))
        print(json.dumps({"counts": counts, "literals": literal_seconds}))
    elif len(sys.argv) == 5:
        weaverec, bench, folder, path = sys.argv[1:]
        report(weaverec, bench, Path(folder), Path(path))
    else:
        sys.exit(__doc__)
