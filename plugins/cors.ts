import fastifyCors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

export interface CorsOptions {
  /** Origins as browsers write them, or `*` alone. */
  origins: readonly string[]
  /** Whether browsers may send the logins that they keep. Default false. */
  credentials?: boolean
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']
/** What a client in a browser needs to read, beyond what every page may. */
const EXPOSED = [
  'Content-Length',
  'Content-Range',
  'Docker-Content-Digest',
  'Docker-Upload-UUID',
  'ETag',
  'Link',
  'Location',
  'OCI-Filters-Applied',
  'OCI-Subject',
  'OCI-Tag',
  'Range',
  'WWW-Authenticate',
  'Warning',
  'X-Request-Id'
]

/** Lets pages of other origins use the API. Their browsers ask first and without credentials: it comes before access control. */
async function cors(app: FastifyInstance, { origins, credentials = false }: CorsOptions): Promise<void> {
  // Any page could use the logins of those who visit it.
  if (credentials && origins.includes('*')) {
    throw new TypeError('corsCredentials is true and corsOrigins has "*"; allowed: the origins of pages that you trust')
  }
  await app.register(fastifyCors, {
    origin: origins.includes('*') ? '*' : [...origins],
    credentials,
    methods: METHODS,
    exposedHeaders: EXPOSED,
    maxAge: 600
  })
}

export default fp(cors, { name: 'cors', fastify: '5.x' })
