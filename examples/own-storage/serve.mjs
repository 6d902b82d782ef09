// A registry over the driver, in an app of one's own: `node serve.mjs`.
import Fastify from 'fastify'
import marina from 'marina-distribution'
import { openMapDriver } from './map-driver.mjs'

const app = Fastify()
await app.register(marina, { storage: openMapDriver() })
console.log(await app.listen({ port: Number(process.env.PORT ?? 5000) }))
