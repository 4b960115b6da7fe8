"""A device's numbers beside the CPU's: losses of a few LoRA steps, log-likelihoods of candidates, seconds and memory.

    python3 compare.py READINGS REFERENCE > engine.md

Both files hold a line of JSON a reading: device, arithmetic, task (as of bench/benches/peer.rs) and result. `bench/gpu/first-run.sh` writes
the first, `bench/gpu/pack.sh` the second. Exit code 1: a reading differs by more than its arithmetic explains.
"""

import json
import math
import statistics
import sys

# Largest difference that rounding explains: in f32 sums are taken in another order, in bf16 eight bits are left of every number. Losses
# are means over tokens; log-likelihoods are sums over a title's.
ALLOWED = {
    ("few", "f32"): 2e-3,
    ("few", "bf16"): 0.1,
    ("rank", "f32"): 1e-2,
    ("rank", "bf16"): 2.0,
}
WORK = {
    "few:0": "LoRA step, 2 × 512",
    "few:1": "LoRA step, 16 of 30 to 105",
    "few:2": "LoRA step, 4 real prompts",
    "rank:0": "ranking a user: 30 candidates of 10 tokens after 400",
    "rank:1": "ranking a user: real titles, users together",
}


def read(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines if line.strip()]


def values(result):
    return result["losses"] if "losses" in result else [score for user in result["scores"] for score in user]


def kendall(ours, theirs):
    """Share of a user's pairs of candidates that both put into the same order, over all users; ties in neither."""
    same = pairs = 0
    for a, b in zip(ours, theirs):
        for i in range(len(a)):
            for j in range(i):
                if a[i] != a[j] and b[i] != b[j]:
                    pairs += 1
                    same += (a[i] > a[j]) == (b[i] > b[j])
    return same / pairs if pairs else float("nan")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    reference = {reading["task"]: reading["result"] for reading in read(sys.argv[2])}
    bad = []
    print("| work | device | arithmetic | seconds | the CPU's | tensors' peak | largest difference | allowed | pairs in the CPU's order |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for reading in read(sys.argv[1]):
        task, arithmetic, result = reading["task"], reading["arithmetic"], reading["result"]
        theirs = reference.get(task)
        if theirs is None:
            continue
        seconds, before = (statistics.median(r["seconds"][1:]) for r in (result, theirs))
        # What is no number would get lost in a maximum.
        differences = [abs(a - b) for a, b in zip(values(result), values(theirs), strict=True)]
        difference = max(differences) if all(map(math.isfinite, differences)) else math.nan
        allowed = ALLOWED[task.split(":")[0], arithmetic]
        order = f"{kendall(result['scores'], theirs['scores']):.4f}" if "scores" in result else ""
        peak = result.get("peak_memory_of_tensors")
        if not difference <= allowed:
            bad.append(f"{task} in {arithmetic}: {difference:.2g} where {allowed:g} is allowed")
        print(
            f"| {WORK.get(task, task)} | {reading['device']} | {arithmetic} | {seconds:.4g} | {before:.3g} | "
            f"{f'{peak / 1e9:.2f} GB' if peak else ''} | {difference:.2g} | {allowed:g} | {order} |"
        )
    if bad:
        print("\nToo far from the CPU: " + "; ".join(bad) + ".")
        sys.exit(1)


if __name__ == "__main__":
    main()
