"""Rows of other programs: RecBole's SASRec and ItemKNN and RecTools' SASRec, trained on the cases of a target.

    python train.py CASES OUT [--replicates 3] [--minutes 60] [--rows recbole-sasrec,...] [-- WEAVEREC score import OPTIONS...]

CASES is the folder that `weaverec cases export` writes: programs are trained on its training part (recbole/NAME.inter) and asked for the
users of cases.parquet whose cut is reported, each with the whole history. Each row and replicate becomes a file of scores of all items in
OUT, with the items of the history in it (`--history kept --scope catalogue`); a file that is there is not made again. What made it (versions,
seed, epochs, minutes of processor time) is kept beside it in a JSON file. The command behind `--`, if there is one, is called for every file and
imports it, with what made it (`--made-by`). `make outside-rows` does all of it.

An item that is not in the training part is unknown to these programs: it gets a score below all others. What a history has of such items
is left out. Of each user's training part RecBole's SASRec holds the last item out, by which it stops; nothing else is chosen.
"""

import argparse
import importlib.metadata
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pandas
import pyarrow
import pyarrow.parquet

# Items of a history that sequential models see.
LENGTH = 50
# Users that are asked at a time.
BATCH = 256
# Passes over the data at most; RecBole's stop after ten without a gain on the items held out.
RECBOLE_EPOCHS = 200
RECTOOLS_EPOCHS = 50


class Cases:
    """What was exported."""

    def __init__(self, folder):
        self.manifest = json.loads((folder / "cases.json").read_text())
        table = pyarrow.parquet.read_table(folder / "cases.parquet").to_pandas()
        reported = table[table["cut"] == self.manifest["report_on"]]
        self.users = [str(user) for user in reported["user"]]
        self.histories = [[str(item) for item in history] for history in reported["history"]]
        items = pyarrow.parquet.read_table(folder / "items.parquet").to_pandas()
        self.items = [str(item) for item in items["item"]]
        self.recbole = folder / "recbole"
        (interactions,) = self.recbole.glob("*.inter")
        self.name = interactions.stem
        self.training = pandas.read_csv(
            interactions, sep="\t", usecols=[0, 1, 3], dtype={0: str, 1: str}, keep_default_na=False, quoting=3
        )
        self.training.columns = ["user_id", "item_id", "timestamp"]
        self.training = self.training.astype({"user_id": str, "item_id": str, "timestamp": float})


def write(path, cases, known, score):
    """Writes the scores of all items. `known` are the items that `score`, given the histories of some users, has a column for."""
    column = {item: place for place, item in enumerate(known)}
    order = numpy.array([column.get(item, -1) for item in cases.items])
    items = pyarrow.array(cases.items)
    unfinished = path.with_suffix(".unfinished")
    writer = None
    for start in range(0, len(cases.users), BATCH):
        users = cases.users[start : start + BATCH]
        histories = [[item for item in history if item in column] for history in cases.histories[start : start + BATCH]]
        scores = numpy.asarray(score(users, histories), dtype=numpy.float64)
        finite = numpy.where(numpy.isfinite(scores), scores, numpy.inf)
        lowest = numpy.min(finite, axis=1, initial=0.0, where=numpy.isfinite(scores)) - 1.0
        scores = numpy.where(numpy.isfinite(scores), scores, lowest[:, None])
        full = numpy.where(order >= 0, scores[:, order], lowest[:, None])
        table = pyarrow.table(
            {
                "user": pyarrow.array(numpy.repeat(users, len(cases.items))),
                "item": pyarrow.chunked_array([items] * len(users)),
                "score": pyarrow.array(full.reshape(-1)),
            }
        )
        writer = writer or pyarrow.parquet.ParquetWriter(unfinished, table.schema, compression="zstd")
        writer.write_table(table)
    writer.close()
    os.replace(unfinished, path)


class TimeOver(Exception):
    """The minutes are over."""


class Clock:
    """Minutes of processor time a thread, so that what else the machine does takes nothing from a program."""

    def __init__(self, name, limit):
        import torch

        self.name, self.limit = name, limit
        self.threads = torch.get_num_threads()
        self.start = time.process_time()
        self.epochs = 0

    def look(self, epoch, said=""):
        """After an epoch: says how far training is, and whether the time is over."""
        self.epochs = epoch + 1
        minutes = (time.process_time() - self.start) / 60 / self.threads
        print(f"{self.name}: epoch {epoch + 1} after {minutes:.1f} minutes{said}", flush=True)
        return minutes > self.limit


def recbole(cases, work, model, **settings):
    """RecBole's configuration and data set."""
    from recbole.config import Config
    from recbole.data import create_dataset

    data = work / "recbole"
    data.mkdir(parents=True, exist_ok=True)
    link = data / cases.name
    if not link.exists():
        link.symlink_to(cases.recbole.resolve(), target_is_directory=True)
    arguments, sys.argv = sys.argv, sys.argv[:1]
    config = Config(
        model=model,
        dataset=cases.name,
        config_dict={
            "data_path": str(data),
            "checkpoint_dir": str(work / "checkpoints"),
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "use_gpu": False,
            "gpu_id": "",
            "show_progress": False,
            "log_wandb": False,
            **settings,
        },
    )
    sys.argv = arguments
    return config, create_dataset(config)


