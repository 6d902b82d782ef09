import type { X509Certificate } from 'node:crypto'

/** What RFC 5280 has a certificate say of the chains that it may be in, and node:crypto does not tell. */
export interface Constraints {
  /** How many certificates of authorities may stand between it and the signer's (section 4.2.1.9). */
  depth: number
  /** Whether all that it calls critical is understood: it must not be used otherwise (section 4.2). */
  understood: boolean
}

const BASIC_CONSTRAINTS = '551d13'

/**
 * What is heeded here or by OpenSSL (basicConstraints, keyUsage), or says nothing of who may issue what: the subject's
 * other names, policies, and the extended key usage, which knows no tokens. Name constraints are not among them.
 */
const UNDERSTOOD = [BASIC_CONSTRAINTS, '551d0f', '551d11', '551d20', '551d25']

const TAG = { boolean: 0x01, integer: 0x02, octets: 0x04, extensions: 0xa3 }

/** Throws where it can't be read. OpenSSL has read it before, which leaves little to check. */
export function constraintsOf({ raw }: X509Certificate): Constraints {
  const constraints = { depth: Number.POSITIVE_INFINITY, understood: true }
  for (const extension of extensionsIn(raw)) {
    const [id, ...rest] = valuesIn(extension)
    const name = id!.content.toString('hex')
    const critical = rest.some(({ tag, content }) => tag === TAG.boolean && content[0] !== 0)
    if (critical && !UNDERSTOOD.includes(name)) constraints.understood = false
    if (name !== BASIC_CONSTRAINTS) continue
    const [{ content }] = valuesIn(rest.find(({ tag }) => tag === TAG.octets)!.content) as [Value]
    const depth = valuesIn(content).find(({ tag }) => tag === TAG.integer)
    if (depth) constraints.depth = Number(`0x${depth.content.toString('hex')}`)
  }
  return constraints
}

/** Certificate → TBSCertificate → its part that holds a sequence of extensions (section 4.1). */
function extensionsIn(raw: Buffer): Buffer[] {
  const [tbs] = valuesIn(valuesIn(raw)[0]!.content)
  const part = valuesIn(tbs!.content).find(({ tag }) => tag === TAG.extensions)
  return part ? valuesIn(valuesIn(part.content)[0]!.content).map(({ content }) => content) : []
}

interface Value {
  tag: number
  content: Buffer
}

/** The values that stand in these bytes one after the other (DER, X.690 section 8.1). */
function valuesIn(der: Buffer): Value[] {
  const values: Value[] = []
  for (let at = 0; at < der.length; ) {
    const [tag, first] = [der.readUInt8(at), der.readUInt8(at + 1)]
    const begin = at + 2 + (first < 0x80 ? 0 : first - 0x80)
    const length = first < 0x80 ? first : der.readUIntBE(at + 2, first - 0x80)
    if (begin + length > der.length) throw new RangeError('a value is longer than what it is in')
    values.push({ tag, content: der.subarray(begin, begin + length) })
    at = begin + length
  }
  return values
}
