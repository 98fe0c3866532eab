# Shared by the scripts in this directory; sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Where another apt is at work its lock is waited for. For the lists of packages apt-get itself does not wait.
update_lists() {
  local output tries
  for tries in $(seq 60); do
    if output=$(apt-get -o DPkg::Lock::Timeout=300 update 2>&1); then return 0; fi
    printf '%s\n' "$output"
    case $output in *"Could not get lock"*) sleep 5 ;; *) return 1 ;; esac
  done
  return 1
}

# need_packages PACKAGE...: install those Debian packages that are missing.
# Services that they bring are not started: the scripts start private engines of their own.
need_packages() {
  local missing=() package policy=/usr/sbin/policy-rc.d
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "these packages are missing and only root can install them: ${missing[*]}"
  command -v apt-get >/dev/null || die "these packages are missing and there is no apt-get: ${missing[*]}"
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
    if ! { update_lists && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y \
      --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
      cat "$log" >&2
      die "apt-get could not install ${missing[*]}"
    fi
  )
}

# answers SOCKET: whether an engine answers on this unix socket.
answers() {
  [ -S "$1" ] && [ "$(curl -s --max-time 5 --unix-socket "$1" http://engine/_ping 2>/dev/null)" = OK ]
}

# build_static TARGET OPTION...: cargo build for a static target, as it is released. No path of this machine gets into the
# programs, in Rust or in C.
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

# build_programs TARGET: both programs as they are released, each with what it needs alone.
build_programs() {
  build_static "$1" --profile small --no-default-features --features cli --bin dexec
  build_static "$1" --release --no-default-features --features mcp --bin dexec-mcp
}
