import { X509Certificate } from 'node:crypto'
import type { Server } from 'node:https'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { readTls, type TlsSettings } from '../src/config/tls.ts'
import { watch } from '../src/watched.ts'

export interface TlsOptions {
  tls: TlsSettings
  /** Told when the certificate ends, in ms since 1970: at the start and with each new one. */
  endsAt?: ((ms: number) => void) | undefined
  /** ms since 1970. */
  now?: (() => number) | undefined
}

/**
 * Takes up a renewed certificate for the connections that are opened from then on; those that are open stay as they are.
 * While only one of two files has been replaced, the old ones are used. A certificate that clients will refuse for its dates
 * is served all the same, with a warning.
 */
export default fp<TlsOptions>(
  async (app: FastifyInstance, { tls, endsAt, now = Date.now }) => {
    const { certFile, keyFile, clientCaFile } = tls
    const look = ({ cert }: ReturnType<typeof readTls>): void => {
      const { validFrom, validTo } = new X509Certificate(cert)
      endsAt?.(Date.parse(validTo))
      const where = `TLS_CERT_FILE is ${JSON.stringify(certFile)}, and its certificate`
      if (Date.parse(validTo) < now()) app.log.warn(`${where} ended at ${validTo}: clients refuse it; renew it`)
      else if (Date.parse(validFrom) > now()) {
        app.log.warn(
          `${where} is valid from ${validFrom} on: clients refuse it until then; see the clock of this machine`
        )
      }
    }
    const files = watch({
      name: 'TLS_CERT_FILE',
      paths: [certFile, keyFile, ...(clientCaFile === undefined ? [] : [clientCaFile])],
      load: () => readTls(tls),
      changed: context => {
        ;(app.server as Server).setSecureContext(context)
        look(context)
      },
      log: app.log
    })
    look(files.value())
    app.addHook('onClose', async () => files.close())
  },
  { name: 'tls', fastify: '5.x' }
)
