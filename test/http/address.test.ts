import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { addressOf } from '../../src/http/address.ts'

t.test('a client is one address, in whatever form it comes', async t => {
  for (const [ip, address] of [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:0:1::7', '2001:db8:0:1::'],
    ['2001:DB8:0:1:ffff:ffff:ffff:ffff', '2001:db8:0:1::'],
    ['2001:db8:0:2::7', '2001:db8:0:2::'],
    ['::1', '::'],
    [undefined, '']
  ] as const) {
    for (let round = 0; round < 2; round++) t.equal(addressOf({ ip } as FastifyRequest), address, String(ip))
  }
})
