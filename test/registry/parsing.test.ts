import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { algorithmOf, digestBytes, digestChunks, parseAlgorithm, parseDigest } from '../../src/registry/digest.ts'
import { RegistryError } from '../../src/registry/errors.ts'
import { parseReference, parseRepository, parseTag } from '../../src/registry/names.ts'

/** What a parser throws, or undefined. */
function kindOf(parse: () => unknown): string | undefined {
  try {
    parse()
    return undefined
  } catch (error) {
    if (error instanceof RegistryError) return error.kind
    throw error
  }
}

const HEX = { sha256: 64, sha512: 128 }
const algorithm = fc.constantFrom('sha256' as const, 'sha512' as const)
const hexOf = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`))
const digest = algorithm.chain(name => hexOf(HEX[name]).map(hex => `${name}:${hex}`))

t.test('digests', async t => {
  const hex = 'a'.repeat(64)
  for (const bad of [
    '',
    ':',
    hex,
    'sha256',
    'sha256:',
    `:${hex}`,
    `sha256:${hex}a`,
    `sha256:${hex.slice(1)}`,
    `sha256:${hex.slice(1)}A`,
    `sha256:${hex.slice(1)}g`,
    `sha256:${hex.slice(1)}\n`,
    `sha256:${hex}\n`,
    ` sha256:${hex}`,
    `sha512:${hex}`,
    `sha256:${hex}${hex}`,
    `SHA256:${hex}`,
    `sha384:${'a'.repeat(96)}`,
    `sha256+b64:${hex}`,
    `__proto__:${hex}`,
    `sha256:${hex}:`,
    `sha256:${'../'.repeat(21)}a`
  ]) {
    t.equal(
      kindOf(() => parseDigest(bad)),
      'digest-invalid',
      JSON.stringify(bad)
    )
  }
  fc.assert(
    fc.property(digest, text => parseDigest(text) === text && text.startsWith(`${algorithmOf(parseDigest(text))}:`))
  )
  fc.assert(
    fc.property(fc.string(), text => kindOf(() => parseDigest(text)) === 'digest-invalid'),
    { numRuns: 500 }
  )
  fc.assert(
    fc.property(digest, fc.nat(150), fc.string({ minLength: 1, maxLength: 2 }), (text, at, more) => {
      const changed = text.slice(0, at) + more + text.slice(at)
      return kindOf(() => parseDigest(changed)) === 'digest-invalid'
    })
  )
  t.equal(
    kindOf(() => parseAlgorithm('sha1')),
    'digest-invalid'
  )
  t.equal(parseAlgorithm('sha512'), 'sha512')
})

t.test('the digest of bytes, however they come', async t => {
  const parts = fc.array(fc.uint8Array({ maxLength: 50 }))
  await fc.assert(
    fc.asyncProperty(parts, algorithm, async (chunks, name) => {
      const whole = Buffer.concat(chunks)
      const wanted = `${name}:${createHash(name).update(whole).digest('hex')}`
      async function* each() {
        yield* chunks
      }
      return digestBytes(whole, name) === wanted && (await digestChunks(each(), name)) === wanted
    })
  )
  t.equal(digestBytes(Buffer.alloc(0)), 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
})

// The spec's grammar, written another way: components of words that single separators join.
const word = fc.stringMatching(/^[a-z0-9]{1,4}$/)
const separator = fc.oneof(fc.constantFrom('.', '_', '__'), fc.stringMatching(/^-{1,3}$/))
const component = fc
  .tuple(word, fc.array(fc.tuple(separator, word), { maxLength: 3 }))
  .map(([first, rest]) => first + rest.flat().join(''))
const repository = fc
  .array(component, { minLength: 1, maxLength: 6 })
  .map(parts => parts.join('/'))
  .filter(name => name.length <= 255)

t.test('names of repositories', async t => {
  fc.assert(fc.property(repository, name => parseRepository(name) === name))
  fc.assert(
    fc.property(
      repository,
      fc.nat(),
      fc.constantFrom('A', '//', '..', '._', '___', '%', '\\', ' ', '\n', '\0', ':', 'é', '-/', '/.'),
      (name, at, bad) => {
        const spot = at % (name.length + 1)
        return kindOf(() => parseRepository(name.slice(0, spot) + bad + name.slice(spot))) === 'name-invalid'
      }
    )
  )
  const alike = fc.stringMatching(/^[a-z0-9._/-]{0,12}$/)
  fc.assert(
    fc.property(alike, name => {
      const parts = name.split('/')
      const good = parts.every(part => part.split(/\.|__|_|-+/).every(word => /^[a-z0-9]+$/.test(word)))
      return (kindOf(() => parseRepository(name)) === undefined) === good
    }),
    { numRuns: 2000 }
  )
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), name => {
      const kind = kindOf(() => parseRepository(name))
      return kind === 'name-invalid' || /^[a-z0-9._/-]+$/.test(name)
    })
  )
  t.equal(parseRepository('x'.repeat(255)).length, 255)
  t.equal(
    kindOf(() => parseRepository('x'.repeat(256))),
    'name-invalid'
  )
  const slow = `${'a-'.repeat(100_000)}!`
  t.equal(
    kindOf(() => parseRepository(slow)),
    'name-invalid',
    'a long one costs nothing'
  )
  t.equal(
    kindOf(() => parseRepository(`${'a'.repeat(250)}!`)),
    'name-invalid'
  )
})

t.test('tags and references', async t => {
  const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/)
  fc.assert(fc.property(tag, text => parseTag(text) === text && parseReference(text).tag === text))
  fc.assert(fc.property(digest, text => parseReference(text).digest === text))
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      const kind = kindOf(() => parseReference(text))
      if (kind === undefined) return /^\w[\w.-]{0,127}$/.test(text)
      return kind === (text.includes(':') ? 'digest-invalid' : 'tag-invalid')
    })
  )
  for (const bad of ['', '.a', '-a', 'a b', 'a/b', 'a\n', 'a\0', 'ä', '../a', 'x'.repeat(129), 'a+b', 'a@b']) {
    t.equal(
      kindOf(() => parseTag(bad)),
      'tag-invalid',
      JSON.stringify(bad)
    )
  }
  t.equal(parseTag('x'.repeat(128)).length, 128)
})
