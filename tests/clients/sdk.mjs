// Tests dexec-mcp with the official TypeScript client at its defaults, on a real engine.
//
//   node sdk.mjs stdio DEXEC_MCP       the client starts the server
//   node sdk.mjs http URL [TOKEN]      connects to a running server
//
// Once the tools are listed, the client itself checks every answer against its tool's output schema.
import assert from 'node:assert/strict'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport, getDefaultEnvironment } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { STDIO_DEFAULT_MAX_BUFFER_SIZE } from '@modelcontextprotocol/sdk/shared/stdio.js'

const [kind, where, token] = process.argv.slice(2)
const socket = process.env.DOCKER_HOST.replace('unix://', '')

// The size of one read from a pipe: the client counts the start of the next message as part of the current one.
const CHUNK = 64 * 1024

function transport(bearer = token) {
  if (kind === 'stdio') {
    // By default, the client passes only a few of its environment variables to the server.
    return new StdioClientTransport({ command: where, env: { ...getDefaultEnvironment(), DOCKER_HOST: process.env.DOCKER_HOST } })
  }
  const headers = bearer ? { Authorization: `Bearer ${bearer}` } : {}
  return new StreamableHTTPClientTransport(new URL(where), { requestInit: { headers } })
}

async function connect() {
  const client = new Client({ name: 'clients', version: '0' })
  client.onerror = (error) => {
    // Closing the client ends open streams, which it reports as errors.
    if (!client.closing) throw error
  }
  await client.connect(transport())
  await client.listTools()
  client.exec = (command, more, options) =>
    client.callTool({ name: 'exec', arguments: { container: 'dexec-shell', command, ...more } }, undefined, options)
  client.sh = (script, more, options) => client.exec(['sh', '-c', script], more, options)
  return client
}

async function close(client) {
  client.closing = true
  await client.close()
}

// The processes in the container, as the engine lists them.
async function top() {
  const request = http.get({ socketPath: socket, path: '/containers/dexec-shell/top', timeout: 10_000 })
  const answer = await new Promise((resolve, reject) => request.on('response', resolve).on('error', reject))
  return (await answer.toArray()).join('')
}

async function eventually(what, isTrue) {
  for (let tries = 0; tries < 100; tries++) {
    if (await isTrue()) return
    await sleep(100)
  }
  assert.fail(`${what}: not true within 10 s`)
}

const runs = async (command) => (await top()).includes(command)
const isAlive = (pid) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
const text = (answer) => {
  assert.equal(answer.content.length, 1)
  return answer.content[0].text
}
const structure = (answer) => answer.structuredContent
const numbers = (last) => Array.from({ length: last }, (_, index) => index + 1).join('\n')

