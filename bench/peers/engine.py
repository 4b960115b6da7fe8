"""LoRA training and candidate ranking: weaverec against PyTorch and PEFT, on the same work, in turns.

    python engine.py PEER_BINARY MODEL PREPARED FOLDER REPORT [DEVICE [ARITHMETIC]]

PEER_BINARY is `bench/benches/peer.rs`, built. It exports the work to FOLDER, with prompts of the prepared folder PREPARED; then each
task runs in a process of its own, first ours, then theirs, and REPORT (Markdown, with the raw readings as JSON beside it) gets
seconds, peak memory and how far the losses and scores agree. DEVICE is `cpu`, `cuda` or `cuda:1`, ARITHMETIC f32 or bf16; on a GPU the
memory is the GPU's, as nvidia-smi sees it, less what was taken before. With ONLY (`LoRA step`, `LoRA step, 2`, `ranking`, `adapted`,
`packed`, `kept`; several with `|` between) in the environment, what begins with it is measured and the rest of REPORT stays. With TURNS
each side is measured as often (5). Every reading is kept as soon as it is there; REPORT shows what there is. `make bench-engine` does all
of it.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import sysconfig
import threading
import time
from dataclasses import dataclass
from pathlib import Path


# The machine's speed changes within minutes, so the two sides take turns.
TURNS = int(os.environ.get("TURNS", 5))


@dataclass
class Compute:
    """What both sides compute with."""

    device: str = "cpu"
    arithmetic: str = "f32"

    def arguments(self):
        return [self.device, self.arithmetic]

    def on_gpu(self):
        return self.device.startswith("cuda")

    def finish(self):
        """Waits for what was only asked for."""
        import torch

        if self.on_gpu():
            torch.cuda.synchronize(self.device)

    def nvidia_smi(self, field):
        number = self.device.partition(":")[2] or "0"
        command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits", "-i", number]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class GpuMemory:
    """The most that a GPU had in use during a `with` beyond what it had before, looked at ten times a second."""

    def __init__(self, compute):
        self.compute, self.peak, self.done = compute, 0, threading.Event()

    def used(self):
        return int(self.compute.nvidia_smi("memory.used")) * 2**20

    def watch(self):
        while not self.done.wait(0.1):
            self.peak = max(self.peak, self.used() - self.before)

    def __enter__(self):
        self.before = self.used()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def load(folder, adapter, compute):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[compute.arithmetic]
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=dtype)
    if adapter:
        # The factors stay in f32, as PEFT has it and as they are here.
        model = PeftModel.from_pretrained(model, folder / "adapter", is_trainable=True)
    return model.to(compute.device)


def train(folder, work, number, compute, steps=None):
    import torch

    model = load(folder, adapter=True, compute=compute)
    model.train()
    batch = work["batches"][number]["examples"]
    length = max(len(e["tokens"]) for e in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    labels = torch.full((len(batch), length), -100)
    mask = torch.zeros(len(batch), length, dtype=torch.long)
    for i, e in enumerate(batch):
        n = len(e["tokens"])
        ids[i, :n] = torch.tensor(e["tokens"])
        mask[i, :n] = 1
        labels[i, e["loss_from"] : n] = ids[i, e["loss_from"] : n]
    ids, labels, mask = (t.to(compute.device) for t in (ids, labels, mask))
    # Logits only where there is loss, as a careful user of transformers does it: the backbone, then the head on those rows.
    rows = labels[:, 1:] != -100
    targets = labels[:, 1:][rows]
    base = model.get_base_model()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=work["learning_rate"], weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps or work["steps"])
    losses, seconds = [], []
    for _ in range(steps or work["steps"]):
        start = time.perf_counter()
        hidden = base.model(input_ids=ids[:, :-1], attention_mask=mask[:, :-1]).last_hidden_state
        loss = torch.nn.functional.cross_entropy(base.lm_head(hidden[rows]).float(), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        compute.finish()
        seconds.append(time.perf_counter() - start)
    return {"losses": losses, "seconds": seconds, **({} if steps else {"ceiling": ceiling(base.config, compute)})}


def few(folder, work, number, compute):
    return train(folder, work, number, compute, steps=work["few_steps"])


def ceiling(config, compute):
    """As `ceiling` of bench/benches/peer.rs, with PyTorch's products."""
    import torch

    hidden, inner, rows, best = config.hidden_size, config.intermediate_size, 1024, 0
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[compute.arithmetic]
    with torch.inference_mode():
        for out, width in [(hidden, hidden), (inner, hidden), (hidden, inner)]:
            x, weight = (torch.rand(size, width, device=compute.device, dtype=dtype) for size in (rows, out))
            products = 50 if compute.on_gpu() else 1
            for _ in range(20):
                start = time.perf_counter()
                for _ in range(products):
                    torch.nn.functional.linear(x, weight)
                compute.finish()
                best = max(best, 2 * products * rows * out * width / (time.perf_counter() - start))
    return best


