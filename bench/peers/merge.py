"""Merging LoRA adapters: weaverec against PEFT and mergekit, on made-up adapters and weights of real shapes.

    python merge.py WEAVEREC FOLDER REPORT [--tiny]

WEAVEREC is the program. What is made up lies in FOLDER (at most some 20 GB, removed again), and REPORT (Markdown, with the readings as
JSON beside it) gets

- svd to rank 16 of three adapters of rank 16 in the shapes of Qwen2-7B: one layer by PEFT and by weaverec, and how near each comes to the
  true sum; all 28 layers by weaverec, with its peak memory;
- the same sum added into a base of 2 and 6 GB: weaverec, mergekit where this Python has it (MERGEKIT_PYTHON names another), and `dd` of
  as many bytes, with peak memory.

Each command is a process of its own. With ONLY=svd or ONLY=base in the environment the other part of REPORT stays as it is. With --tiny all shapes are small, to see that it works. `make bench-merge` does all of it.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

RANK = 16
ALPHA = 32
MEMBERS = 3
# Of such work by weaverec and dd, which takes seconds, the middle one is shown.
TURNS = int(os.environ.get("TURNS", 3))
# A process that is started from a large one counts the large one's memory as its own until it begins. This small one stands between.
MEASURE = """
import json, os, sys, time
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, usage = os.wait4(child, 0)
print(json.dumps({"seconds": time.perf_counter() - start, "peak": usage.ru_maxrss * 1024, "processor": usage.ru_utime + usage.ru_stime, "code": os.waitstatus_to_exitcode(status)}))
"""


@dataclass
class Shapes:
    """Sizes of a decoder."""

    hidden: int
    wide: int
    narrow: int  # keys and values
    heads: int
    key_value_heads: int
    vocabulary: int

    def modules(self):
        """(out, in) of the linear layers of a block."""
        h, w, n = self.hidden, self.wide, self.narrow
        return {
            "self_attn.q_proj": (h, h),
            "self_attn.k_proj": (n, h),
            "self_attn.v_proj": (n, h),
            "self_attn.o_proj": (h, h),
            "mlp.gate_proj": (w, h),
            "mlp.up_proj": (w, h),
            "mlp.down_proj": (h, w),
        }

    def tensors(self, layers):
        """Shapes of all weights of a model whose head is its embedding."""
        yield "model.embed_tokens.weight", (self.vocabulary, self.hidden)
        for layer in range(layers):
            for name, shape in self.modules().items():
                yield f"model.layers.{layer}.{name}.weight", shape
            for name in ("input_layernorm", "post_attention_layernorm"):
                yield f"model.layers.{layer}.{name}.weight", (self.hidden,)
        yield "model.norm.weight", (self.hidden,)

    def config(self, layers):
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.wide,
            "num_hidden_layers": layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_value_heads,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
        }


QWEN2_7B = Shapes(hidden=3584, wide=18944, narrow=512, heads=28, key_value_heads=4, vocabulary=152064)
LLAMA = Shapes(hidden=4096, wide=11008, narrow=4096, heads=32, key_value_heads=32, vocabulary=32000)
SMALL = Shapes(hidden=64, wide=160, narrow=32, heads=4, key_value_heads=2, vocabulary=128)


def measured(command, **options):
    """Seconds and peak memory of a command that must go well."""
    asked = subprocess.run(
        [sys.executable, "-S", "-c", MEASURE, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    answer = asked.stdout.strip().splitlines()
    found = json.loads(answer[-1]) if answer else {"code": asked.returncode}
    if found["code"] != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{asked.stderr}{asked.stdout}")
    return found


def in_turns(command, prepare=lambda: None):
    """The measurement with the middle number of seconds of some, and the seconds of all."""
    turns = []
    for _ in range(TURNS):
        prepare()
        turns.append(measured(command))
    turns.sort(key=lambda turn: turn["seconds"])
    return {**turns[len(turns) // 2], "all": [turn["seconds"] for turn in turns]}


def write_adapters(folder, shapes, layers):
    """Three adapters in PEFT's form, with factors as large as trained ones are."""
    import torch
    from safetensors.torch import save_file

    paths = []
    for member in range(MEMBERS):
        random = torch.Generator().manual_seed(member)
        tensors = {}
        for layer in range(layers):
            for name, (out, inputs) in shapes.modules().items():
                key = f"base_model.model.model.layers.{layer}.{name}"
                tensors[f"{key}.lora_A.weight"] = torch.randn(RANK, inputs, generator=random) / inputs**0.5
                tensors[f"{key}.lora_B.weight"] = torch.randn(out, RANK, generator=random) * 0.02
        path = folder / f"member-{member}"
        path.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path / "adapter_model.safetensors", metadata={"format": "pt"})
        config = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": "",
            "r": RANK,
            "lora_alpha": ALPHA,
            "target_modules": sorted({name.split(".")[-1] for name in shapes.modules()}),
        }
        (path / "adapter_config.json").write_text(json.dumps(config))
        paths.append(path)
    return paths


