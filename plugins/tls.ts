import type { Server } from 'node:https'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { readTls, type TlsSettings } from '../src/config/tls.ts'
import { watch } from '../src/watched.ts'

/**
 * Takes up a renewed certificate for the connections that are opened from then on; those that are open stay as they are.
 * While only one of two files has been replaced, the old ones are used.
 */
export default fp<{ tls: TlsSettings }>(
  async (app: FastifyInstance, { tls }) => {
    const { certFile, keyFile, clientCaFile } = tls
    const files = watch({
      name: 'TLS_CERT_FILE',
      paths: [certFile, keyFile, ...(clientCaFile === undefined ? [] : [clientCaFile])],
      load: () => readTls(tls),
      changed: context => (app.server as Server).setSecureContext(context),
      log: app.log
    })
    app.addHook('onClose', async () => files.close())
  },
  { name: 'tls', fastify: '5.x' }
)
