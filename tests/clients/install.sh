# shellcheck shell=bash
# Sourced: the npm packages of this directory in target/clients, and their Node.js before any other on PATH.
# Node.js comes from there too: the machine's may be too old for the inspector.

CLIENTS=$ROOT/target/clients
mkdir -p "$CLIENTS"
if ! cmp -s "$ROOT/tests/clients/package-lock.json" "$CLIENTS/node_modules/.lock"; then
  command -v npm >/dev/null || need_packages npm
  say "installing the official clients in target/clients"
  cp "$ROOT"/tests/clients/{.npmrc,package.json,package-lock.json} "$CLIENTS/"
  npm ci --prefix "$CLIENTS" --loglevel error >&2 || die "npm could not install tests/clients: see above"
  cp "$CLIENTS/package-lock.json" "$CLIENTS/node_modules/.lock"
fi
# Modules are looked for beside the file that names them.
cp "$ROOT"/tests/clients/*.mjs "$CLIENTS/"
export PATH=$CLIENTS/node_modules/.bin:$PATH
