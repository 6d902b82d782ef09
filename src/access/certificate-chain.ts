import { type KeyObject, X509Certificate } from 'node:crypto'

/** Certificates in one token; issuers send two or three. */
const LONGEST = 8

/**
 * The public key of a chain of certificates as tokens carry it (`x5c`, RFC 7515 section 4.1.6: the signer's first, each
 * followed by its issuer's). Undefined unless it leads to one of the roots and all of it is valid now.
 *
 * @param chain as it stands in the header, unchecked
 * @param now ms since 1970
 */
export function keyOfChain(chain: unknown, roots: readonly X509Certificate[], now: number): KeyObject | undefined {
  const certificates = parseChain(chain)
  const [signer] = certificates ?? []
  if (!certificates || !signer || !certificates.every(certificate => isValidAt(certificate, now))) return undefined
  for (const [index, certificate] of certificates.entries()) {
    if (roots.some(root => isValidAt(root, now) && (isSame(root, certificate) || isIssuedBy(certificate, root)))) {
      return signer.publicKey
    }
    const issuer = certificates[index + 1]
    if (!issuer || !isIssuedBy(certificate, issuer)) return undefined
  }
  return undefined
}

function parseChain(chain: unknown): X509Certificate[] | undefined {
  if (!Array.isArray(chain) || chain.length > LONGEST) return undefined
  try {
    return chain.map(text => new X509Certificate(Buffer.from(String(text), 'base64')))
  } catch {
    return undefined
  }
}

const isSame = (a: X509Certificate, b: X509Certificate): boolean => a.raw.equals(b.raw)

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
}

function isValidAt({ validFrom, validTo }: X509Certificate, now: number): boolean {
  return Date.parse(validFrom) <= now && now <= Date.parse(validTo)
}
