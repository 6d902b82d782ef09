import { readFileSync } from 'node:fs'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { Reader } from './reader.ts'
import { certificateFile, keyFile, optional } from './values.ts'

/** The variables of TLS by the registry itself. */
export const tlsVariables = {
  TLS_CERT_FILE: optional(
    certificateFile({
      default: '',
      unset: 'plain HTTP',
      description:
        'Certificate to serve HTTPS with, followed by those that lead to its issuer; taken up anew when it changes.'
    })
  ),
  TLS_KEY_FILE: optional(
    keyFile({ default: '', description: 'Private key of the certificate; taken up anew when it changes.' })
  ),
  TLS_CLIENT_CA_FILE: optional(
    certificateFile({
      default: '',
      description: 'Issuers of certificates that clients may log in with: the user is the common name (CN).'
    })
  )
}

/** TLS by the registry itself: the files of its certificate and key. */
export interface TlsSettings {
  /** The certificate, and after it those that lead to its issuer. */
  certFile: string
  keyFile: string
  /** Whose certificates clients may log in with. */
  clientCaFile?: string | undefined
}

/**
 * Of TLS 1.2 the suites with forward secrecy and authenticated encryption alone (RFC 9325 section 4.2), where Node also
 * has static RSA and CBC. Of TLS 1.3 all that Node has.
 */
const CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305'
].join(':')

/** Reads the settings of TLS; undefined: plain HTTP. What is missing or does not fit together is noted as a problem. */
export function readTlsSettings({ read, isSet, problems }: Reader): TlsSettings | undefined {
  const [certFile, keyFile, clientCaFile] = [read('TLS_CERT_FILE'), read('TLS_KEY_FILE'), read('TLS_CLIENT_CA_FILE')]
  if (isSet('TLS_CERT_FILE') !== isSet('TLS_KEY_FILE')) {
    const [set, missing] = isSet('TLS_CERT_FILE') ? ['CERT', 'KEY'] : ['KEY', 'CERT']
    problems.push(`TLS_${set}_FILE is set and TLS_${missing}_FILE is not; allowed: both, or neither`)
  } else if (isSet('TLS_CLIENT_CA_FILE') && !isSet('TLS_CERT_FILE')) {
    problems.push('TLS_CLIENT_CA_FILE is set without TLS; allowed: with TLS_CERT_FILE and TLS_KEY_FILE')
  }
  if (certFile === undefined || keyFile === undefined) return undefined
  const settings = { certFile, keyFile, clientCaFile }
  try {
    readTls(settings)
  } catch (error) {
    problems.push((error as Error).message)
  }
  return settings
}

/**
 * What a TLS server needs of the files as they are now. Throws an Error with one line for the operator where they can't
 * be used: a key that is not the certificate's, for one, as while both are being replaced.
 */
export function readTls({ certFile, keyFile, clientCaFile }: TlsSettings): SecureContextOptions & { cert: Buffer } {
  const where = `TLS_KEY_FILE is ${JSON.stringify(keyFile)}`
  try {
    const context = {
      cert: readFileSync(certFile),
      key: readFileSync(keyFile),
      ...(clientCaFile !== undefined && { ca: readFileSync(clientCaFile) }),
      // Older versions are broken (RFC 8996).
      minVersion: 'TLSv1.2' as const,
      ciphers: CIPHERS
    }
    createSecureContext(context)
    return context
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException
    throw new Error(
      `${where}: it can't be used with the certificate (${code}); allowed: the key of TLS_CERT_FILE, in PEM form`
    )
  }
}
