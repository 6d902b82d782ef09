import type { Test } from 'tap'
import type { Answer } from './client.ts'

/** The spec's "Error Codes". */
const CODES = [
  'BLOB_UNKNOWN',
  'BLOB_UPLOAD_INVALID',
  'BLOB_UPLOAD_UNKNOWN',
  'DIGEST_INVALID',
  'MANIFEST_BLOB_UNKNOWN',
  'MANIFEST_INVALID',
  'MANIFEST_UNKNOWN',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'SIZE_INVALID',
  'UNAUTHORIZED',
  'DENIED',
  'UNSUPPORTED',
  'TOOMANYREQUESTS'
]

interface Entry {
  code: string
  message: string
  detail?: Record<string, unknown>
}

/**
 * Checks a refusal: its status, and a body that every client can read (spec, "Error Codes"). Returns its entries; none
 * where there is no body because the request was a HEAD.
 */
export function refused(t: Test, answer: Answer, status: number, code: string, what: string, method = 'GET'): Entry[] {
  const { 'content-type': type, 'content-length': length } = answer.headers
  const text = answer.body.toString()
  if (method === 'HEAD') {
    t.strictSame([answer.status, type, text], [status, 'application/json', ''], what)
    return []
  }
  const { errors } = JSON.parse(text) as { errors: Entry[] }
  const codes = [...new Set(errors.map(error => error.code))]
  const legible = errors.every(error => typeof error.message === 'string') && CODES.includes(code)
  const inside = /<html|\bat .*\.[jt]s\b|node_modules|repositories\//i.exec(text)?.[0]
  // As one check: they are made by the thousand.
  t.strictSame(
    { status: answer.status, type, length, codes, legible, inside },
    {
      status,
      type: 'application/json',
      length: `${answer.body.length}`,
      codes: [code],
      legible: true,
      inside: undefined
    },
    what
  )
  return errors
}

/** Checks an answer's body, byte for byte, and what is said about it. */
export function holds(t: Test, answer: Answer, bytes: Buffer, digest: string, what: string): void {
  told(t, answer, 200, { 'content-length': String(bytes.length), 'docker-content-digest': digest }, what)
  t.ok(answer.body.equals(bytes), `${what}: the bytes that were pushed`)
}

/** Checks an answer's status and some of its headers; `undefined` is a header that must not be there. */
export function told(
  t: Test,
  answer: Answer,
  status: number,
  headers: Record<string, string | undefined>,
  what: string
): void {
  const got = Object.fromEntries(Object.keys(headers).map(name => [name, answer.headers[name]]))
  t.strictSame({ status: answer.status, ...got }, { status, ...headers }, what)
}
