"""Recommenders beside those of RecBole and RecTools: accuracy, time to a level of accuracy, and memory, on one split.

    python recommenders.py WEAVEREC FOLDER REPORT [--target movielens] [--data LOGS] [--replicates 3] [--minutes 60] [--threads 2]

WEAVEREC is the program. The target is prepared and its cases are exported in FOLDER, where a run that is finished is kept as a file of
JSON and not made again; REPORT (Markdown, with all curves as JSON beside it) gets what came of all runs. `make bench-recommenders` does it.

Every program learns from the same training part, by its own settings but for the sizes: width 64, two blocks, and the last 50 items of a
history. After each epoch the users who choose are asked for what came next (NDCG@10 over the whole catalogue without their history);
the best epoch is kept, and after so many epochs without a better one training ends. Its items are then asked for on the reported users.
Each training is a process of its own. With --tiny all is small, to see that it works.
"""

import argparse
import copy
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "outside"))

# By target: the data set, and where its raw logs are in a folder of local ones; none: fetched.
TARGETS = {
    "movielens": ("movielens-100k", None),
    "beauty": ("amazon-2014-beauty", "amazon-2014/beauty"),
    "sports": ("amazon-2014-sports", "amazon-2014/sports"),
}
# As the profile `outside` has them.
PREPARE = ["--user-core", "5", "--item-core", "0", "--format", "sequence", "--max-train", "1", "--seed", "1"]
# The first days of MovieLens-100k.
TINY = ["--until", "1997-09-23"]

WIDTH = 64
LENGTH = 50
TOP = 10
# Histories that are asked about at a time.
BATCH = 256
EPOCHS = 200
# Epochs without a better one, after which training ends. BERT4Rec begins slowly.
PATIENCE = {"sasrec": 10, "gru4rec": 10, "bert4rec": 20}

OURS = "weaverec"
MODELS = {"sasrec": "SASRec", "gru4rec": "GRU4Rec", "bert4rec": "BERT4Rec"}
PROGRAMS = {OURS: "weaverec", "recbole": "RecBole", "rectools": "RecTools"}
ENTRANTS = [(program, model) for model in MODELS for program in PROGRAMS if (program, model) != ("rectools", "gru4rec")]
# What is aimed at: seconds of a peer over ours, and our memory over a peer's.
FASTER = {"recbole": 3.0, "rectools": 1.3}
MEMORY = 0.5
# How far our accuracy may lie below a peer's, if twice the spread of replicates is less.
BELOW = 0.002

# A process that is started from a large one counts the large one's memory as its own until it begins. This small one stands between.
MEASURE = """
import json, os, sys, time
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
found = {"seconds": time.perf_counter() - start, "processor": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * 1024}
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def write(path, text):
    """A file that appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text)
    os.replace(unfinished, path)


class Split:
    """What is learnt from, who chooses, and on whom is reported."""

    def __init__(self, folder, most=None):
        import pyarrow.parquet
        from train import Cases

        self.cases = Cases(folder)
        table = pyarrow.parquet.read_table(folder / "cases.parquet").to_pandas()

        def asked(cut):
            rows = table[table["cut"] == cut]
            pairs = [([str(item) for item in history], str(target)) for history, target in zip(rows["history"], rows["target"])]
            return [(history, target) for history, target in pairs if history][:most]

        self.choosing = asked("selection")
        self.reported = asked(self.cases.manifest["report_on"])


def accuracy(lists, asked):
    """HR and NDCG at ten of ranked lists, the best item first; a target that is not on a list is missed."""
    places = [found.index(target) if target in found[:TOP] else None for found, (_, target) in zip(lists, asked, strict=True)]
    gains = [0.0 if place is None else 1.0 / math.log2(place + 2) for place in places]
    hits = [place is not None for place in places]
    return {"hr@10": sum(hits) / len(hits), "ndcg@10": sum(gains) / len(gains)}


class Laps:
    """Seconds, and seconds of processor time, while something is trained; what is asked in between is not counted."""

    def __init__(self):
        self.seconds = self.processor = 0.0

    def __enter__(self):
        self.begin = time.perf_counter(), time.process_time()

    def __exit__(self, *_):
        self.seconds += time.perf_counter() - self.begin[0]
        self.processor += time.process_time() - self.begin[1]