const checks = {
  async 'tools and containers are listed'(client) {
    const { tools } = await client.listTools()
    assert.deepEqual(tools.map((tool) => tool.name), ['exec', 'containers'])
    const listed = await client.callTool({ name: 'containers', arguments: {} })
    assert(structure(listed).containers.some(({ name, state }) => name === 'dexec-shell' && state === 'running'))
    assert.match(text(listed), /^dexec-shell {2}running/m)
  },

  async 'stdout, stderr and exit code are returned'(client) {
    const script = 'echo out; echo err >&2; exit 3'
    const full = await client.sh(script)
    assert.deepEqual(structure(full), { exitCode: 3, stdout: 'out', stderr: 'err', success: false })
    assert.equal(text(full), 'out\n[stderr]\nerr\n[exit 3]')
    assert(!full.isError)
    const compact = await client.sh(script, { compact: true })
    assert.deepEqual(structure(compact), { exitCode: 3, success: false })
    assert.equal(text(compact), text(full))
  },

  async 'stdin, parseJson and detach work'(client) {
    const echoed = await client.exec(['cat'], { stdin: 'grün\n', keepNewline: true, compact: false })
    assert.equal(structure(echoed).stdout, 'grün\n')
    const parsed = await client.exec(['echo', '{"b":[1],"a":null}'], { parseJson: true, compact: false })
    assert.deepEqual(structure(parsed).json, { b: [1], a: null })
    const detached = await client.exec(['true'], { detach: true })
    assert.match(structure(detached).execId, /^[0-9a-f]{64}$/)
  },

  async 'failures have different error kinds'(client) {
    const missing = await client.exec(['true'], { container: 'dexec-nosuch' })
    assert.equal(structure(missing).errorKind, 'containerNotFound')
    assert(missing.isError)
    const unknown = await client.exec(['nosuch'])
    assert.equal(structure(unknown).errorKind, 'commandNotFound')
    assert(!unknown.isError)
    const invalid = await client.exec(['true'], { timeout: 1 })
    assert.equal(structure(invalid).errorKind, 'invalidRequest')
    assert.match(text(invalid), /`timeout`/)
    assert(invalid.isError)
  },

  async 'a timeout keeps the output'(client) {
    const late = await client.sh('echo started; sleep 7770', { timeout: 1000, compact: false })
    const { exitCode, stdout, timedOut } = structure(late)
    assert.deepEqual({ exitCode, stdout, timedOut }, { exitCode: 124, stdout: 'started', timedOut: true })
    assert(!late.isError)
    assert(!(await runs('sleep 7770')), 'the command is still running after its timeout')
  },

  async 'progress notifications are sent'(client) {
    const received = []
    await client.exec(['sleep', '6'], {}, { onprogress: (progress) => received.push(progress.progress) })
    assert(received.length > 0)
  },

  async 'cancelling a call stops its command'(client) {
    const cancel = new AbortController()
    const call = client.sh('sleep 7771', {}, { signal: cancel.signal })
    const cancelled = assert.rejects(call, /cancelled/)
    await eventually('the command runs', () => runs('sleep 7771'))
    cancel.abort('cancelled')
    await cancelled
    await eventually('the cancelled command has ended', async () => !(await runs('sleep 7771')))
  },

  async '32 concurrent calls return the right output'(client) {
    const answers = await Promise.all(Array.from({ length: 32 }, (_, index) => client.exec(['echo', `${index}`])))
    assert.deepEqual(answers.map(text), answers.map((_, index) => `${index}`))
  },

  async '4 MB of output are returned unchanged'(client) {
    const answer = await client.exec(['seq', '1', '620000'], { compact: false })
    const wanted = numbers(620_000)
    assert(wanted.length > 4_000_000)
    assert(structure(answer).stdout === wanted, 'the structured content is not the complete output')
    assert(!structure(answer).isTruncated)
    assert(text(answer).length < 21_000)
    assert.match(text(answer), /\[exit 0, truncated\]$/)
  },

  async 'a result is never too large for the client'(client) {
    const calls = [
      ['yes | head -c 60000000', false],
      // Each byte of this output takes six bytes in JSON.
      ['head -c 12000000 /dev/zero', false],
      ['yes | head -c 12000000; head -c 12000000 /dev/zero >&2', false],
      // Output that is not UTF-8, returned completely as text.
      ['head -c 12000000 /dev/zero | tr "\\0" "\\377"', true],
    ]
    for (const [script, compact] of calls) {
      const answer = await client.sh(script, { compact, limit: 50_000_000 })
      const bytes = Buffer.byteLength(JSON.stringify({ jsonrpc: '2.0', id: 1_000_000, result: answer }))
      assert(structure(answer).isTruncated, script)
      assert(bytes > STDIO_DEFAULT_MAX_BUFFER_SIZE / 3, `${script}: a message of only ${bytes} bytes`)
      assert(bytes <= STDIO_DEFAULT_MAX_BUFFER_SIZE - CHUNK, `${script}: a message of ${bytes} bytes`)
    }
  },

  // This check is the last one, because it closes the client.
  async 'closing the client stops its commands'(client) {
    const { pid } = client.transport
    const call = client.sh('sleep 7772 & sleep 7772', { timeout: 600_000 })
    // The server may still answer that it was interrupted.
    call.catch(() => {})
    await eventually('the command runs', () => runs('sleep 7772'))
    await close(client)
    if (kind === 'stdio') {
      assert(!isAlive(pid), 'the server is still running after its client was closed')
      assert(!(await runs('sleep 7772')), 'a command is still running after the server ended')
    } else {
      await eventually('the command has ended', async () => !(await runs('sleep 7772')))
    }
  },
}

if (token) {
  for (const wrong of ['', 'wrong-token-of-some-length']) {
    await assert.rejects(new Client({ name: 'clients', version: '0' }).connect(transport(wrong)), /401|Unauthorized|bearer token/)
  }
}
const client = await connect()
// Over HTTP, the client accepts messages of any size. With a token, the first two checks are enough.
if (kind === 'http') delete checks['a result is never too large for the client']
const chosen = Object.entries(checks).slice(0, token ? 2 : undefined)
for (const [name, check] of chosen) {
  try {
    await check(client)
  } catch (error) {
    console.error(`failed over ${kind}: ${name}\n${error.stack}`)
    process.exit(1)
  }
}
await close(client)
console.log(`${chosen.length} checks over ${kind}${token ? ' with a token' : ''}`)
