# Steps with their minutes, and what was skipped in them; sourced by .ci/run.

step_names=()
step_seconds=()
skips=$(mktemp)

# Begins a step: say "tests".
say() {
    close_step
    printf '\n== %s (%s s)\n' "$1" "$SECONDS"
    step_names+=("$1")
    step_began=$SECONDS
}

close_step() {
    if [ "${#step_names[@]}" -gt "${#step_seconds[@]}" ]; then
        step_seconds+=($((SECONDS - step_began)))
    fi
}

# A line for the end of the run.
skip() {
    echo "skipped: $1" | tee -a "$skips"
}

# Minutes of every step, and last what was skipped.
summary() {
    close_step
    printf '\n== minutes\n'
    local i
    for i in "${!step_names[@]}"; do
        awk -v seconds="${step_seconds[$i]}" -v name="${step_names[$i]}" 'BEGIN { printf "%6.1f  %s\n", seconds / 60, name }'
    done
    awk -v seconds="$SECONDS" 'BEGIN { printf "%6.1f  in all\n", seconds / 60 }'
    printf '\n== skipped\n'
    if [ -s "$skips" ]; then sort -u "$skips"; else echo "nothing"; fi
    rm -f "$skips"
}

# Passes the output of `cargo test -- --show-output` on without what tests that passed have printed, but for what they say they skip.
test_output() {
    awk -v skips="$skips" '
        $0 == "successes:" { hidden = 1; next }
        /^(failures:|test result:)/ { hidden = 0 }
        hidden && /^---- .* ----$/ { name = $2; next }
        hidden && /^skipped/ { line = "skipped in " name ":" substr($0, index($0, " ")); print line; print line >> skips; fflush() }
        !hidden { print; fflush() }'
}