def recbole_sasrec(cases, path, seed, minutes):
    """SASRec as RecBole has it, with its own settings; gives the epochs that were run."""
    import torch
    from recbole.data import data_preparation
    from recbole.data.interaction import Interaction
    from recbole.utils import get_model, get_trainer, init_seed

    config, dataset = recbole(
        cases,
        path.parent / path.stem,
        "SASRec",
        seed=seed,
        reproducibility=True,
        epochs=RECBOLE_EPOCHS,
        stopping_step=10,
        loss_type="CE",
        train_neg_sample_args=None,
        MAX_ITEM_LIST_LENGTH=LENGTH,
        eval_args={"split": {"LS": "valid_only"}, "order": "TO", "group_by": "user", "mode": "full"},
        metrics=["NDCG"],
        topk=[10],
        valid_metric="NDCG@10",
    )
    init_seed(seed, True)
    train, valid, *_ = data_preparation(config, dataset)
    init_seed(seed, True)
    model = get_model("SASRec")(config, train.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], "SASRec")(config, model)
    clock = Clock(path.stem, minutes)

    def look(epoch, score):
        if clock.look(epoch, f", NDCG@10 {score:.4f} on the items held out"):
            raise TimeOver

    try:
        trainer.fit(train, valid, verbose=False, saved=True, show_progress=False, callback_fn=look)
    except TimeOver:
        print(f"{path.stem}: stopped after {minutes} minutes", flush=True)
        path.with_suffix(".stopped").write_text(f"{minutes}\n")
    # It holds more than tensors.
    best = torch.load(trainer.saved_model_file, map_location="cpu", weights_only=False)
    model.load_state_dict(best["state_dict"])
    model.eval()
    known = [str(item) for item in dataset.field2id_token["item_id"]]

    def score(_, histories):
        rows = torch.zeros(len(histories), LENGTH, dtype=torch.long)
        lengths = torch.ones(len(histories), dtype=torch.long)
        for place, history in enumerate(histories):
            last = history[-LENGTH:]
            if last:
                rows[place, : len(last)] = torch.tensor(dataset.token2id("item_id", last))
                lengths[place] = len(last)
        with torch.no_grad():
            asked = Interaction({model.ITEM_SEQ: rows, model.ITEM_SEQ_LEN: lengths})
            return model.full_sort_predict(asked).numpy()

    write(path, cases, known, score)
    return clock.epochs


def recbole_itemknn(cases, path, _, __):
    """ItemKNN as RecBole has it, with its own settings, asked with whole histories."""
    import scipy.sparse
    from recbole.utils import get_model

    config, dataset = recbole(cases, path.parent / path.stem, "ItemKNN")
    model = get_model("ItemKNN")(config, dataset)
    known = [str(item) for item in dataset.field2id_token["item_id"]]
    column = {item: place for place, item in enumerate(known)}
    similar = scipy.sparse.csr_matrix(model.w)

    def score(_, histories):
        had = scipy.sparse.lil_matrix((len(histories), len(known)))
        for place, history in enumerate(histories):
            had[place, [column[item] for item in set(history)]] = 1
        return (had.tocsr() @ similar).toarray()

    write(path, cases, known, score)


def rectools_sasrec(cases, path, seed, minutes):
    """SASRec as RecTools has it, with its own settings; gives the epochs that were run."""
    import torch
    from pytorch_lightning import Callback, Trainer, seed_everything
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    clock = Clock(path.stem, minutes)

    class Look(Callback):
        def on_train_epoch_end(self, trainer, _):
            if clock.look(trainer.current_epoch):
                trainer.should_stop = True
                path.with_suffix(".stopped").write_text(f"{minutes}\n")

    def trainer():
        return Trainer(
            max_epochs=RECTOOLS_EPOCHS,
            min_epochs=1,
            callbacks=[Look()],
            deterministic=True,
            accelerator="cpu",
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            logger=False,
        )

    def dataset(users, items, times):
        frame = pandas.DataFrame({"user_id": users, "item_id": items, "weight": 1.0, "datetime": times})
        return Dataset.construct(frame)

    seed_everything(seed, workers=True)
    random.seed(seed)
    # Of events of one time the order of the file is kept.
    training = cases.training.sort_values("timestamp", kind="stable")
    times = pandas.to_datetime(numpy.arange(len(training)), unit="s")
    model = SASRecModel(session_max_len=LENGTH, get_trainer_func=trainer, deterministic=True, recommend_torch_device="cpu")
    torch.set_float32_matmul_precision("highest")
    model.fit(dataset(training["user_id"].to_numpy(), training["item_id"].to_numpy(), times))
    known = sorted(set(training["item_id"]))
    column = {item: place for place, item in enumerate(known)}

    def score(users, histories):
        scores = numpy.full((len(users), len(known)), -numpy.inf)
        asked = [(user, history) for user, history in zip(users, histories) if history]
        events = [(user, item) for user, history in asked for item in history]
        if not events:
            return scores
        times = pandas.to_datetime(numpy.arange(len(events)), unit="s")
        given = dataset([user for user, _ in events], [item for _, item in events], times)
        found = model.recommend([user for user, _ in asked], given, k=len(known), filter_viewed=False)
        place = {user: number for number, user in enumerate(users)}
        scores[found["user_id"].map(place), found["item_id"].map(column)] = found["score"]
        return scores

    write(path, cases, known, score)
    return clock.epochs


