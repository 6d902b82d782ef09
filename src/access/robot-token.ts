import { createHash, randomInt } from 'node:crypto'

const LETTERS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** What secret scanners find a leaked token by; the checksum then tells it from other text. */
const PREFIX = 'marina_'
/** 214 bits: nobody guesses it, so it needs no slow hash. */
const SECRET_LENGTH = 36
const CHECKSUM_LENGTH = 6

const FORM = new RegExp(`^${PREFIX}[0-9A-Za-z]{${SECRET_LENGTH + CHECKSUM_LENGTH}}$`)

/** A new token: `marina_`, 36 random letters and digits, and a checksum of 6. */
export function makeToken(): string {
  const secret = Array.from({ length: SECRET_LENGTH }, () => LETTERS[randomInt(LETTERS.length)]).join('')
  return PREFIX + secret + checksumOf(PREFIX + secret)
}

/** Whether a text is spelled as a token is. That it is one, the store alone knows. */
export function isToken(text: string): boolean {
  if (!FORM.test(text)) return false
  return checksumOf(text.slice(0, -CHECKSUM_LENGTH)) === text.slice(-CHECKSUM_LENGTH)
}

/** What the store keeps of a token. */
export const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex')

/** The first 4 bytes of the SHA-256 as a number in base 62, which has 6 digits. */
function checksumOf(text: string): string {
  let rest = createHash('sha256').update(text).digest().readUInt32BE()
  let digits = ''
  for (let index = 0; index < CHECKSUM_LENGTH; index++) {
    digits = LETTERS[rest % LETTERS.length] + digits
    rest = Math.floor(rest / LETTERS.length)
  }
  return digits
}
