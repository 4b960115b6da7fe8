#!/usr/bin/env bash
# A first run on a machine with a GPU, from the parts that bench/gpu/pack.sh made (docs/gpu.md):
#
#   bash first-run.sh OUT
#
# Steps, each under its own limit, each leaving its result in OUT before the next begins; one that fails stops none of the others:
#   unpack   checksums, then the parts' contents
#   machine  driver, libraries and card named
#   tests    the model's tests on the device
#   engine   LoRA steps and rankings in f32 and bf16, beside the CPU's numbers
#   peft     the same beside PyTorch and PEFT, where python3 has them
#   study    two scenarios, then a third, replicate by replicate, as far as the time goes
#
# A second call goes on where the first stopped, with OUT filled again. In the environment: DEVICE (cuda), BUDGET (780 seconds in all),
# ARITHMETIC (bf16; the study's), AGAIN ("tests engine": steps to repeat), ONLY ("unpack machine": no others), PARTS (this script's
# folder), WORK ($PARTS/work), PYTHON (python3), JOBS (1; cells of the study at a time), SCALE=tiny (to try all of it on a CPU).
#
# OUT gets at most eight files of at most 15 MB: status.txt (one line), machine.txt, log.txt, gpu.csv, engine.jsonl, results.tar.gz
# (tables and reports) and records.tar.gz (run records with every user's ranks, without weights).
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
self=$here/$(basename "${BASH_SOURCE[0]}")
DEVICE=${DEVICE:-cuda} BUDGET=${BUDGET:-780} PARTS=${PARTS:-$here} PYTHON=${PYTHON:-python3} SCALE=${SCALE:-full} JOBS=${JOBS:-1}
PARTS=$(cd "$PARTS" && pwd) || exit 2
WORK=${WORK:-$PARTS/work}
mkdir -p "$WORK" && WORK=$(cd "$WORK" && pwd) || exit 2
case $DEVICE in cpu) ARITHMETIC=f32 ;; *) ARITHMETIC=${ARITHMETIC:-bf16} ;; esac
export DEVICE BUDGET PARTS PYTHON SCALE JOBS WORK ARITHMETIC

unpacked=$WORK/unpacked
# What OUT gets; kept here, since OUT may be another folder the next time.
results=$WORK/results
mkdir -p "$unpacked" "$results/tables" "$WORK/log" "$WORK/done" || exit 2
# Kernels that the driver has compiled once need not be compiled by the next process.
export CUDA_CACHE_PATH=$WORK/cuda-cache CUDA_CACHE_MAXSIZE=2147483648
export NO_COLOR=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1

weaverec=$unpacked/program/bin/weaverec
tests=$unpacked/checks/bin/tests
peer=$unpacked/checks/bin/peer
data=$unpacked/data
model=$unpacked/model/SmolLM2-135M-Instruct.Q4_1.gguf
prompts=$data/prompts/movielens-100k

# Libraries -----------------------------------------------------------------------------------------------------------------------------

# Puts the folders of what the loader does not find by itself on LD_LIBRARY_PATH, those of the machine before those of the parts; what is
# nowhere gets a stand-in.
find_libraries() {
    local site folders folder name found stands=$WORK/stand-ins
    rm -rf "$stands" && mkdir -p "$stands"
    site=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' 2>/dev/null || true)
    folders=$(printf '%s\n' /usr/local/cuda-13*/lib64 /usr/local/cuda/lib64 /usr/local/cuda*/targets/*/lib "$site"/nvidia/cu13/lib \
        /opt/*/.venv/lib/python3*/site-packages/nvidia/cu13/lib /usr/local/nvidia/lib64 /usr/local/nvidia/lib \
        /usr/lib/x86_64-linux-gnu/nvidia/current /usr/lib/wsl/lib "$unpacked/libraries/lib" "$unpacked/program/lib")
    for name in $(ldd "$weaverec" 2>/dev/null | awk '/not found/ { print $1 }'); do
        found=
        while IFS= read -r folder; do
            if [ -e "$folder/$name" ]; then found=$folder; break; fi
        done <<< "$folders"
        if [ -n "$found" ]; then
            LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$found
        elif [ -e "$unpacked/program/lib/stubs/$name" ]; then
            echo "$name is nowhere: a stand-in takes its place, with which nothing runs on a GPU"
            ln -s "$unpacked/program/lib/stubs/$name" "$stands/$name"
        fi
    done
    export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$stands
}

# Steps ---------------------------------------------------------------------------------------------------------------------------------

note() { printf '%s' "$1" > "$WORK/note"; }