class RecBole:
    """A model of RecBole with its own settings and cross-entropy, on the whole training part."""

    CLASSES = {"sasrec": "SASRec", "gru4rec": "GRU4Rec", "bert4rec": "BERT4Rec"}

    def __init__(self, split, work, model, seed):
        from recbole.data.utils import get_dataloader
        from recbole.utils import get_model, get_trainer, init_seed
        from train import recbole

        name = self.CLASSES[model]
        sizes = {"embedding_size": WIDTH} if model == "gru4rec" else {"hidden_size": WIDTH}
        config, self.dataset = recbole(
            split.cases,
            work,
            name,
            seed=seed,
            reproducibility=True,
            loss_type="CE",
            train_neg_sample_args=None,
            MAX_ITEM_LIST_LENGTH=LENGTH,
            # Nothing is held out here: the users who choose are outside the training part.
            eval_args={"split": {"RS": [1, 0, 0]}, "order": "TO", "group_by": "user", "mode": "full"},
            **sizes,
        )
        init_seed(seed, True)
        training, *_ = self.dataset.build()
        self.training = get_dataloader(config, "train")(config, training, None, shuffle=True)
        init_seed(seed, True)
        self.model = get_model(name)(config, training)
        self.trainer = get_trainer(config["MODEL_TYPE"], name)(config, self.model)
        self.positions = int(training.inter_feat[self.model.ITEM_SEQ_LEN].sum())
        self.known = [str(item) for item in self.dataset.field2id_token["item_id"]]
        self.column = {item: place for place, item in enumerate(self.known)}

    def train(self, epoch, laps):
        with laps:
            self.trainer._train_epoch(self.training, epoch, show_progress=False)

    def top(self, histories):
        import torch
        from recbole.data.interaction import Interaction

        self.model.eval()
        lists = []
        for start in range(0, len(histories), BATCH):
            read = [[self.column[item] for item in history if item in self.column] for history in histories[start : start + BATCH]]
            rows = torch.zeros(len(read), LENGTH, dtype=torch.long)
            lengths = torch.ones(len(read), dtype=torch.long)
            for place, history in enumerate(read):
                last = history[-LENGTH:]
                rows[place, : len(last)] = torch.tensor(last, dtype=torch.long)
                lengths[place] = max(len(last), 1)
            with torch.no_grad():
                scores = self.model.full_sort_predict(Interaction({self.model.ITEM_SEQ: rows, self.model.ITEM_SEQ_LEN: lengths}))
            # The first is no item.
            scores[:, 0] = -torch.inf
            for place, history in enumerate(read):
                scores[place, history] = -torch.inf
            best = torch.topk(scores, min(TOP, len(self.known) - 1)).indices.tolist()
            lists += [[self.known[item] for item in found] if history else [] for found, history in zip(best, read)]
        return lists

    def state(self):
        return copy.deepcopy(self.model.state_dict())

    def restore(self, state):
        self.model.load_state_dict(state)