# By identifier: the name that people read, whether nothing is drawn, what trains it, and the packages whose versions matter.
ROWS = {
    "recbole-sasrec": ("SASRec (RecBole 1.2.1)", False, recbole_sasrec, ["recbole", "torch", "numpy"]),
    "recbole-itemknn": ("ItemKNN (RecBole 1.2.1)", True, recbole_itemknn, ["recbole", "scipy", "numpy"]),
    "rectools-sasrec": ("SASRec (RecTools 0.19)", False, rectools_sasrec, ["rectools", "pytorch-lightning", "torch", "numpy"]),
}


def about(path):
    """Where it is kept what made a file of scores."""
    return path.with_suffix(".json")


def make(cases, path, row, replicate, threads, minutes):
    """Makes a file of scores, and keeps beside it what made it."""
    _, deterministic, train, packages = ROWS[row]
    seed = 2024 + replicate
    # What an earlier file was made by is said of no other.
    about(path).unlink(missing_ok=True)
    start, wall = time.process_time(), time.monotonic()
    epochs = train(cases, path, seed, minutes)
    known = {
        "row": row,
        "packages": {package: importlib.metadata.version(package) for package in packages},
        "seed": None if deterministic else seed,
        "epochs": epochs,
        "processor_minutes": round((time.process_time() - start) / 60, 1),
        "threads": threads,
    }
    about(path).write_text(json.dumps(known, indent=2) + "\n")
    print(f"{row}, replicate {replicate}: {time.monotonic() - wall:.0f} s", flush=True)


def made_by(path):
    """What made a file of scores, in a line; nothing where that is not known, as of files that were made before it was kept."""
    if not about(path).exists():
        return None
    known = json.loads(about(path).read_text())
    parts = [known["row"], *(f"{package} {version}" for package, version in known["packages"].items())]
    if known["seed"] is not None:
        parts.append(f"seed {known['seed']}")
    if known["epochs"] is not None:
        parts.append(f"{known['epochs']} epochs")
    threads = "1 thread" if known["threads"] == 1 else f"{known['threads']} threads"
    parts.append(f"{known['processor_minutes']} min of processor time on {threads}")
    return ", ".join(parts)


def main():
    arguments, command = sys.argv[1:], []
    if "--" in arguments:
        place = arguments.index("--")
        arguments, command = arguments[:place], arguments[place + 1 :]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--replicates", type=int, default=3)
    parser.add_argument("--minutes", type=int, default=60, help="of processor time a thread, after which a training stops")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rows", default=",".join(ROWS))
    asked = parser.parse_args(arguments)
    unknown = [row for row in asked.rows.split(",") if row not in ROWS]
    if unknown:
        parser.error(f"no row {unknown[0]}; there are {', '.join(ROWS)}")
    sys.argv = sys.argv[:1]
    import torch

    cases = Cases(asked.cases.resolve())
    # Files are of these cases and no others.
    out = asked.out.resolve() / cases.manifest["cases"]
    out.mkdir(parents=True, exist_ok=True)
    # The programs leave logs where they run.
    here = Path.cwd()
    os.chdir(out)
    for row in asked.rows.split(","):
        label, deterministic, _, _ = ROWS[row]
        for replicate in range(1 if deterministic else asked.replicates):
            path = out / f"{row}-{replicate}.parquet"
            if not path.exists():
                torch.set_num_threads(asked.threads)
                make(cases, path, row, replicate, asked.threads, asked.minutes)
        # A row of which a training was stopped says so wherever it stands.
        stopped = [(out / f"{row}-{replicate}.stopped") for replicate in range(asked.replicates)]
        after = {path.read_text().strip() for path in stopped if path.exists()}
        if after:
            label = f"{label}, stopped after {' or '.join(sorted(after))} min"
        for replicate in range(1 if deterministic else asked.replicates):
            path = out / f"{row}-{replicate}.parquet"
            if command:
                drawn = ["--deterministic"] if deterministic else ["--replicate", str(replicate)]
                told = ["--row", row, "--label", label, "--scope", "catalogue", "--history", "kept"]
                text = made_by(path)
                said = ["--made-by", text] if text else []
                subprocess.run([*command, str(path), *told, *drawn, *said], check=True, cwd=here)


if __name__ == "__main__":
    main()