step_unpack() {
    local sha bytes piece name bad="" unzstd
    while read -r sha bytes piece; do
        if [ "$(stat -c %s "$PARTS/$piece" 2>/dev/null)" != "$bytes" ]; then
            bad="$bad $piece (not there, or not whole)"
        elif [ "$(sha256sum < "$PARTS/$piece" | cut -d' ' -f1)" != "$sha" ]; then
            bad="$bad $piece (other content)"
        fi
    done < "$PARTS/parts.txt"
    unzstd=$(command -v zstd || true)
    if [ -z "$unzstd" ]; then
        # A copy that was carried, with what it needs beside it.
        tar -C "$unpacked" -xzf "$PARTS/zstd.tar.gz.00" || return 1
        unzstd="env LD_LIBRARY_PATH=$unpacked/zstd $unpacked/zstd/zstd"
    fi
    # What is whole is unpacked; CUDA's libraries are for machines that lack them.
    for name in program checks data model libraries; do
        case $bad in *" $name."*) continue ;; esac
        test -e "$PARTS/$name.tar.zst.00" || continue
        rm -rf "${unpacked:?}/$name"
        # shellcheck disable=SC2086
        cat "$PARTS/$name".tar.zst.[0-9][0-9] | $unzstd -dcq | tar -C "$unpacked" -xf - || { note "$name: not unpacked"; return 1; }
        echo "$name: $(du -sh "$unpacked/$name" | cut -f1)"
    done
    test -z "$bad" || note "carry again:$bad"
    case $bad in *" program."* | *" checks."* | *" data."* | *" model."*) return 1 ;; esac
    cat "$unpacked/program/built.txt"
}

