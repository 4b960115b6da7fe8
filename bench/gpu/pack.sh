#!/usr/bin/env bash
# Makes the parts of a first run on a machine with a GPU, to be carried there in any number of goes (docs/gpu.md):
#
#   bash bench/gpu/pack.sh LOGS [PARTS]
#
# LOGS is a folder of raw logs: amazon-2014/beauty, amazon-2014/sports, amazon-2018/prime-pantry and movielens/ml-latest-small.
# PARTS (runs/gpu/parts) gets first-run.sh, what it needs in pieces of at most PART_MB (52) megabytes, and parts.txt, a line a piece:
# SHA-256, bytes, name. LIBRARIES=yes adds CUDA's libraries (in ten pieces or so), for machines that have the driver alone.
#
# `make gpu-programs` builds the programs, which takes long; with WEAVEREC, TESTS and PEER in the environment those are taken instead.
set -euo pipefail

logs=$(cd "${1:?usage: bash bench/gpu/pack.sh LOGS [PARTS]}" && pwd)
cd "$(dirname "$0")/../.."
parts=${2:-runs/gpu/parts}
mkdir -p "$parts"
parts=$(cd "$parts" && pwd)
part_bytes=$((${PART_MB:-52} * 1000000))
toolkit=runs/cuda/nvidia/cu13

say() { printf '== %s (%s s)\n' "$1" "$SECONDS" >&2; }

folders=(amazon-2014/beauty amazon-2014/sports amazon-2018/prime-pantry movielens/ml-latest-small)
for folder in "${folders[@]}"; do
    test -d "$logs/$folder" || { echo "$logs/$folder is not there: LOGS needs ${folders[*]}" >&2; exit 2; }
done
command -v zstd >/dev/null || { echo "zstd is not there: install it (Debian, Ubuntu: apt-get install zstd)" >&2; exit 2; }

if [ -z "${WEAVEREC:-}" ]; then
    say "building"
    make gpu-programs
    # The newest line of each kind in what cargo said.
    built() { python3 bench/gpu/built.py runs/gpu/built.jsonl "$1"; }
    WEAVEREC=$(built weaverec) TESTS=$(built weaverec_model) PEER=$(built peer)
fi
: "${TESTS:?the path of the tests of weaverec-model}" "${PEER:?the path of the program of benches/peer.rs}"

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

say "programs"
mkdir -p "$stage/program/bin" "$stage/program/lib/stubs" "$stage/checks/bin"
strip -o "$stage/program/bin/weaverec" "$WEAVEREC"
strip -o "$stage/checks/bin/tests" "$TESTS"
strip -o "$stage/checks/bin/peer" "$PEER"
# Stand-ins for what the other machine may lack, so that the programs start there too and say what is missing; and CUDA's run time, which
# is small.
if [ -d "$toolkit/lib/stubs" ]; then
    cp -L "$toolkit"/lib/stubs/lib*.so.* "$stage/program/lib/stubs/"
    cp -L "$toolkit"/lib/libcudart.so.1[0-9] "$stage/program/lib/"
fi
export LD_LIBRARY_PATH="$stage/program/lib:$stage/program/lib/stubs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
weaverec="$stage/program/bin/weaverec"
revision=$(git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
{
    echo "revision $revision"
    echo "compute capability ${CUDA_COMPUTE_CAP:-90}"
    # The other machine's C library must be as new (ldd --version).
    echo "glibc $(objdump -T "$WEAVEREC" "$TESTS" "$PEER" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1 | cut -d_ -f2)"
} > "$stage/program/built.txt"
cat "$stage/program/built.txt" >&2

say "model and data"
mkdir -p "$stage/model" "$stage/data/logs" "$stage/data/reference"
cp "$("$weaverec" models fetch smollm2-135m)" "$stage/model/"
model=$(echo "$stage"/model/*.gguf)
for folder in "${folders[@]}"; do
    mkdir -p "$stage/data/logs/$folder"
    # What tests expect of the logs is not read.
    find "$logs/$folder" -maxdepth 1 -type f ! -name 'expected_*' -exec cp {} "$stage/data/logs/$folder/" \;
done
"$weaverec" prepare movielens-100k --raw "$("$weaverec" datasets fetch movielens-100k)" --max-train 100 --max-eval 100 \
    --out "$stage/data/prompts" >&2

say "the CPU's numbers, to compare with"
for task in few:0 few:2 rank:0 rank:1; do
    result=$("$stage/checks/bin/peer" "$model" "$stage/data/prompts/movielens-100k" "$stage" "$task" cpu f32 | tail -1)
    printf '{"device": "cpu", "arithmetic": "f32", "task": "%s", "result": %s}\n' "$task" "$result"
done > "$stage/data/reference/engine.jsonl"
grep -m1 'model name' /proc/cpuinfo > "$stage/data/reference/processor.txt" || true
cp bench/gpu/compare.py bench/gpu/first-run.toml bench/peers/engine.py "$stage/data/"

say "parts"
rm -f "$parts"/*.tar.zst.* "$parts"/*.tar.gz.* "$parts/parts.txt"
cp bench/gpu/first-run.sh "$parts/first-run.sh"
# NAME: the folder of that name, compressed, in pieces. The model is as good as incompressible.
pack() {
    local name=$1 level=$2
    tar -C "$stage" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - "$name" \
        | zstd -q -T0 "-$level" | split -b "$part_bytes" -d -a 2 - "$parts/$name.tar.zst."
}
pack program 19
pack checks 19
pack data 19
pack model 1
if [ "${LIBRARIES:-}" = yes ]; then
    mkdir -p "$stage/libraries/lib"
    make cuda-toolkit LIBRARIES=yes
    cp -L "$toolkit"/lib/lib{cublas,cublasLt}.so.13 "$toolkit"/lib/libcurand.so.10 "$stage/libraries/lib/"
    pack libraries 10
fi
# A machine without zstd: a copy of this one's, which needs the C library alone or finds the rest beside it.
mkdir -p "$stage/zstd"
cp "$(command -v zstd)" "$stage/zstd/"
ldd "$(command -v zstd)" | awk '/=> \// && $1 !~ /^lib(c|m|pthread|dl)\.so/ { print $3 }' | xargs -r -I{} cp -L {} "$stage/zstd/"
tar -C "$stage" --sort=name --owner=0 --group=0 --mtime=@0 -czf "$parts/zstd.tar.gz.00" zstd

cd "$parts"
for piece in *.tar.zst.[0-9][0-9] zstd.tar.gz.00; do
    printf '%s %s %s\n' "$(sha256sum < "$piece" | cut -d' ' -f1)" "$(stat -c %s "$piece")" "$piece"
done > parts.txt.tmp
mv parts.txt.tmp parts.txt
say "done"
awk '{ printf "%6.1f MB  %s\n", $2 / 1e6, $3; all += $2 } END { printf "%6.1f MB  in all, with first-run.sh and parts.txt beside them\n", all / 1e6 }' parts.txt
