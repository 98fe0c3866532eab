# shellcheck shell=bash
# Functions that the scripts in this directory share. It is sourced, not executed.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# apt_get ARGUMENT...: runs apt-get, and waits up to 5 minutes for another apt-get. apt-get's option waits for dpkg's lock
# only, not for the locks of the lists and the archives.
apt_get() {
  local output until=$((SECONDS + 300))
  until output=$(LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" 2>&1); do
    if [[ $output != *"Could not get lock"* ]] || [ "$SECONDS" -ge "$until" ]; then
      printf '%s\n' "$output"
      return 1
    fi
    sleep 2
  done
}

# need_packages PACKAGE...: installs the Debian packages that are missing.
# Their services are not started, because the scripts start private engines.
need_packages() {
  local missing=() package policy=/usr/sbin/policy-rc.d
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "these packages are missing, and only root can install them: ${missing[*]}"
  command -v apt-get >/dev/null || die "these packages are missing, and this machine has no apt-get: ${missing[*]}"
  say "installing ${missing[*]}"
  (
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    if [ ! -e "$policy" ]; then
      trap 'rm -f "$log" "$policy"' EXIT
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod 755 "$policy"
    fi
    trap 'exit 130' INT TERM HUP
    if ! { apt_get update && apt_get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
      cat "$log" >&2
      die "apt-get could not install ${missing[*]}"
    fi
  )
}

# answers SOCKET: whether an engine answers on this unix socket.
answers() {
  [ -S "$1" ] && [ "$(curl -s --max-time 5 --unix-socket "$1" http://engine/_ping 2>/dev/null)" = OK ]
}

# build_static TARGET OPTION...: runs cargo build for a static target, as for a release. Rust and C code in the programs
# contains no path of this machine.
build_static() {
  local target=$1 compiler=${1%%-*}-linux-gnu-gcc name=${1//-/_} path
  shift
  local rust_flags=(-Clinker=rust-lld -Clink-arg=--icf=all -Clink-arg=--pack-dyn-relocs=relr) c_flags=()
  need_packages gcc libc6-dev
  rustup --quiet target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl
  machine_paths=("$ROOT=/dexec" "${CARGO_HOME:-$HOME/.cargo}=/cargo" "$(rustc --print sysroot)=/rust")
  for path in "${machine_paths[@]}"; do
    rust_flags+=("--remap-path-prefix=$path")
    c_flags+=("-ffile-prefix-map=$path")
  done
  env CARGO_ENCODED_RUSTFLAGS="$(IFS=$'\x1f' && echo "${rust_flags[*]}")" DEXEC_REQUIRE_HELPER=1 \
    "CC_$name=$compiler" "CFLAGS_$name=${c_flags[*]}" \
    cargo build --quiet --locked --target "$target" "$@"
}

# build_programs TARGET: builds both programs as for a release, each with only the features that it needs.
build_programs() {
  build_static "$1" --profile small --package dexec
  build_static "$1" --release --package dexec-mcp
}
