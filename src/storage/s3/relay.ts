import type { BufferShare } from '../buffers.ts'

/** The rest of a buffer is filled while it is worth a read. */
const LEAST = 16 * 1024
const SPARE = 64 * 1024

/** Two buffers between whoever fills them and whoever takes what is in them. */
export interface Relay {
  /** Where the next bytes go. */
  target(): Buffer
  /** So many bytes were put there. */
  filled(length: number): void
  /** Bytes in memory of their own, after those that came before. */
  add(bytes: Uint8Array): void
  /** Whether there is room for more. What comes all the same takes memory besides. */
  hasRoom(): boolean
  /** The bytes that came first; undefined: there are none. What was taken before may be written over. */
  take(): Uint8Array | undefined
}

export function createRelay(share: BufferShare): Relay {
  let [filling, other] = [share.take(), share.take()]
  /** What of the one that is being filled nobody has taken yet. */
  let [begin, end] = [0, 0]
  /** What came before that. */
  const before: Uint8Array[] = []
  let taken: Uint8Array | undefined
  let spare: Buffer | undefined
  let target = filling

  const isFree = ({ buffer }: Uint8Array): boolean =>
    taken?.buffer !== buffer && before.every(bytes => bytes.buffer !== buffer)
  const hasRoom = (): boolean => end > 0 || isFree(filling)
  const handOn = (): void => {
    if (begin < end) before.push(filling.subarray(begin, end))
    begin = end
  }

  return {
    hasRoom,
    target: () => {
      if (hasRoom()) target = filling.subarray(end)
      else if (spare && isFree(spare)) target = spare
      else target = spare = Buffer.allocUnsafeSlow(SPARE)
      return target
    },
    filled: length => {
      if (target === spare) {
        before.push(spare.subarray(0, length))
        return
      }
      end += length
      if (filling.length - end >= LEAST) return
      handOn()
      ;[filling, other, begin, end] = [other, filling, 0, 0]
    },
    add: bytes => {
      handOn()
      before.push(bytes)
    },
    take: () => {
      handOn()
      taken = before.shift()
      return taken
    }
  }
}
