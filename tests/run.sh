#!/usr/bin/env bash
# Runs every check of the project, set-up included: on a fresh Debian 12 machine, as root or with sudo, any number of times.
# Never prompts. Exits with status 0 if everything passes; otherwise stops at the first failed step and prints its name.
set -euo pipefail

# shellcheck source=tests/lib/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"

step_name=start
steps_done=()

finish() {
    local status=$?
    say
    [ "${#steps_done[@]}" -eq 0 ] || printf '%s\n' "${steps_done[@]}"
    if [ "$status" -eq 0 ]; then
        say "All checks passed in $SECONDS s."
    else
        say "FAILED: $step_name (status $status, after $SECONDS s in all)"
    fi
}
trap finish EXIT

# step <name> <command …>: runs one check and records its duration.
step() {
    local began=$SECONDS
    step_name=$1
    shift
    say "==> $step_name"
    "$@" </dev/null
    steps_done+=("$(printf '%5d s  %s' "$((SECONDS - began))" "$step_name")")
}

check_scripts() {
    local script
    for script in .ci/run tests/*.sh tests/lib/*.sh; do
        bash -n "$script"
    done
}

# `set_up` changes this shell's PATH, so no step may run in a subshell.
step "set-up" set_up
step "scripts" check_scripts
step "format" cargo fmt --all --check
step "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
step "unit, property and doc tests" cargo test --locked --package guestly_sync
step "tests of the simulator and the benchmark" cargo test --locked --package guestly-simulator --package guestly-bench
step "install the extension" install_extension
# Scenario tests mostly wait for servers, so more of them run at once than there are processors.
step "scenario tests" env RUST_TEST_THREADS=3 cargo test --locked --package guestly-scenarios
step "demo" tests/demo.sh
step "smoke run of the benchmark" tests/bench.sh --smoke