class RecTools:
    """A model of RecTools with its own settings but for the sizes, and its softmax over all items."""

    def __init__(self, split, _, model, seed):
        import random

        import numpy
        import pandas
        import torch
        from pytorch_lightning import Callback, Trainer, seed_everything
        from rectools.dataset import Dataset
        from rectools.models import BERT4RecModel, SASRecModel

        self.laps = laps = Laps()

        class Lap(Callback):
            def on_train_epoch_start(self, *_):
                laps.__enter__()

            def on_train_epoch_end(self, *_):
                laps.__exit__()

        def trainer():
            return Trainer(
                max_epochs=1,
                callbacks=[Lap()],
                deterministic=True,
                accelerator="cpu",
                enable_progress_bar=False,
                enable_model_summary=False,
                enable_checkpointing=False,
                logger=False,
            )

        def dataset(users, items):
            times = pandas.to_datetime(numpy.arange(len(users)), unit="s")
            return Dataset.construct(pandas.DataFrame({"user_id": users, "item_id": items, "weight": 1.0, "datetime": times}))

        self.dataset = dataset
        seed_everything(seed, workers=True)
        random.seed(seed)
        # Of events of one time the order of the file is kept.
        events = split.cases.training.sort_values("timestamp", kind="stable")
        self.events = dataset(events["user_id"].to_numpy(), events["item_id"].to_numpy())
        self.items = set(events["item_id"])
        # SASRec does not read the last item, which is only asked for; BERT4Rec reads all.
        read = events.groupby("user_id").size()
        read = read[read > 1] - (model == "sasrec")
        self.positions = int(read.clip(upper=LENGTH).sum())
        kind = {"sasrec": SASRecModel, "bert4rec": BERT4RecModel}[model]
        self.model = kind(
            n_factors=WIDTH,
            session_max_len=LENGTH,
            get_trainer_func=trainer,
            deterministic=True,
            recommend_torch_device="cpu",
        )
        torch.set_float32_matmul_precision("highest")

    def train(self, _, laps):
        self.model.fit_partial(self.events, min_epochs=1, max_epochs=1)
        laps.seconds, laps.processor = self.laps.seconds, self.laps.processor

    def top(self, histories):
        known = [(user, [item for item in history if item in self.items]) for user, history in enumerate(histories)]
        known = [(user, history) for user, history in known if history]
        users = [user for user, history in known for _ in history]
        given = self.dataset(users, [item for _, history in known for item in history])
        found = self.model.recommend([user for user, _ in known], given, k=TOP, filter_viewed=True)
        lists = [[] for _ in histories]
        for user, item in zip(found["user_id"], found["item_id"]):
            lists[user].append(item)
        return lists

    def state(self):
        return copy.deepcopy(self.model.torch_model.state_dict())

    def restore(self, state):
        self.model.torch_model.load_state_dict(state)


PEERS = {"recbole": RecBole, "rectools": RecTools}


def train_peer(asked):
    """Trains a model of another program, and writes what came of it: in a process of its own."""
    import torch

    torch.set_num_threads(asked.threads)
    torch.set_num_interop_threads(1)
    split = Split(asked.cases, asked.most)
    # The programs leave logs where they run.
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    work = asked.out.parent / asked.out.stem
    work.mkdir(exist_ok=True)
    os.chdir(work)
    sys.argv = sys.argv[:1]
    peer = PEERS[asked.program](split, work, asked.model, 2024 + asked.replicate)
    laps, curve, best, stopped = Laps(), [], None, "epochs"
    for epoch in range(1, asked.epochs + 1):
        peer.train(epoch - 1, laps)
        ndcg = accuracy(peer.top([history for history, _ in split.choosing]), split.choosing)["ndcg@10"]
        curve.append({"epoch": epoch, "ndcg@10": ndcg, "seconds": laps.seconds, "processor": laps.processor})
        print(f"  epoch {epoch} after {laps.seconds:.0f} s, of processor time {laps.processor:.0f} s: NDCG@10 {ndcg:.4f}", flush=True)
        if best is None or ndcg > best[0]:
            best = ndcg, epoch, peer.state()
        if laps.processor / asked.threads > 60 * asked.minutes:
            stopped = "time"
            break
        if epoch - best[1] >= PATIENCE[asked.model]:
            stopped = "patience"
            break
    peer.restore(best[2])
    found = {
        "accuracy": accuracy(peer.top([history for history, _ in split.reported]), split.reported),
        "curve": curve,
        "kept": best[1],
        "stopped": stopped,
        "positions_an_epoch": peer.positions,
    }
    write(asked.out, json.dumps(found))


def measured(command, threads, folder):
    """Seconds, processor seconds and peak memory of a command that must go well; what it says goes where this program's output goes."""
    limits = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"]
    took = folder / "took.json"
    subprocess.run(
        [sys.executable, "-S", "-c", MEASURE, str(took), *map(str, command)],
        check=True,
        env={**os.environ, **{limit: str(threads) for limit in limits}},
    )
    found = json.loads(took.read_text())
    took.unlink()
    return found


def run_peer(program, model, replicate, asked, folder):
    """A training of another program."""
    out = folder / "trained.json"
    command = [sys.executable, __file__, "--train", program, model, str(replicate), "--cases", asked.cases, "--out", out]
    command += ["--epochs", str(asked.epochs), "--minutes", str(asked.minutes), "--threads", str(asked.threads)]
    command += ["--most", str(asked.most)] if asked.most else []
    took = measured(command, asked.threads, folder)
    return {**json.loads(out.read_text()), "peak": took["peak"]}


