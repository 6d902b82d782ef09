import { send } from '../reliability/http.ts'
import type { Send } from '../support/client.ts'

/** An answer of the server's fault, where such may be. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

/**
 * Requests to a server. Any answer from 500 on is thrown as `Refused` if its status is one of `faults()` and it is as it
 * should be: the spec's form, nothing of the server's inside, `Retry-After` with a 503.
 */
export function overWire(url: () => string, faults: () => readonly number[] = () => []): Send {
  return async (method, path, { headers = {}, body } = {}) => {
    const target = path.replace(/^https?:\/\/[^/]+/, '')
    const answer = await send(url() + target, { method, headers, ...(body && { body }) })
    if (answer.status >= 500) {
      const { status } = answer
      const text = answer.body.toString()
      if (!faults().includes(status)) throw new Error(`${method} ${target}: ${status}\n${text}`)
      if (method !== 'HEAD') checkBody(text)
      if (status === 503 && !answer.headers['retry-after']) throw new Error('a 503 has no Retry-After')
      throw new Refused(`${method} ${target}: ${status}`)
    }
    const plain = Object.entries(answer.headers).map(([name, value]) => [name, value && String(value)])
    return { status: answer.status, headers: Object.fromEntries(plain), body: answer.body }
  }
}

/** Whether the connection ended before the answer. */
export function isBroken(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^(ECONNRESET|ECONNREFUSED|EPIPE)$/.test(String(error.code))
}

function checkBody(text: string): void {
  const { errors } = JSON.parse(text) as { errors: { code: string; message: string }[] }
  if (errors.length === 0 || !errors.every(({ code, message }) => code && message))
    throw new Error(`no error in ${text}`)
  if (/\/(tmp|dev|repositories|content|uploads)\b|E[A-Z]{3,}\b.*syscall|at .*\.js:/.test(text)) {
    throw new Error(`the server tells of its inside: ${text}`)
  }
}