def rank(folder, work, number, compute):
    """Every candidate's log-likelihood after its prompt; the prompt's cache is shared by the candidates of a user."""
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from transformers import DynamicCache

    model = load(folder, adapter=False, compute=compute)
    model.eval()
    scores, seconds = [], []
    with torch.inference_mode():
        for query in work["rankings"][number]["queries"]:
            start = time.perf_counter()
            prompt = torch.tensor([query["prompt"]], device=compute.device)
            # Padding stands behind the tokens, where none of them looks.
            candidates = pad_sequence([torch.tensor(c) for c in query["candidates"]], batch_first=True, padding_value=-1)
            candidates = candidates.to(compute.device)
            prefix = model.model(input_ids=prompt, use_cache=True, past_key_values=DynamicCache())
            cache = prefix.past_key_values
            cache.batch_repeat_interleave(len(candidates))
            hidden = model.model(input_ids=candidates[:, :-1].clamp(min=0), past_key_values=cache).last_hidden_state
            first = torch.log_softmax(model.lm_head(prefix.last_hidden_state[0, -1]).float(), -1)[candidates[:, 0]]
            # Logits only where there is a token.
            real = candidates[:, 1:] >= 0
            later = torch.log_softmax(model.lm_head(hidden[real]).float(), -1)
            sums = torch.zeros(real.shape, device=compute.device)
            sums[real] = later.gather(1, candidates[:, 1:][real][:, None]).squeeze(1)
            scores.append((first + sums.sum(1)).tolist())
            seconds.append(time.perf_counter() - start)
    return {"scores": scores, "seconds": seconds}


def environment(compute):
    """For both sides; on a GPU our program finds in PyTorch's packages what the machine has not got of CUDA."""
    result = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    libraries = Path(sysconfig.get_path("purelib")) / "nvidia/cu13/lib"
    if compute.on_gpu() and libraries.is_dir():
        result["LD_LIBRARY_PATH"] = ":".join(filter(None, [os.environ.get("LD_LIBRARY_PATH"), str(libraries)]))
    return result


def run(command, compute):
    command = [*command, *compute.arguments()]

    def answer():
        result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment(compute))
        return json.loads(result.stdout.strip().splitlines()[-1])

    if not compute.on_gpu():
        return answer()
    with GpuMemory(compute) as memory:
        result = answer()
    return {**result, "peak_main_memory": result["peak_memory"], "peak_memory": memory.peak}


def typical(seconds):
    """The median of readings of the same work, without the first, which pays for warming up."""
    return statistics.median(seconds[1:])


def mean(seconds):
    """Of readings of different work, likewise."""
    return statistics.mean(seconds[1:])


def largest_difference(ours, theirs):
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def hardware(compute):
    if compute.on_gpu():
        return f"{compute.nvidia_smi('name')}, driver {compute.nvidia_smi('driver_version')}"
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def options(compute):
    if compute == Compute():
        return ""
    return f" with DEVICE={compute.device} ARITHMETIC={compute.arithmetic}; memory is the GPU's"


