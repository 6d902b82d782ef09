import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import type { Algorithm } from '../../src/registry/digest.ts'
import { hashInThread } from '../../src/registry/hash-threads.ts'
import { createStreamHash } from '../../src/registry/stream-hash.ts'

const MIB = 2 ** 20

function shared(bytes: Uint8Array): Buffer {
  const buffer = Buffer.from(new SharedArrayBuffer(bytes.length))
  buffer.set(bytes)
  return buffer
}

t.test('a digest is the same wherever it is made', async t => {
  const bytes = randomBytes(3 * MIB + 5)
  for (const algorithm of ['sha256', 'sha512'] satisfies Algorithm[]) {
    const expected = `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
    for (const first of [1, MIB]) {
      for (const memory of [shared, (plain: Uint8Array) => plain]) {
        const hash = createStreamHash(algorithm)
        const early = hash.update(memory(bytes.subarray(0, first)))
        t.equal(early !== undefined, first === MIB && memory === shared, 'large shared pieces go to a thread')
        await early
        await hash.update(memory(bytes.subarray(first, 2 * MIB)))
        await hash.update(bytes.subarray(2 * MIB))
        t.equal(await hash.digest(), expected)
      }
    }
    t.equal(await createStreamHash(algorithm).digest(), `${algorithm}:${createHash(algorithm).digest('hex')}`)
  }
})

t.test('bytes may be written over once they are hashed, and hashes do not mix', async t => {
  const hashes = Array.from({ length: 8 }, (_, index) => {
    const plain = createHash('sha256')
    return { hash: createStreamHash('sha256'), plain, buffer: shared(Buffer.alloc(MIB, index)) }
  })
  const work = hashes.map(async ({ hash, plain, buffer }) => {
    for (let round = 0; round < 10; round++) {
      buffer.fill(randomBytes(64))
      plain.update(buffer)
      await hash.update(buffer)
    }
    return (await hash.digest()) === `sha256:${plain.digest('hex')}`
  })
  createStreamHash('sha256').drop()
  t.strictSame(await Promise.all(work), Array(8).fill(true))
})

t.test('a thread that breaks off loses its digests, and no more', async t => {
  const broken = hashInThread('nonsense' as Algorithm)
  await broken.update(shared(Buffer.from('x')))
  t.equal(await broken.digest(), undefined)
  const next = hashInThread('sha256')
  await next.update(shared(Buffer.from('x')))
  t.equal(await next.digest(), createHash('sha256').update('x').digest('hex'))
})