step_machine() {
    local missing
    {
        echo "== $(date -u '+%F %T') UTC, DEVICE=$DEVICE"
        uname -a
        grep -m1 'model name' /proc/cpuinfo
        echo "$(nproc) processors; $(awk '/MemTotal/ { printf "%.0f GB", $2 / 1e6 }' /proc/meminfo); $(df -h "$WORK" | awk 'NR == 2 { print $4 " of disk free" }')"
        ldd --version 2>/dev/null | head -1
        cat "$unpacked/program/built.txt"
        echo "== nvidia-smi"
        nvidia-smi 2>&1 || echo "nvidia-smi does not answer"
        nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total,memory.used,clocks.sm,clocks.max.sm,power.limit --format=csv 2>&1
        echo "== libraries"
        echo "LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}"
        ldd "$weaverec" 2>&1 | grep -E 'cuda|cublas|curand|nvrtc|not found|stdc|libm|libc\.'
        "$PYTHON" -c '
import importlib.metadata as m
for name in ("torch", "peft", "transformers"):
    try: print(name, m.version(name))
    except m.PackageNotFoundError: print(name, "is not there")' 2>&1
        echo "== devices"
        "$weaverec" devices 2>&1
    } > "$results/machine.txt"
    cat "$results/machine.txt"
    missing=$(ldd "$weaverec" 2>&1 | grep -E 'not found' | head -3 | tr -s '\n\t ' ' ')
    if [ -n "$missing" ]; then
        note "$missing"
        return 1
    fi
    "$weaverec" devices --device "$DEVICE" > "$WORK/device.json" 2> "$WORK/device.err" || { note "$(tail -1 "$WORK/device.err" | head -c 400)"; return 1; }
    note "$(grep -oE '"(name|driver)": "[^"]*"' "$WORK/device.json" | cut -d'"' -f4 | paste -sd, -)"
}

step_tests() {
    local code
    # Only what is told there is a device runs on it, so that a CPU is not tested twice.
    if [ "$DEVICE" != cpu ]; then export WEAVEREC_TEST_DEVICE=$DEVICE; fi
    "$tests" --test-threads "$(nproc)" 2>&1 | tee "$results/tables/tests.txt"
    code=${PIPESTATUS[0]}
    note "$(grep -oE '[0-9]+ passed; [0-9]+ failed' "$results/tables/tests.txt" | tail -1)"
    return "$code"
}

step_engine() {
    local arithmetic arithmetics=f32 task line begun failed="" code=0
    # In this step's group of processes (foreground), so that they end with it.
    if [ "$DEVICE" != cpu ]; then arithmetics="f32 bf16"; fi
    : > "$results/engine.jsonl"
    for arithmetic in $arithmetics; do
        for task in few:0 rank:0 few:2 rank:1; do
            begun=$(date +%s.%N)
            if line=$(timeout --foreground -k 5 100 "$peer" "$model" "$prompts" "$WORK" "$task" "$DEVICE" "$arithmetic" 2> "$WORK/peer.err" | tail -1) \
                && [ "${line:0:1}" = "{" ]; then
                printf '{"device": "%s", "arithmetic": "%s", "task": "%s", "wall_seconds": %.1f, "result": %s}\n' "$DEVICE" "$arithmetic" \
                    "$task" "$(awk -v a="$begun" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')" "$line" >> "$results/engine.jsonl"
                echo "$task $arithmetic: done"
            else
                echo "$task $arithmetic: failed"
                tail -c 2000 "$WORK/peer.err"
                failed="$failed $task/$arithmetic"
            fi
        done
    done
    if command -v "$PYTHON" > /dev/null; then
        "$PYTHON" "$data/compare.py" "$results/engine.jsonl" "$data/reference/engine.jsonl" > "$results/tables/engine.md" || code=1
        cat "$results/tables/engine.md"
        note "$(grep -o 'Too far.*' "$results/tables/engine.md" | head -c 300)${failed:+ failed:$failed}"
    else
        echo "no python3: compare.py makes the table of engine.jsonl elsewhere"
        note "${failed:+failed:$failed}"
    fi
    test -z "$failed" && return "$code"
}

step_peft() {
    local arithmetic arithmetics=f32 only name
    if [ "$DEVICE" != cpu ]; then arithmetics="bf16 f32"; fi
    if ! "$PYTHON" -c 'import torch, peft, transformers' 2>&1; then
        note "not there: PyTorch with PEFT and transformers"
        return 0
    fi
    for arithmetic in $arithmetics; do
        for only in "LoRA step, 2" "ranking"; do
            name=${DEVICE//:/-}-$arithmetic
            echo "== $arithmetic, $only"
            TURNS=1 ONLY=$only "$PYTHON" "$data/engine.py" "$peer" "$model" "$prompts" "$WORK/peers" "$results/tables/peft-$name.md" \
                "$DEVICE" "$arithmetic" || return 1
        done
        grep -E '^\| (work|LoRA|ranking)' "$results/tables/peft-$name.md"
    done
}

# The profile, with its relative path of the model; in SCALE=tiny one replicate of very little.
profile() {
    if [ "$SCALE" = tiny ]; then
        sed -E 's/^replicates = .*/replicates = 1/; s/^(max_train|users|prompts_per_domain|held_out) = .*/\1 = 16/
            s/^calibration = .*/calibration = 0/
            s/batch_size = [0-9]+/batch_size = 8/; s/evaluate_every = [0-9]+/evaluate_every = 2/' "$data/first-run.toml"
    else
        cat "$data/first-run.toml"
    fi
}

step_study() {
    local units code=0 of left finished
    # A scenario's units are three apart. What is worth most comes first, and what was finished before is not run again.
    if [ "$SCALE" = tiny ]; then units="1,2"; else units="1,2,4,5,7,8 3,6,9"; fi
    cd "$unpacked/model" || return 1
    profile > "$WORK/first-run.toml"
    of=(--profile "$WORK/first-run.toml" --data "$data/logs" --work "$WORK/study" --out "$WORK/report" --device "$DEVICE" --arithmetic "$ARITHMETIC")
    for units in $units; do
        echo "== units $units"
        # Time is left to write the report of what is finished.
        left=$((STEP_LIMIT - SECONDS - 20))
        if [ "$left" -lt 5 ]; then
            code=124
            break
        fi
        timeout --foreground -k 5 "$left" "$weaverec" reproduce "${of[@]}" --units "$units" --jobs "$JOBS"
        code=$?
        test "$code" = 0 || break
    done
    if [ "$code" != 0 ]; then "$weaverec" report "${of[@]}"; fi
    if [ -e "$WORK/report/report.md" ]; then
        rm -rf "$results/tables/report"
        mkdir "$results/tables/report"
        # The records are a file of their own.
        (cd "$WORK/report" && tar --exclude=./records --exclude='./.*' -cf - .) | tar -C "$results/tables/report" -xf -
    fi
    finished=$(find "$WORK/study/cells/rankings" -name record.json 2>/dev/null | wc -l)
    note "$finished rankings finished"
    return "$code"
}

# One step, in a process of its own.
if [ "${1:-}" = --step ]; then
    case $2 in
        unpack) ;;
        *) find_libraries ;;
    esac
    "step_$2"
    exit
fi

# The whole ------------------------------------------------------------------------------------------------------------------------------

out=${1:?usage: bash first-run.sh OUT}
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)

# A file of OUT, whole or not at all; of a large one the end.
put() {
    test -s "$1" || return 0
    tail -c 15000000 "$1" > "$out/.new" && mv "$out/.new" "$out/$(basename "$1")"
}