WEIGHTS = [0.5, 0.3, 0.2]


def weaverec_merge(program, members, out, *options):
    return [program, "merge", *members, "--weights", ",".join(map(str, WEIGHTS)), "--out", out, *options]


def peft_svd(members, shapes):
    """One layer by PEFT, in this process: seconds of `add_weighted_adapter` alone, and the factors it makes."""
    import torch
    from peft import PeftModel
    from torch import nn

    def linear(out, inputs):
        # The base's numbers count for nothing here.
        layer = nn.Linear(1, 1, bias=False)
        layer.weight = nn.Parameter(torch.zeros(1, dtype=torch.float32).expand(out, inputs), requires_grad=False)
        layer.in_features, layer.out_features = inputs, out
        return layer

    class Base(nn.Module):
        def __init__(self):
            super().__init__()
            self.model, block = nn.Module(), nn.Module()
            for name, shape in shapes.modules().items():
                part, last = name.split(".")
                if not hasattr(block, part):
                    setattr(block, part, nn.Module())
                setattr(getattr(block, part), last, linear(*shape))
            self.model.layers = nn.ModuleList([block])

        def forward(self, x):
            return x

        def prepare_inputs_for_generation(self, *args, **kwargs):
            raise NotImplementedError

    model = PeftModel.from_pretrained(Base(), members[0], adapter_name="0")
    for number, member in enumerate(members[1:], 1):
        model.load_adapter(member, adapter_name=str(number))
    names = [str(number) for number in range(len(members))]
    start = time.perf_counter()
    # The thin decomposition is the faster one; PEFT's default makes square matrices of singular vectors.
    model.add_weighted_adapter(names, WEIGHTS, "merged", combination_type="svd", svd_rank=RANK, svd_full_matrices=False)
    seconds = time.perf_counter() - start
    layer = model.base_model.model.model.layers[0]
    factors = {}
    for name in shapes.modules():
        module = layer.get_submodule(name)
        factors[name] = (module.lora_B["merged"].weight.data * module.scaling["merged"], module.lora_A["merged"].weight.data)
    return seconds, factors


def ours(folder, shapes):
    """The factors of a merged adapter's first layer."""
    from safetensors.torch import load_file

    tensors = load_file(folder / "adapter_model.safetensors")
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["lora_alpha"] == config["r"], "every scale is 1"
    key = "base_model.model.model.layers.0"
    return {
        name: (tensors[f"{key}.{name}.lora_B.weight"], tensors[f"{key}.{name}.lora_A.weight"]) for name in shapes.modules()
    }


def true_sum(members, shapes):
    """The weighted sum of the first layer as factors in f64: B's side by side, A's times weight and scale below each other."""
    import torch
    from safetensors.torch import load_file

    files = [load_file(member / "adapter_model.safetensors") for member in members]
    sums = {}
    for name in shapes.modules():
        key = f"base_model.model.model.layers.0.{name}"
        b = torch.cat([file[f"{key}.lora_B.weight"].double() for file in files], 1)
        scaled = [file[f"{key}.lora_A.weight"].double() * weight * ALPHA / RANK for file, weight in zip(files, WEIGHTS)]
        sums[name] = (b, torch.cat(scaled, 0))
    return sums


def norm(b, a):
    """Frobenius norm of B A, without making it."""
    import torch

    _, left = torch.linalg.qr(b)
    _, right = torch.linalg.qr(a.T)
    return torch.linalg.matrix_norm(left @ right.T).item()


def errors(factors, sums):
    """Frobenius norm, over all modules, of what is missing from the true sum, as a share of it."""
    import torch

    missing, whole = 0.0, 0.0
    for name, (b, a) in sums.items():
        our_b, our_a = (factor.double() for factor in factors[name])
        missing += norm(torch.cat([b, -our_b], 1), torch.cat([a, our_a], 0)) ** 2
        whole += norm(b, a) ** 2
    return (missing / whole) ** 0.5


