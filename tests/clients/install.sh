# shellcheck shell=bash
# Sourced. Installs the npm packages of this directory in target/clients, and puts their programs first on PATH. Node.js is
# one of the packages, because the machine's may be too old for the inspector.

CLIENTS=$ROOT/target/clients
mkdir -p "$CLIENTS"
if ! cmp -s "$ROOT/tests/clients/package-lock.json" "$CLIENTS/node_modules/.lock"; then
  command -v npm >/dev/null || need_packages npm
  say "installing the official clients in target/clients"
  cp "$ROOT"/tests/clients/{.npmrc,package.json,package-lock.json} "$CLIENTS/"
  npm ci --prefix "$CLIENTS" --loglevel error >&2 || die "npm could not install tests/clients: see above"
  cp "$CLIENTS/package-lock.json" "$CLIENTS/node_modules/.lock"
fi
# Node.js looks for modules next to the file that imports them.
cp "$ROOT"/tests/clients/*.mjs "$CLIENTS/"
export PATH=$CLIENTS/node_modules/.bin:$PATH
