# Set-up shared by the scripts in tests/: installs everything that a fresh Debian 12 lacks, each piece only if it is missing,
# so it can be repeated. Source it from bash with `set -euo pipefail`. It neither starts nor stops a server: the scripts and
# tests use temporary ones of their own.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/guestly_sync

export GUESTLY_PG_BIN=${GUESTLY_PG_BIN:-/usr/lib/postgresql/15/bin}
# Keeps build output out of the repository.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
# A separate home for cargo-pgrx: the user's own may be configured for other servers.
export PGRX_HOME=${GUESTLY_PGRX_HOME:-$CACHE/pgrx}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

readonly DEBIAN_PACKAGES=(
    postgresql-15 postgresql-server-dev-15 gcc libc6-dev make clang libclang-dev pkg-config libssl-dev
    ca-certificates curl sudo python3 python3-aiosmtpd openssl nodejs
)

say() { printf '%s\n' "$*"; }

give_up() {
    printf 'Error: %s\n' "$*" >&2
    exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

as_root() {
    if is_root; then
        "$@"
    else
        command -v sudo >/dev/null || give_up "this needs root: run it as root, or install sudo and allow it for $(id -un)"
        sudo "$@"
    fi
}

# Runs a command as an account that may run a PostgreSQL server, which root may not.
as_server() {
    if is_root; then
        runuser -u postgres -- "$@"
    else
        "$@"
    fi
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

install_debian_packages() {
    local package missing=()
    command -v dpkg-query >/dev/null || give_up "these scripts set up Debian 12; elsewhere install what src/README.md, section Building from source, lists"
    for package in "${DEBIAN_PACKAGES[@]}"; do
        is_installed "$package" || missing+=("$package")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        say "Installing Debian packages: ${missing[*]}"
        # The package lists are fetched only if they are missing or outdated.
        apt_install "${missing[@]}" || {
            as_root apt-get update -qq </dev/null
            apt_install "${missing[@]}" || give_up "apt-get could not install ${missing[*]}"
        }
    fi
    [ -x "$GUESTLY_PG_BIN/postgres" ] || give_up "no PostgreSQL 15 in $GUESTLY_PG_BIN"
}

find_rust() {
    if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH="$HOME/.cargo/bin:$PATH"
    fi
    # Debian 12's own Rust is too old.
    command -v cargo >/dev/null || give_up "Rust is missing (1.89 or newer, with rustfmt and clippy). Install it as https://rustup.rs says, then run this again"
    # Programs that cargo installs, such as cargo-pgrx, must be on the path.
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    export PATH
}

# The version of pgrx that Cargo.toml pins; cargo-pgrx must have the same.
pgrx_version() {
    sed -n 's/^pgrx = .*"=\([0-9.]*\)".*/\1/p' "$ROOT/Cargo.toml"
}

install_cargo_pgrx() {
    local wanted found
    wanted=$(pgrx_version)
    [ -n "$wanted" ] || give_up "Cargo.toml pins no version of pgrx"
    found=$(cargo pgrx --version 2>/dev/null || true)
    if [ "$found" != "cargo-pgrx $wanted" ]; then
        say "Installing cargo-pgrx $wanted (found: ${found:-none}); this takes a few minutes"
        env -u CARGO_TARGET_DIR cargo install cargo-pgrx --version "$wanted" --locked --force --quiet </dev/null
    fi
    if ! grep -qs "\"$GUESTLY_PG_BIN/pg_config\"" "$PGRX_HOME/config.toml"; then
        mkdir -p "$PGRX_HOME"
        cargo pgrx init --no-run "--pg15=$GUESTLY_PG_BIN/pg_config" </dev/null
    fi
}

# Cargo decides by workspace paths and timestamps what is up to date. Output that another clone of this repository has built in
# the same folder must not be used for this one.
forget_other_clone() {
    local mark=$CARGO_TARGET_DIR/workspace package profile
    if [ "$(cat "$mark" 2>/dev/null)" != "$ROOT" ]; then
        for package in guestly_sync guestly-simulator guestly-scenarios guestly-bench; do
            for profile in dev release; do
                cargo clean --quiet --package "$package" --profile "$profile" </dev/null
            done
        done
        mkdir -p "$CARGO_TARGET_DIR"
        printf '%s\n' "$ROOT" >"$mark"
    fi
}

# Installs everything that is needed to build the programs of the tests.
set_up_rust() {
    cd "$ROOT"
    install_debian_packages
    find_rust
    forget_other_clone
}

# Installs everything that is needed to build the extension as well.
set_up() {
    set_up_rust
    install_cargo_pgrx
}

# Builds the extension and installs it into PostgreSQL 15, together with the SQL of earlier versions, from which a scenario
# test updates.
install_extension() {
    local privilege=()
    is_root || privilege=(--sudo)
    (cd "$ROOT" && cargo pgrx install --release --pg-config "$GUESTLY_PG_BIN/pg_config" "${privilege[@]}" </dev/null)
    # cargo pgrx copies upgrade scripts only. A released version's complete SQL is for its dumps.
    as_root cp "$ROOT"/sql/guestly_sync--[0-9].[0-9].[0-9].sql "$ROOT"/tests/fixtures/guestly_sync--*.sql "$("$GUESTLY_PG_BIN/pg_config" --sharedir)/extension/"
}
