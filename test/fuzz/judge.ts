import { headerOf, type WireAnswer } from './wire.ts'

export interface Allowed {
  /** The request's method; to HEAD no body is wanted. */
  method?: string
  /** Server errors that are right here, besides 501. */
  faults?: readonly number[]
  /** What no answer may tell, as the path of the store. */
  secret: string
}

/** Throws, in one sentence, where an answer is none that this registry should give to anything. */
export function judge(answer: WireAnswer, { method = 'GET', faults = [], secret }: Allowed): void {
  const { status, body } = answer
  const text = body.toString()
  const what = `${status} ${text.slice(0, 300)}`
  if (status >= 500 && status !== 501 && !faults.includes(status)) throw new Error(`a server error: ${what}`)
  const head = JSON.stringify(answer.headers)
  if (head.includes(secret) || (status >= 400 && tellsOfTheInside(text, secret))) {
    throw new Error(`tells of the inside: ${what} ${head}`)
  }
  if (status < 400) return
  if (headerOf(answer, 'content-type') !== 'application/json')
    throw new Error(`an error that is no JSON: ${what} ${head}`)
  if (headerOf(answer, 'content-length') === undefined) throw new Error(`an error without Content-Length: ${what}`)
  if (method !== 'HEAD' && !isErrorBody(text)) throw new Error(`an error that is not of the spec's form: ${what}`)
}

const tellsOfTheInside = (text: string, secret: string): boolean =>
  text.includes(secret) || /node_modules|\\n {4}at |\.[jt]s:\d+/.test(text)

interface ErrorEntry {
  code?: unknown
  message?: unknown
}

/** spec, "Error Codes": `{"errors":[{"code","message","detail"}]}`, `detail` as one likes. */
function isErrorBody(text: string): boolean {
  try {
    const { errors, ...more } = JSON.parse(text) as { errors: ErrorEntry[] }
    const fit = ({ code, message }: ErrorEntry) => /^[A-Z_]+$/.test(String(code)) && typeof message === 'string'
    return errors.length > 0 && errors.every(fit) && Object.keys(more).length === 0
  } catch {
    return false
  }
}
