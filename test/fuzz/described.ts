import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Target } from './target.ts'

const run = promisify(execFile)
const installer = join(import.meta.dirname, '../../.ci/install-fuzz')
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance'
]

/** Lets schemathesis make requests from the OpenAPI document, and compare the answers with it. */
export async function fuzzDescribed({ server, parent, seed, seconds }: Target): Promise<string> {
  const { stdout: path } = await run(installer, ['--path'])
  const time = String(Math.max(1, Math.round(seconds)))
  const args = ['run', `${server.url}/openapi.json`, '--checks', CHECKS.join(','), '--no-color', '--seed', String(seed)]
  const cases = ['--max-time', time, '--max-examples', '50', '--warnings', 'off']
  const cwd = dirname(parent)
  const { stdout } = await run(join(path.trim(), 'st'), [...args, ...cases], { cwd, maxBuffer: 2 ** 26 }).catch(
    error => {
      throw new Error(`schemathesis (.ci/install-fuzz): ${error.message}\n${String(error.stdout ?? '').slice(-4000)}`)
    }
  )
  const passed = /(\d+) generated, (\d+) passed/.exec(stdout)
  if (passed === null || passed[1] !== passed[2]) throw new Error(stdout.slice(-4000))
  return `${passed[2]} requests`
}