def report(binary, model, prepared, folder, path, compute):
    import peft
    import torch
    import transformers

    binary = [binary, model, prepared, str(folder)]
    subprocess.run([*binary, "export"], check=True, env=environment(compute))
    work = json.loads((folder / "work.json").read_text())
    me = [sys.executable, __file__, "--task", str(folder)]

    def both(task):
        return run([*binary, task], compute), run([*me, task], compute)

    flat = lambda r: [s for user in r["scores"] for s in user]
    only, kept_at = os.environ.get("ONLY", ""), path.with_suffix(".json")
    before = json.loads(kept_at.read_text()) if only and kept_at.exists() else {}

    def reading(title, name, measure):
        """What was measured, now or before; None where it is neither there nor asked for. Written at once: what comes next may be cut off."""
        if any(title.startswith(beginning) for beginning in only.split("|")):
            before[name] = measure()
            kept_at.write_text(json.dumps(before, indent=1) + "\n")
        return before.get(name)

    readings, rows, by_turn = {}, [], {}

    def in_turns(title, name, a_reading, peer, tasks, difference):
        """A row of the table: memory and values of the first turn, the times of the one in the middle."""
        found = reading(f"{title}{name}", name, lambda: [dict(zip(("weaverec", peer), both(task))) for task in tasks])
        if not found:
            return
        readings[name] = found
        turns = [tuple(turn.values()) for turn in found]
        times = [(a_reading(ours["seconds"]), a_reading(theirs["seconds"])) for ours, theirs in turns]
        ratios = by_turn[name] = [ours / theirs for ours, theirs in times]
        middle = times[ratios.index(sorted(ratios)[len(ratios) // 2])]
        rows.append((f"{title}{name}", *turns[0], *middle, difference(*turns[0])))

    losses = lambda ours, theirs: largest_difference(ours["losses"], theirs["losses"])
    scores = lambda ours, theirs: largest_difference(flat(ours), flat(theirs))
    for n, batch in enumerate(work["batches"]):
        tasks = [f"train:{n}", *[f"few:{n}"] * (TURNS - 1)]
        in_turns("LoRA step, ", batch["name"], typical, "peft", tasks, losses)
    for n, ranking in enumerate(work["rankings"]):
        a_user = typical if n == 0 else mean
        in_turns("ranking a user: ", ranking["name"], a_user, "pytorch", [f"rank:{n}"] * TURNS, scores)
    alone = lambda task, options: {option: run([*binary, f"{task}:{option}"], compute) for option in options}
    adapted = reading("adapted", "adapted", lambda: run([*binary, "adapted"], compute))
    packed = reading("packed", "packed", lambda: alone("packed", ("f32", "bf16", "q8", "q4")))
    # On a GPU there is no budget: all is kept.
    kept = reading("kept", "kept", lambda: alone("kept", () if compute.on_gpu() else ("0", "256", "512")))
    readings |= {name: r for name, r in (("adapted", adapted), ("packed", packed), ("kept", kept)) if r is not None}
    users = lambda n: len(work["rankings"][n]["queries"]) - 1
    lines = [
        "# The engine beside PyTorch and PEFT",
        "",
        f"SmolLM2-135M, {compute.arithmetic}, LoRA rank 16 on all linear layers; {hardware(compute)}. PyTorch {torch.__version__}, "
        f"PEFT {peft.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads. Each task in a "
        f"process of its own, one side after the other in turns, of which the one with the middle ratio is shown; median of "
        f"{work['few_steps'] - 1} steps, {work['steps'] - 1} in the first turn ({users(0)} users; mean of {users(1)} users with real prompts), "
        f"the first left out. Memory and differences are of the first turn. Made by `make bench-engine`{options(compute)}.",
        "",
        "| work | weaverec | PyTorch + PEFT | time, ratio | memory | memory of PyTorch | memory, ratio | largest difference |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, ours_all, theirs_all, a, b, agreement in rows:
        m, n = ours_all["peak_memory"], theirs_all["peak_memory"]
        lines.append(
            f"| {name} | {a:.3g} s | {b:.3g} s | {a / b:.2f} | {m / 1e9:.2f} GB | {n / 1e9:.2f} GB | {m / n:.2f} | {agreement:.1e} |"
        )
    lines += [
        "",
        "The difference is of the training loss over all steps, or of the log-likelihood over all candidates, in nats.",
        "",
        "The ratio turn by turn: "
        + "; ".join(f"{name}: {', '.join(f'{r:.2f}' for r in ratios)}" for name, ratios in by_turn.items())
        + ".",
        "",
        "Users with real prompts are ranked together here: what all prompts begin with is read once, and what titles of a user begin with "
        "is read once for that user. PyTorch reads a user's prompt once, then the titles, padded to the longest; logits are taken where "
        "there is a token.",
    ]
    trained = [batch["name"] for batch in work["batches"] if batch["name"] in readings]
    if trained:
        lines += [
            "",
            "## Against the machine's limit",
            "",
            "The arithmetic that a step needs (`training_flops`: the low-rank factors and everything element by element left out) over the "
            "time it takes, beside the fastest that a matrix product of a block's sizes ran on each side.",
            "",
            "| work | program | tokens/s | GFLOP/s | fastest product, GFLOP/s | share |",
            "|---|---|---:|---:|---:|---:|",
        ]
    for name in trained:
        first = readings[name][0]
        needed = first["weaverec"]
        for program, r in first.items():
            seconds_a_step = typical(r["seconds"])
            reached, limit = needed["flops"] / seconds_a_step / 1e9, r["ceiling"] / 1e9
            lines.append(
                f"| {name} | {program} | {needed['tokens'] / seconds_a_step:.0f} | {reached:.0f} | {limit:.0f} | {reached / limit:.2f} |"
            )
    if adapted:
        lines += [
            "",
            "## Inference after merging",
            "",
            "A merged adapter is folded into the weights, so it should cost what the plain model costs; beside the weights it does not.",
            "",
            "| model | seconds a user | relative to plain |",
            "|---|---:|---:|",
        ]
        seconds = {name: typical(r["seconds"]) for name, r in adapted.items() if isinstance(r, dict)}
        lines += [f"| {name} | {s:.3g} | {s / seconds['plain']:.2f} |" for name, s in seconds.items()]
    if packed:
        lines += [
            "",
            "## A frozen base in fewer bits",
            "",
            f"The first workload, with the base's projections packed (`--precision`) and unpacked block by block; median of "
            f"{len(packed['f32']['seconds']) - 1} steps.",
            "",
            "| projections | weights in memory | seconds a step | peak memory | loss of the first step |",
            "|---|---:|---:|---:|---:|",
        ]
    for precision, r in (packed or {}).items():
        lines.append(
            f"| {precision} | {r['base'] / 1e6:.0f} MB | {typical(r['seconds']):.3g} | {r['peak_memory'] / 1e9:.2f} GB | {r['losses'][0]:.4f} |"
        )
    if kept:
        lines += [
            "",
            "## Memory for activations",
            "",
            f"The first workload, with more or less kept of what the backward could compute again (`--activation-memory`); median of "
            f"{len(kept['0']['seconds']) - 1} steps.",
            "",
            "| MiB at most | seconds a step | peak memory | loss of the last step |",
            "|---:|---:|---:|---:|",
        ]
    for mib, r in (kept or {}).items():
        lines.append(f"| {mib} | {typical(r['seconds']):.3g} | {r['peak_memory'] / 1e9:.2f} GB | {r['losses'][-1]:.6f} |")
    path.write_text("\n".join(lines) + "\n")
    kept_at.write_text(json.dumps(readings, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--task"]:
        folder, (task, number) = Path(sys.argv[2]), sys.argv[3].split(":")
        work = json.loads((folder / "work.json").read_text())
        result = {"train": train, "few": few, "rank": rank}[task](folder, work, int(number), Compute(*sys.argv[4:]))
        print(json.dumps({**result, "peak_memory": peak_memory()}))
    elif 6 <= len(sys.argv) <= 8:
        binary, model, prepared, folder, path = sys.argv[1:6]
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        report(binary, model, prepared, Path(folder), Path(path), Compute(*sys.argv[6:]))
    else:
        sys.exit(__doc__)