def least_error(sums):
    """The same of the best there is of that rank: the singular values that go."""
    import torch

    missing, whole = 0.0, 0.0
    for b, a in sums.values():
        _, left = torch.linalg.qr(b)
        _, right = torch.linalg.qr(a.T)
        values = torch.linalg.svdvals(left @ right.T)
        missing += (values[RANK:] ** 2).sum().item()
        whole += (values**2).sum().item()
    return (missing / whole) ** 0.5


def write_base(folder, shapes, layers):
    """Made-up weights in bf16, in shards of 2 GB; returns their bytes."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(shapes.config(layers)))
    random = torch.Generator().manual_seed(99)
    shard, taken, number, total, index = {}, 0, 0, 0, {}

    def write():
        nonlocal shard, taken, number
        number += 1
        name = f"part-{number}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        index.update(dict.fromkeys(shard, name))
        shard, taken = {}, 0

    made = {}
    for name, shape in shapes.tensors(layers):
        # Random numbers are slow: layers have the same.
        if shape not in made:
            made[shape] = (torch.randn(shape, generator=random) * 0.02).bfloat16()
        # Each needs memory of its own to be stored.
        shard[name] = made[shape].clone()
        taken += 2 * shard[name].numel()
        total += 2 * shard[name].numel()
        if taken > 2e9:
            write()
    if shard:
        write()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": index}))
    return total


def agreement(base, out, members):
    """The share of a module's numbers that are the base's plus the true sum, in f32, rounded once to bf16."""
    from safetensors import safe_open

    name = "model.layers.0.self_attn.q_proj.weight"

    def read(folder):
        index = folder / "model.safetensors.index.json"
        file = json.loads(index.read_text())["weight_map"][name] if index.exists() else "model.safetensors"
        with safe_open(folder / file, "pt") as tensors:
            return tensors.get_tensor(name)

    from safetensors.torch import load_file

    update = 0
    for member, weight in zip(members, WEIGHTS):
        tensors = load_file(member / "adapter_model.safetensors")
        key = "base_model.model.model.layers.0.self_attn.q_proj"
        b, a = tensors[f"{key}.lora_B.weight"].double(), tensors[f"{key}.lora_A.weight"].double()
        update = update + weight * ALPHA / RANK * (b @ a)
    expected = (read(base).double() + update).bfloat16()
    return (read(out).bfloat16() == expected).double().mean().item()


def mergekit_python():
    """A Python that has mergekit, and its version; else none."""
    python = os.environ.get("MERGEKIT_PYTHON", sys.executable)
    ask = "import importlib.metadata, mergekit; print(importlib.metadata.version('mergekit'))"
    found = subprocess.run([python, "-c", ask], capture_output=True, text=True)
    return (python, found.stdout.strip()) if found.returncode == 0 else None


def mergekit(python, folder, base, members, out):
    """The same sum by mergekit, which first folds each adapter into a base of its own."""
    models = [
        {"model": f"{base}+{member}", "parameters": {"weight": weight}} for member, weight in zip(members, WEIGHTS)
    ]
    recipe = {"merge_method": "task_arithmetic", "base_model": str(base), "models": models, "dtype": "bfloat16"}
    # JSON is YAML.
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    command = [python, "-m", "mergekit.scripts.run_yaml", folder / "recipe.yaml", out, "--no-copy-tokenizer", "--quiet"]
    command += ["--lora-merge-cache", folder / "mergekit-cache"]
    return measured(command, env={**os.environ, "HF_HUB_OFFLINE": "1"})


def forget(folder):
    """Drops a folder's files from the system's memory, so that they are read from the disk again; they must be written out."""
    for path in folder.rglob("*.safetensors"):
        file = os.open(path, os.O_RDONLY)
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def remove(*folders):
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def svd_task(program, folder, shapes, layers):
    members = write_adapters(folder / "layer", shapes, 1)
    out = folder / "layer-out"
    command = weaverec_merge(program, members, out, "--rule", "svd", "--rank", str(RANK))
    found = {"weaverec": in_turns(command, lambda: remove(out))}
    sums = true_sum(members, shapes)
    found["weaverec"]["error"] = errors(ours(out, shapes), sums)
    found["least"] = least_error(sums)
    print("PEFT's svd of one layer …", file=sys.stderr)
    peft = measured([sys.executable, __file__, "--peft", folder, "tiny" if shapes == SMALL else "full"])
    found["peft"] = {**json.loads((folder / "peft.json").read_text()), "peak": peft["peak"]}
    (folder / "peft.json").unlink()
    remove(folder / "layer", out)
    members = write_adapters(folder / "all", shapes, layers)
    bytes_of = sum((member / "adapter_model.safetensors").stat().st_size for member in members)
    found["all"] = {**in_turns(weaverec_merge(program, members, folder / "all-out", "--rule", "svd", "--rank", str(RANK)),
                               lambda: remove(folder / "all-out")), "layers": layers, "members": bytes_of}
    remove(folder / "all", folder / "all-out")
    return found


def into_base_task(program, folder, shapes, layers, peer):
    place = folder / f"base-{layers}"
    remove(place)
    base, out = place / "base", place / "out"
    total = write_base(base, shapes, layers)
    members = write_adapters(place / "members", shapes, layers)
    found = {"bytes": total, "layers": layers, "tensor": max(2 * n for n in (shapes.vocabulary * shapes.hidden, shapes.wide * shapes.hidden))}
    found["members"] = sum((member / "adapter_model.safetensors").stat().st_size for member in members)
    command, copy = weaverec_merge(program, members, out, "--into-base", base), place / "copy"
    parts = sorted(base.glob("*.safetensors"))

    def dd():
        seconds = 0
        for part in parts:
            copied = measured(["dd", f"if={part}", f"of={copy}", "bs=4M", "conv=fsync"])
            seconds += copied["seconds"]
            copy.unlink()
        return seconds

    def ours():
        remove(out)
        return measured(command)

    # The disk has other guests, whose load changes from minute to minute: turn about.
    for memory in ("warm", "cold"):
        turns, copies = [], []
        for _ in range(TURNS):
            for run in (lambda: turns.append(ours()), lambda: copies.append(dd())):
                if memory == "cold":
                    forget(base)
                run()
        turns.sort(key=lambda turn: turn["seconds"])
        found[f"weaverec {memory}"] = {**turns[len(turns) // 2], "all": [turn["seconds"] for turn in turns]}
        found[f"dd {memory}"] = {"seconds": statistics.median(copies), "all": copies}
    found["agreement"] = agreement(base, out, members)
    remove(out)
    if peer:
        print(f"mergekit into {total / 1e9:.2g} GB …", file=sys.stderr)
        found["mergekit"] = mergekit(peer[0], place, base, members, out)
        found["mergekit"]["agreement"] = agreement(base, out, members)
    remove(place)
    return found


def hardware():
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def mb(count):
    return f"{count / 1e6:,.0f} MB"


def report(readings, path, tiny):
    import peft
    import torch

    peer = readings.get("mergekit")
    lines = [
        "# Merging beside PEFT and mergekit",
        "",
        f"{'Tiny shapes: this shows that the script works, and nothing else. ' if tiny else ''}{hardware()}. PEFT {peft.__version__}, "
        f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads{f', mergekit {peer}' if peer else ''}. Each command a process of "
        f"its own; of weaverec and dd the middle of {TURNS} runs. Made by `make bench-merge`.",
    ]
    if "svd" in readings:
        lines += svd_lines(readings["svd"], tiny)
    if "bases" in readings:
        lines += base_lines(readings["bases"], peer)
    path.write_text("\n".join(lines) + "\n")


def svd_lines(svd, tiny):
    layer, layers, every = svd["weaverec"], svd["all"]["layers"], svd["all"]
    shapes = SMALL if tiny else QWEN2_7B
    return [
        "",
        "## The best adapter of rank 16 of the sum of three",
        "",
        f"`--rule svd --rank {RANK}` of three adapters of rank {RANK} on all seven linear layers, hidden {shapes.hidden}, intermediate "
        f"{shapes.wide}, keys and values {shapes.narrow}{'' if tiny else ' (Qwen2-7B)'}; made-up factors. weaverec's seconds are those of "
        "the whole command, reading and writing included; PEFT's are of `add_weighted_adapter` alone, with the thin decomposition "
        "(`svd_full_matrices=False`), which is not its default and faster. The error is the Frobenius norm of what is missing from the "
        "true sum, as a share of it.",
        "",
        "| work | program | seconds | peak memory | error |",
        "|---|---|---:|---:|---:|",
        f"| one layer | weaverec | {layer['seconds']:.3g} | {mb(layer['peak'])} | {layer['error']:.7f} |",
        f"| one layer | PEFT | {svd['peft']['seconds']:.3g} | {mb(svd['peft']['peak'])} | {svd['peft']['error']:.7f} |",
        f"| one layer | the least there is | | | {svd['least']:.7f} |",
        f"| {layers} layers | weaverec | {every['seconds']:.3g} | {mb(every['peak'])} | |",
        f"| {layers} layers | PEFT, extrapolated: {layers} times its layer | {layers * svd['peft']['seconds']:.3g} | | |",
        "",
        f"The three adapters of {layers} layers are {mb(every['members'])} of factors, which weaverec holds.",
    ]


def base_lines(bases, peer):
    lines = [
        "",
        "## Into the base",
        "",
        "The weighted sum of three adapters of rank 16 added into made-up weights in bf16, in a decoder of Llama's shapes. `dd` copies "
        "the same bytes (`bs=4M conv=fsync`), which is the least that writing them takes; weaverec's result is on the disk when it ends, "
        "mergekit does not wait for that. mergekit folds each adapter into a copy of the base first. Disk: the base had been dropped from "
        "memory; memory: it had just been read or written, as mergekit has it too. Equal: the share of the numbers of a module that are "
        "the base's plus the true sum, rounded once.",
        "",
        "| base | read from | program | seconds | times dd | processor seconds a GB | peak memory | equal |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for base in bases:
        what = f"{base['bytes'] / 1e9:.2f} GB, {base['layers']} layers"
        for memory, place in (("warm", "memory"), ("cold", "disk")):
            copied = base[f"dd {memory}"]["seconds"]
            rows = [("weaverec", {"agreement": base["agreement"], **base[f"weaverec {memory}"]})]
            rows += [("mergekit", base["mergekit"])] if memory == "warm" and "mergekit" in base else []
            for name, r in rows:
                lines.append(
                    f"| {what} | {place} | {name} | {r['seconds']:.3g} | {r['seconds'] / copied:.2f} | "
                    f"{r['processor'] / base['bytes'] * 1e9:.1f} | {mb(r['peak'])} | {100 * r['agreement']:.2f} % |"
                )
            lines.append(f"| {what} | {place} | dd | {copied:.3g} | 1 | | | |")
    beside = ", ".join(
        f"{mb(base['weaverec warm']['peak'] - base['members'])} for {base['bytes'] / 1e9:.2f} GB (its largest tensor has {mb(base['tensor'])})"
        for base in bases
    )
    lines += ["", f"weaverec's memory beside the three adapters, which it holds: {beside}."]
    if not peer:
        lines += ["", "mergekit was not there (bench/peers/requirements-merge.txt has it), so that it has no rows."]
    return lines


def main(program, folder, path, tiny):
    program = str(Path(program).resolve())
    folder.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    only, kept_at, peer = os.environ.get("ONLY", ""), path.with_suffix(".json"), mergekit_python()
    if only not in ("", "svd", "base"):
        sys.exit(f"ONLY={only}: give svd or base")
    readings = json.loads(kept_at.read_text()) if only and kept_at.exists() else {}
    if readings.get("tiny", tiny) != tiny:
        sys.exit(f"{kept_at} is of other shapes; name another report")
    readings["tiny"] = tiny
    # Written at once: what comes next may be cut off.
    if only != "base":
        readings["svd"] = svd_task(program, folder, SMALL if tiny else QWEN2_7B, 2 if tiny else 28)
        kept_at.write_text(json.dumps(readings, indent=1) + "\n")
        report(readings, path, tiny)
    if only != "svd":
        readings["mergekit"] = peer[1] if peer else None
        readings["bases"] = []
        for layers in (2, 4) if tiny else (4, 14):
            readings["bases"].append(into_base_task(program, folder, SMALL if tiny else LLAMA, layers, peer))
            kept_at.write_text(json.dumps(readings, indent=1) + "\n")
            report(readings, path, tiny)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peft"]:
        folder, shapes = Path(sys.argv[2]), SMALL if sys.argv[3] == "tiny" else QWEN2_7B
        members = sorted((folder / "layer").iterdir())
        seconds, factors = peft_svd(members, shapes)
        result = {"seconds": seconds, "error": errors(factors, true_sum(members, shapes))}
        (folder / "peft.json").write_text(json.dumps(result))
    elif len(sys.argv) in (4, 5) and sys.argv[4:] in ([], ["--tiny"]):
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:] == ["--tiny"])
    else:
        sys.exit(__doc__)
