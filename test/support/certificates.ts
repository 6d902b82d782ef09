import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Certificate {
  certFile: string
  keyFile: string
  cert: Buffer
  key: Buffer
}

export interface Authority {
  caFile: string
  ca: Buffer
  /**
   * For this common name: for use by clients, and by servers at 127.0.0.1 and under the name of the documents.
   *
   * @param extensions more of them, as openssl has them in its files (x509v3_config(5))
   */
  issue(commonName: string, days?: number, extensions?: readonly string[]): Certificate
}

const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' })

/**
 * An issuer of certificates, with its files below `folder`. It needs the program openssl.
 *
 * @param given a certificate to sign with, also one that does not allow it; default: a new one of an authority
 */
export function createAuthority(folder: string, given?: { certFile: string; keyFile: string }): Authority {
  mkdirSync(folder, { recursive: true })
  const at = (name: string) => join(folder, name)
  const [caFile, caKey] = given ? [given.certFile, given.keyFile] : [at('ca.pem'), at('ca.key')]
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const self = ['-keyout', caKey, '-out', caFile, '-days', '2', '-subj', '/CN=test authority']
  if (!given) openssl('req', '-x509', ...newKey, ...self)
  let issued = 0
  return {
    caFile,
    ca: readFileSync(caFile),
    issue(commonName, days = 1, extensions = []) {
      const id = `${++issued}`
      const [certFile, keyFile, request] = [at(`${id}.pem`), at(`${id}.key`), at(`${id}.csr`)]
      const names = 'subjectAltName=DNS:localhost,DNS:registry.example.com,IP:127.0.0.1'
      writeFileSync(at('extensions'), [names, ...extensions, ''].join('\n'))
      openssl('req', ...newKey, '-keyout', keyFile, '-out', request, '-subj', `/CN=${commonName}`)
      const sign = [
        '-CA',
        caFile,
        '-CAkey',
        caKey,
        '-CAcreateserial',
        '-days',
        String(days),
        '-extfile',
        at('extensions')
      ]
      openssl('x509', '-req', '-in', request, '-out', certFile, ...sign)
      return { certFile, keyFile, cert: readFileSync(certFile), key: readFileSync(keyFile) }
    }
  }
}