publish() {
    local log
    for log in "$WORK"/log/*.txt; do
        test -e "$log" || continue
        echo "==== $(basename "$log" .txt)"
        tail -c 1500000 "$log"
    done > "$results/log.txt"
    tar -C "$results" -czf "$WORK/results.tar.gz" tables 2>/dev/null
    if [ -d "$WORK/study/cells" ]; then
        # No weights; what is being written appears whole in the next one. As `weaverec report --out` finds them.
        tar -C "$WORK/study" --exclude='*.safetensors' --exclude=checkpoints --exclude=leases --exclude='.*' --transform 's/^cells/records/' \
            -czf "$WORK/records.tar.gz" cells 2>/dev/null
    fi
    put "$results/machine.txt"; put "$results/engine.jsonl"; put "$results/log.txt"; put "$results/gpu.csv"
    put "$WORK/results.tar.gz"
    if [ "$(stat -c %s "$WORK/records.tar.gz" 2>/dev/null || echo 0)" -le 15000000 ]; then
        put "$WORK/records.tar.gz"
    else
        (cd "$out" && rm -f records.tar.gz records.tar.gz.* && split -b 15000000 -d -a 1 "$WORK/records.tar.gz" records.tar.gz.)
    fi
    printf '%s\n' "$status${running:+$running running; }$SECONDS s of $BUDGET" > "$results/status.txt"
    put "$results/status.txt"
}

# Every two seconds: what the card does, and how much of its memory is taken.
watch_gpu() {
    command -v nvidia-smi > /dev/null || return 0
    nvidia-smi --query-gpu=timestamp,utilization.gpu,memory.used,power.draw,clocks.sm --format=csv,noheader -l 2 >> "$results/gpu.csv" 2>/dev/null &
    watcher=$!
}

status="" running="" child="" watcher=""
stop() {
    # A step's processes are in a group that timeout leads.
    test -n "$child" && kill -TERM "$child" 2>/dev/null
    test -n "$watcher" && kill "$watcher" 2>/dev/null
    status="$status${running:+$running cut off; }" running=""
    publish
    exit 143
}
trap stop TERM INT

run_step() {
    local name=$1 limit=$2 left begun code took said
    left=$((BUDGET - SECONDS - 8))
    if [ -n "${ONLY:-}" ] && [[ " $ONLY " != *" $name "* ]]; then return 0; fi
    if [[ " ${AGAIN:-} " == *" $name "* ]]; then rm -f "$WORK/done/$name" "$WORK/done/$name"-*; fi
    if [ -e "$WORK/done/$name" ]; then
        status="$status$name $(cat "$WORK/done/$name") (before); "
        return 0
    fi
    if [ "$left" -lt 5 ]; then
        status="$status$name not begun; "
        return 0
    fi
    if [ "$limit" -gt "$left" ]; then limit=$left; fi
    running=$name begun=$SECONDS
    rm -f "$WORK/note"
    publish
    echo "== $name, $limit s at most ($SECONDS s)"
    STEP_LIMIT=$limit timeout -k 8 "$limit" bash "$self" --step "$name" > "$WORK/log/$name.new" 2>&1 &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
        sleep 1
        if [ $(((SECONDS - begun) % 30)) = 29 ]; then cat "$WORK/log/$name.new" > "$WORK/log/$order-$name.txt"; publish; fi
    done
    wait "$child"
    code=$?
    child="" running="" took=$((SECONDS - begun))
    mv "$WORK/log/$name.new" "$WORK/log/$order-$name.txt"
    said=$(cat "$WORK/note" 2>/dev/null | tr "\n" " " | head -c 400)
    case $code in
        0) said="ok $took s${said:+ ($said)}" ;;
        124 | 137) said="CUT OFF after $took s${said:+ ($said)}" ;;
        *) said="FAILED with $code after $took s${said:+ ($said)}" ;;
    esac
    # What failed fails again; what the time cut off is begun again, and so is what had not all the parts.
    case $code in
        0) echo "$said" > "$WORK/done/$name" ;;
        124 | 137) ;;
        *) if [ -e "$WORK/done/unpack" ]; then echo "$said" > "$WORK/done/$name"; fi ;;
    esac
    status="$status$name $said; "
    echo "   $said"
    publish
}

order=0
next() { order=$((order + 1)); run_step "$@"; }
next unpack 120
watch_gpu
next machine 60
next tests 150
next engine 200
next peft 200
next study "$BUDGET"
test -n "$watcher" && kill "$watcher" 2>/dev/null
publish
cat "$results/status.txt"
# Whether all that was begun went well.
case $status in *FAILED*) exit 1 ;; esac
