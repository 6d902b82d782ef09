import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, type Program, startProgram } from '../reliability/program.ts'
import type { Scratch } from '../reliability/scratch.ts'

/** A load balancer on loopback; each answer says in `x-replica` who gave it. */
export interface Balancer extends Program {
  readonly url: string
}

/** Starts nginx before servers on these ports: they get requests in turns, as they come and without a buffer. */
export async function startBalancer({ folder }: Scratch, ports: readonly number[]): Promise<Balancer> {
  const place = await mkdtemp(join(folder, 'nginx-'))
  const port = await freePort()
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${name};`)
  const configuration = join(place, 'nginx.conf')
  await writeFile(
    configuration,
    `daemon off; ${process.getuid?.() === 0 ? 'user root;' : ''} pid pid; error_log error.log error;
    events { worker_connections 4096; }
    http {
      access_log off; ${temporary.join(' ')}
      upstream replicas { ${ports.map(number => `server 127.0.0.1:${number} max_fails=0;`).join(' ')} }
      server {
        listen 127.0.0.1:${port};
        client_max_body_size 0;
        location / {
          proxy_pass http://replicas;
          proxy_http_version 1.1;
          proxy_set_header Host $http_host;
          proxy_request_buffering off;
          proxy_buffering off;
          proxy_read_timeout 120s;
          add_header X-Replica $upstream_addr always;
        }
      }
    }`
  )
  const url = `http://127.0.0.1:${port}`
  const running = await startProgram({
    program: 'nginx',
    args: ['-p', place, '-e', 'error.log', '-c', configuration],
    log: join(folder, 'nginx.log'),
    ready: async () => (await fetch(`${url}/v2/`)).status === 200
  })
  return { ...running, url }
}