def run_ours(model, replicate, asked, folder):
    """A fit of ours."""
    out = folder / "fitted"
    fit = [asked.weaverec, "fit", asked.prepared, "--method", model, "--out", out, "--seed", str(replicate + 1)]
    # All who may choose do.
    fit += ["--users", "1000000", "--threads", str(asked.threads), "--epochs", str(asked.epochs)]
    fit += ["--set", f"width={WIDTH}", "--set", f"length={LENGTH}", "--set", f"schedule.patience={PATIENCE[model]}"]
    took = measured(fit, asked.threads, folder)
    lines = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    about = json.loads((out / "fitted.json").read_text())
    # The share of processor time in the whole process stands for that of the fit.
    share = took["processor"] / took["seconds"]
    looks = [line for line in lines if "ndcg@10" in line]
    curve = [{**look, "processor": share * look["seconds"]} for look in looks]
    split = Split(asked.cases, asked.most)
    questions = folder / "histories.json"
    questions.write_text(json.dumps([{"history": history} for history, _ in split.reported]))
    recommend = [asked.weaverec, "recommend", questions, "--model-folder", out, "--top", str(TOP), "--threads", str(asked.threads)]
    answers = json.loads(subprocess.run(list(map(str, recommend)), check=True, stdout=subprocess.PIPE).stdout)
    lists = [[ranked["items"][0] for ranked in answer["ranking"]] for answer in answers]
    epochs = about["epochs"]
    return {
        "accuracy": accuracy(lists, split.reported),
        "curve": curve,
        "kept": epochs["best"],
        "stopped": "patience" if epochs["stopped_early"] else "epochs",
        "positions_an_epoch": about["positions"] / epochs["all"],
        "peak": took["peak"],
    }


