import { type KeyObject, X509Certificate } from 'node:crypto'
import { constraintsOf } from './certificate-constraints.ts'

/** Certificates in one token; issuers send two or three. */
const LONGEST = 8

/**
 * The public key of a chain of certificates as tokens carry it (`x5c`, RFC 7515 section 4.1.6: the signer's first, each
 * followed by its issuer's). Undefined unless it leads to one of the roots and all of it is valid now (RFC 5280 section 6).
 *
 * @param chain as it stands in the header, unchecked
 * @param now ms since 1970
 */
export function keyOfChain(chain: unknown, roots: readonly X509Certificate[], now: number): KeyObject | undefined {
  if (!Array.isArray(chain) || chain.length > LONGEST) return undefined
  try {
    const certificates = chain.map(text => new X509Certificate(Buffer.from(String(text), 'base64')))
    return leadsToOne(certificates, roots, now) ? certificates[0]!.publicKey : undefined
  } catch {
    // It is no certificate, or has no key that could be one.
    return undefined
  }
}

function leadsToOne(chain: readonly X509Certificate[], roots: readonly X509Certificate[], now: number): boolean {
  if (!chain.every(certificate => isUsableAt(certificate, now))) return false
  const usable = roots.filter(root => isUsableAt(root, now))
  for (const [index, certificate] of chain.entries()) {
    const path = chain.slice(0, index + 1)
    if (usable.some(root => isSame(root, certificate) || mayIssue(root, path))) return true
    const issuer = chain[index + 1]
    if (!issuer || !mayIssue(issuer, path)) return false
  }
  return false
}

const isSame = (a: X509Certificate, b: X509Certificate): boolean => a.raw.equals(b.raw)

/**
 * Whether an issuer has signed the last one of a path that begins with the signer's, and may stand above so many.
 * `ca` and `checkIssued` look at basicConstraints, keyUsage and names.
 */
function mayIssue(issuer: X509Certificate, path: readonly X509Certificate[]): boolean {
  const certificate = path.at(-1)!
  // An authority that certifies a new key of its own does not count (section 4.2.1.9).
  const between = path.slice(1).filter(({ subject, issuer }) => subject !== issuer).length
  return (
    issuer.ca &&
    certificate.checkIssued(issuer) &&
    certificate.verify(issuer.publicKey) &&
    between <= constraintsOf(issuer).depth
  )
}

function isUsableAt(certificate: X509Certificate, now: number): boolean {
  const { validFrom, validTo } = certificate
  return Date.parse(validFrom) <= now && now <= Date.parse(validTo) && constraintsOf(certificate).understood
}
