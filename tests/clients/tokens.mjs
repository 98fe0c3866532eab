// Prints the size of results in tokens of o200k_base, as a Markdown table.
//
//   node tokens.mjs DEXEC_MCP [PARE]     PARE: the built index.js of Pare's docker server
import { execFile } from 'node:child_process'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { encode } from 'gpt-tokenizer/encoding/o200k_base'

const [dexecMcp, pare] = process.argv.slice(2)

// The listing in Pare's documentation of the tool.
const listing = `total 32
drwxr-xr-x 1 root root 4096 Jan 15 10:00 .
drwxr-xr-x 1 root root 4096 Jan 15 09:00 ..
-rw-r--r-- 1 root root  512 Jan 15 10:00 package.json
-rw-r--r-- 1 root root 1024 Jan 15 10:00 server.js
drwxr-xr-x 1 root root 4096 Jan 15 10:00 node_modules
`

const rows = [
  ["Pare's example of `ls -la`", ['printf', '%s', listing]],
  ['`ls -la /`', ['ls', '-la', '/']],
  ['`cat /etc/passwd`', ['cat', '/etc/passwd']],
  ['`env`', ['env']],
  ['`ps`', ['ps']],
  ['`cat /nosuch` (fails)', ['cat', '/nosuch']],
  ['`nosuch` (missing program)', ['nosuch']],
  ['`echo` of JSON', ['echo', JSON.stringify({ name: 'web', ports: [80, 443], labels: { tier: 'front', owner: 'ops' } })]],
  ['`seq 1 20000`', ['seq', '1', '20000']],
  ['`true` (no output)', ['true']],
  ['`sh -c "echo warning >&2"`', ['sh', '-c', 'echo warning: the cache is cold >&2']],
]

async function connect(command, args) {
  const client = new Client({ name: 'tokens', version: '0' })
  await client.connect(new StdioClientTransport({ command, args, env: process.env, stderr: 'ignore' }))
  return async (argv, compact) => {
    // The tools are not listed first: then the client would check results against their schemas, and Pare's do not match.
    const answer = await client.callTool({ name: 'exec', arguments: { container: 'dexec-shell', command: argv, compact } })
    const text = answer.content.map((block) => block.text).join('\n')
    return { text: count(text), structure: answer.structuredContent ? count(JSON.stringify(answer.structuredContent)) : '–' }
  }
}

const count = (text) => encode(text).length
const raw = (argv) =>
  new Promise((resolve) => execFile('docker', ['exec', 'dexec-shell', ...argv], (_, out, err) => resolve(count(out + err))))

const ours = await connect(dexecMcp, [])
const theirs = pare && (await connect(process.execPath, [pare]))
const heads = ['command', '`docker exec` prints', 'text', 'structured, compact', 'structured, full']
if (theirs) heads.push('Pare: text', 'Pare: structured, compact', 'Pare: text, full', 'Pare: structured, full')
const line = (cells) => console.log(`| ${cells.join(' | ')} |`)
line(heads)
line(heads.map((_, index) => (index ? '---:' : '---')))
for (const [name, argv] of rows) {
  const cells = [name, await raw(argv)]
  const [compact, full] = [await ours(argv, true), await ours(argv, false)]
  cells.push(full.text, compact.structure, full.structure)
  if (theirs) {
    const [compact, full] = [await theirs(argv, true), await theirs(argv, false)]
    cells.push(compact.text, compact.structure, full.text, full.structure)
  }
  line(cells)
}
process.exit()
