import assert from 'node:assert/strict'

type What = [] | [what: string]

/** What a case claims. Each throws an AssertionError where it does not hold. */
export interface Claims {
  ok(found: unknown, ...what: What): void
  equal(found: unknown, wanted: unknown, ...what: What): void
  /** Equal in all their parts. */
  same(found: unknown, wanted: unknown, ...what: What): void
  /** An object that has these parts and may have others. */
  match(found: unknown, parts: object, ...what: What): void
  /** That it fails, and with this very error. */
  rejects(call: Promise<unknown>, error: Error): Promise<unknown>
}

export const claims: Claims = {
  ok: (found, ...what) => assert.ok(found, ...what),
  equal: (found, wanted, ...what) => assert.equal(found, wanted, ...what),
  same: (found, wanted, ...what) => assert.deepEqual(found, wanted, ...what),
  match: (found, parts, ...what) => {
    assert.ok(typeof found === 'object' && found !== null, ...what)
    const of = found as Record<string, unknown>
    assert.deepEqual(Object.fromEntries(Object.keys(parts).map(part => [part, of[part]])), parts, ...what)
  },
  rejects: (call, error) => assert.rejects(call, found => found === error)
}
