import assert from 'node:assert/strict'

/** Shorter ones stand in any text by chance. */
const SHORTEST = 6

const kept = new Set<string>()

/** From here on, no line of any test's log may have these in it. */
export function keepSecret(...secrets: string[]): void {
  for (const secret of secrets) if (secret.length >= SHORTEST) kept.add(secret)
}

/** What logs must not have in them besides: hashes of passwords, and the signature of a presigned URL. */
const NEVER = /\$2[aby]\$\d\d\$|X-Amz-(?:Signature|Credential|Security-Token)=/i

/** A log that looks through all that is written to it for secrets. */
export function createSecretiveLog(onLine?: (line: Record<string, unknown>) => void) {
  const lines: string[] = []
  return {
    write: (line: string): void => {
      lines.push(line)
      onLine?.(JSON.parse(line))
    },
    /** Throws where a line has a secret in it. */
    assertSecretive: (): void => {
      const text = lines.join('')
      for (const secret of kept) assert.ok(!text.includes(secret), `the log has the secret ${secret} in it`)
      assert.doesNotMatch(text, NEVER)
    }
  }
}