def export(asked, folder):
    """The prepared folder and the cases, both made once."""
    dataset, raw = TARGETS[asked.target]
    name = asked.target + ("-tiny" if asked.tiny else "")
    asked.prepared, asked.cases = folder / name / "prepared" / dataset, folder / name / "cases"
    if not asked.prepared.exists():
        if raw is None:
            fetched = subprocess.run([asked.weaverec, "datasets", "fetch", dataset], check=True, stdout=subprocess.PIPE, text=True)
            raw = fetched.stdout.strip()
        elif asked.data is None:
            raise SystemExit(f"--data: name the folder of raw logs that has {raw}")
        else:
            raw = asked.data / raw
        prepare = [asked.weaverec, "prepare", dataset, "--raw", raw, "--out", asked.prepared.parent, *PREPARE]
        subprocess.run(list(map(str, prepare + (TINY if asked.tiny else []))), check=True)
    cases = [asked.weaverec, "cases", "export", "--prepared", asked.prepared, "--out", asked.cases, "--with-targets", "--force"]
    # Its output names the folder, and its warning is about targets, which nobody is trained on here.
    subprocess.run(list(map(str, cases)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    manifest = json.loads((asked.cases / "cases.json").read_text())
    return folder / name / manifest["cases"], manifest


def run_all(asked, folder):
    """All runs, those that are finished from their files."""
    runs = []
    for replicate in range(asked.replicates):
        for program, model in ENTRANTS:
            if model not in asked.models:
                continue
            what = {
                "program": program,
                "model": model,
                "replicate": replicate,
                "threads": asked.threads,
                "epochs": asked.epochs,
                "minutes": asked.minutes,
                "tiny": asked.tiny,
            }
            path = folder / f"{program}-{model}-{replicate}.json"
            run = json.loads(path.read_text()) if path.exists() else None
            if run is None or run["asked"] != what:
                print(f"{PROGRAMS[program]}, {MODELS[model]}, replicate {replicate}", flush=True)
                work = folder / path.stem
                shutil.rmtree(work, ignore_errors=True)
                work.mkdir(parents=True)
                found = run_ours(model, replicate, asked, work) if program == OURS else run_peer(program, model, replicate, asked, work)
                run = {"asked": what, "versions": versions(asked.weaverec), **found}
                write(path, json.dumps(run))
                shutil.rmtree(work)
            runs.append(run)
    return runs


def versions(weaverec):
    ours = subprocess.run([weaverec, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return {"weaverec": ours.removeprefix("weaverec "), **{name: version(name) for name in ("recbole", "rectools", "torch", "numpy")}}


def machine():
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def best(run):
    return max(point["ndcg@10"] for point in run["curve"])


def reach(run, level):
    """The first point of a curve that is as good."""
    return next(point for point in run["curve"] if point["ndcg@10"] >= level)


def spread(values):
    return statistics.stdev(values) if len(values) > 1 else 0.0


def compare(ours, theirs):
    """Runs of ours beside those of a peer, replicate by replicate."""
    levels = []
    for own, other in zip(ours, theirs, strict=True):
        # Who was stopped might have become better: there, where it stood.
        stood = other["curve"][-1]["ndcg@10"] if other["stopped"] == "time" else best(other)
        levels.append(min(best(own), stood))
    found = {"levels": levels, "stopped": sum(run["stopped"] == "time" for run in theirs)}
    for key in ("seconds", "processor"):
        own = [reach(run, level)[key] for run, level in zip(ours, levels)]
        other = [reach(run, level)[key] for run, level in zip(theirs, levels)]
        found[key] = {"ours": own, "theirs": other, "ratio": sum(other) / sum(own)}
    peaks = [statistics.mean(run["peak"] for run in runs) for runs in (ours, theirs)]
    found["memory"] = {"ours": peaks[0], "theirs": peaks[1], "ratio": peaks[0] / peaks[1]}
    for metric in ("hr@10", "ndcg@10"):
        own, other = ([run["accuracy"][metric] for run in runs] for runs in (ours, theirs))
        allowed = max(BELOW, 2 * math.sqrt((spread(own) ** 2 + spread(other) ** 2) / 2))
        found[metric] = {"difference": statistics.mean(own) - statistics.mean(other), "allowed": allowed}
    return found


def mean(runs, value):
    return statistics.mean(value(run) for run in runs)


def said(value, aim, reached):
    return f"{value} ({'reached' if reached else 'not reached'}: {aim})"


def report(asked, manifest, runs):
    """The Markdown, and what it says as values."""
    dataset, _ = TARGETS[asked.target]
    by = {}
    for run in runs:
        by.setdefault((run["asked"]["program"], run["asked"]["model"]), []).append(run)
    with_versions = {name: sorted({run["versions"][name] for run in runs}) for name in runs[0]["versions"]}
    split = Split(asked.cases, asked.most)
    lines = [
        f"# Recommenders beside other programs: {dataset}",
        "",
        f"{machine()}; {asked.threads} thread(s) for each program; {asked.replicates} replicate(s), of which means are shown. "
        + ", ".join(f"{name} {' and '.join(found)}" for name, found in with_versions.items())
        + f". Made by `{asked.made_by}`.",
        "",
        f"Split: {manifest['split']}; {manifest['order']}. {len(split.choosing)} users choose the epoch, {len(split.reported)} are reported, both "
        "over the whole catalogue without their history.",
        "",
    ]
    if asked.tiny:
        lines += ["**Small sizes, to see that it works: the numbers say nothing.**", ""]
    comparisons = {}
    for model in asked.models:
        lines += [
            f"## {MODELS[model]}",
            "",
            "| program | HR@10 | NDCG@10 | best validation NDCG@10 | epochs (kept) | s an epoch | processor s an epoch | positions a second | peak memory |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for program, name in PROGRAMS.items():
            found = by.get((program, model))
            if not found:
                continue

            def an_epoch(run, key):
                return run["curve"][-1][key] / len(run["curve"])

            accurate = [
                f"{mean(found, lambda run: run['accuracy'][metric]):.4f} ± {spread([run['accuracy'][metric] for run in found]):.4f}"
                for metric in ("hr@10", "ndcg@10")
            ]
            stopped = "; stopped by the clock" if any(run["stopped"] == "time" for run in found) else ""
            cells = [
                name,
                *accurate,
                f"{mean(found, best):.4f}",
                f"{mean(found, lambda run: len(run['curve'])):.0f} ({mean(found, lambda run: run['kept']):.0f}{stopped})",
                f"{mean(found, lambda run: an_epoch(run, 'seconds')):.1f}",
                f"{mean(found, lambda run: an_epoch(run, 'processor')):.1f}",
                f"{mean(found, lambda run: run['positions_an_epoch'] / an_epoch(run, 'seconds')):,.0f}",
                f"{mean(found, lambda run: run['peak']) / 2**20:,.0f} MiB",
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines += [
            "",
            "| beside | level, validation NDCG@10 | s to it: ours, theirs | times as fast | processor s to it: ours, theirs | times as fast | memory, ours over theirs | HR@10, difference | NDCG@10, difference |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for program in PEERS:
            if not by.get((program, model)) or not by.get((OURS, model)):
                continue
            found = compare(by[OURS, model], by[program, model])
            comparisons[f"{model}, {program}"] = found
            cells = [PROGRAMS[program], f"{statistics.mean(found['levels']):.4f}"]
            for key in ("seconds", "processor"):
                taken = found[key]
                cells.append(f"{statistics.mean(taken['ours']):.1f}, {statistics.mean(taken['theirs']):.1f}")
                cells.append(said(f"{taken['ratio']:.2f}", f"{FASTER[program]:g}", taken["ratio"] >= FASTER[program]))
            ratio = found["memory"]["ratio"]
            cells.append(said(f"{ratio:.2f}", f"{MEMORY:g}", ratio <= MEMORY))
            for metric in ("hr@10", "ndcg@10"):
                difference, allowed = found[metric]["difference"], found[metric]["allowed"]
                cells.append(said(f"{difference:+.4f}", f"−{allowed:.4f}", difference >= -allowed))
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    lines += [
        f"All read the last {LENGTH} items of a history, in two blocks (GRU4Rec: one layer of 128) of width {WIDTH}; whatever else is each "
        "program's own setting, with cross-entropy over the whole catalogue. A training ends after "
        + ", ".join(f"{PATIENCE[model]} epochs ({MODELS[model]})" for model in asked.models)
        + f" without a better one, after {asked.epochs}, or, a peer's, after {asked.minutes} minutes of processor time a thread; then the level is "
        "that of its last epoch. Otherwise the level is the lower of the two best.",
        "",
        "Seconds are of training alone: of peers without, of ours with what the users who choose were asked in between. Our processor seconds "
        "are the seconds times what the whole process took of processors. Positions are items that are read, without padding; RecBole reads a "
        "history again for each of its items, the others once an epoch (our BERT4Rec twice). Peak memory is of the process, with reading the "
        "data and, in Python, with the libraries.",
        "",
    ]
    values = {
        "made_by": asked.made_by,
        "machine": machine(),
        "target": asked.target,
        "cases": manifest["cases"],
        "runs": runs,
        "comparisons": comparisons,
    }
    return "\n".join(lines), values


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    if "--train" in sys.argv:
        parser.add_argument("--train", nargs=3, required=True)
        parser.add_argument("--cases", type=Path, required=True)
        parser.add_argument("--out", type=Path, required=True)
        parser.add_argument("--most", type=int)
    else:
        parser.add_argument("weaverec")
        parser.add_argument("folder", type=Path)
        parser.add_argument("report", type=Path)
        parser.add_argument("--target", choices=TARGETS, default="movielens")
        parser.add_argument("--data", type=Path, help="folder of local raw logs, for all but movielens")
        parser.add_argument("--replicates", type=int, default=3)
        parser.add_argument("--models", default=",".join(MODELS))
        parser.add_argument("--tiny", action="store_true")
        parser.add_argument("--made-by", default=" ".join(["python", *sys.argv]))
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="most epochs")
    parser.add_argument("--minutes", type=float, default=60, help="of processor time a thread, after which a peer's training stops")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    if "--train" in sys.argv:
        asked.program, asked.model, asked.replicate = asked.train[0], asked.train[1], int(asked.train[2])
        train_peer(asked)
        return
    asked.models = [model for model in MODELS if model in asked.models.split(",")]
    if not asked.models:
        parser.error(f"no such models; there are {', '.join(MODELS)}")
    asked.weaverec = shutil.which(asked.weaverec) or parser.error(f"{asked.weaverec} is no program")
    asked.weaverec = str(Path(asked.weaverec).resolve())
    asked.most = 20 if asked.tiny else None
    folder, manifest = export(asked, asked.folder.resolve())
    runs = run_all(asked, folder)
    text, values = report(asked, manifest, runs)
    write(asked.report, text)
    write(asked.report.with_suffix(".json"), json.dumps(values, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
