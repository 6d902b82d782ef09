import { digestOf } from './images.ts'

const digest = digestOf(Buffer.from('x'))
const session = '0b0e5e0f-0000-4000-8000-000000000000'

export interface EndpointOf {
  endpoint: string
  /** Its path for a repository's name as that stands in a URL. */
  path: (name: string) => string
  methods: readonly string[]
}

/** The spec's "Endpoints" that have a repository's name in their path. */
export const endpoints: readonly EndpointOf[] = [
  { endpoint: 'blob', path: name => `/v2/${name}/blobs/${digest}`, methods: ['GET', 'HEAD', 'DELETE'] },
  { endpoint: 'uploads', path: name => `/v2/${name}/blobs/uploads/`, methods: ['POST'] },
  {
    endpoint: 'upload',
    path: name => `/v2/${name}/blobs/uploads/${session}?digest=${digest}`,
    methods: ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE']
  },
  { endpoint: 'manifest', path: name => `/v2/${name}/manifests/v1`, methods: ['GET', 'HEAD', 'PUT', 'DELETE'] },
  { endpoint: 'tags', path: name => `/v2/${name}/tags/list`, methods: ['GET', 'HEAD'] },
  { endpoint: 'referrers', path: name => `/v2/${name}/referrers/${digest}`, methods: ['GET', 'HEAD'] }
]
