/**
 * Leaves out one rule after the other and looks whether the proof fails: `mutate.ts [TEXT OF A RULE]`. Ends with a line
 * `N passed, N failed`.
 */
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Mutation, mutations } from './mutations.ts'

const root = new URL('../..', import.meta.url).pathname
const COPIES = 2

async function copyProject(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'marina-mutations-'))
  for (const part of ['src', 'test', 'package.json', 'tsconfig.json']) {
    await cp(join(root, part), join(copy, part), { recursive: true })
  }
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'))
  return copy
}

function run(copy: string, args: string[], title = ''): Promise<{ failed: boolean; output: string }> {
  return new Promise(resolve => {
    const command = execFile(process.execPath, ['--import', 'tsx', ...args], {
      cwd: copy,
      timeout: 600_000,
      env: { ...process.env, ...(title && { TAP_GREP: title }) },
      maxBuffer: 2 ** 26
    })
    let output = ''
    command.stdout?.on('data', data => (output += data))
    command.stderr?.on('data', data => (output += data))
    command.on('close', code => resolve({ failed: code === 1, output }))
  })
}

/** What went wrong; undefined: the proof failed without the rule, as it should. */
async function leaveOut(copy: string, { edits, fails }: Mutation): Promise<string | undefined> {
  const before = new Map<string, string>()
  try {
    for (const [file, text, instead] of edits) {
      const path = join(copy, 'src/registry', file)
      const source = await readFile(path, 'utf8')
      if (!before.has(path)) before.set(path, source)
      const parts = source.split(text)
      if (parts.length !== 2) return `is ${parts.length - 1} times in ${file}: ${text}`
      await writeFile(path, parts.join(instead))
    }
    const args =
      'test' in fails
        ? [join('test/registry', fails.test)]
        : ['test/proof/play.ts', fails.at, fails.works.join(), `${fails.jumps ?? 0}`]
    const { failed, output } = await run(copy, args, 'title' in fails ? fails.title : undefined)
    // Whatever else makes a program fail proves nothing: what can't be compiled, or is not there.
    if (failed && /in the order\n|not ok|AssertionError/.test(output)) return undefined
    return failed ? `fails otherwise: ${output.slice(0, 600)}` : `nothing fails: ${output.split('\n').at(-2)}`
  } finally {
    for (const [path, source] of before) await writeFile(path, source)
  }
}

const wanted = mutations.filter(({ rule }) => rule.includes(process.argv[2] ?? ''))
let [passed, failed] = [0, 0]
async function worker(queue: Iterator<Mutation>): Promise<void> {
  const copy = await copyProject()
  try {
    for (let next = queue.next(); !next.done; next = queue.next()) {
      const fault = await leaveOut(copy, next.value)
      if (fault) failed++
      else passed++
      console.log(`${fault ? 'FAILED' : 'caught'}: ${next.value.rule}${fault ? `: ${fault}` : ''}`)
    }
  } finally {
    await rm(copy, { recursive: true })
  }
}
const queue = wanted.values()
await Promise.all(Array.from({ length: COPIES }, () => worker(queue)))
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
