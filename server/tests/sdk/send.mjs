// Sends one of everything with the unmodified Node SDK, and writes down what it was told to send.
//
//   node send.mjs HOST WRITE_KEY FILE
//
// FILE gets one JSON line for each call: its case, and the members that the event must have.

import { writeFileSync } from 'node:fs'
import { Analytics } from '@segment/analytics-node'

const [host, writeKey, file] = process.argv.slice(2)
const analytics = new Analytics({ writeKey, host })
let failures = 0
analytics.on('error', (error) => {
  failures += 1
  console.error('the SDK reports', error)
})

const lines = []
const call = (type, members) => {
  const body = members.properties ?? members.traits
  lines.push(JSON.stringify({ case: body?.case ?? `node/${type}`, members: { type, ...members } }))
  analytics[type](members)
}

const userId = 'kundin/ä:1 %?node'
const anonymousId = 'anon-node-1'
const who = { userId, anonymousId }

const many = Object.fromEntries(Array.from({ length: 600 }, (_, n) => [`key_${n}`, n % 7 ? `value ${n}` : n]))
const nested = {
  level: { level: { level: { list: [1, [2, [3, { deep: null }]], {}], empty: {} } } },
  products: [
    { sku: 'A-1', price: 12.9, tags: [] },
    { sku: 'B-2', price: 0, tags: ['x', 'ÿ'] },
  ],
}
const odd = {
  'dotted.key.name': 1,
  $dollar: '$',
  1: 'looks like a number',
  '': 'empty name',
  'sp ace': ' kept ',
  '名前': '佐藤 美咲',
  '__proto__x': true,
}
const values = {
  nothing: null,
  empty_object: {},
  empty_list: [],
  empty_text: '',
  yes: true,
  no: false,
  integer: 9007199254740991,
  negative: -42,
  fraction: 0.1,
  small: 1e-7,
  large: 1.7976931348623157e308,
  minus_zero: 0,
  date: new Date('2026-01-02T03:04:05.678Z'),
  like_a_date: '2026-01-02',
  unicode: 'Zoë 👩‍👩‍👧 مرحبا \u2028 \u0301 \\ " / <b>',
  controls: 'tab\t newline\n bell\u0007',
}

call('identify', {
  anonymousId,
  timestamp: new Date('2026-03-01T10:00:00.000Z'),
  traits: { case: 'node/identify/anonymous', newsletter: true, plan: 'none', will_be_removed: 'soon' },
})
call('identify', {
  ...who,
  timestamp: new Date('2026-03-01T11:00:00.000Z'),
  traits: { case: 'node/identify/everything', email: '  Ada.NODE@Example.COM ', plan: 'free', ...values, ...odd, ...nested },
})
call('identify', {
  ...who,
  timestamp: new Date('2026-03-01T12:00:00.000Z'),
  traits: { case: 'node/identify/newer', plan: 'pro', will_be_removed: null },
})
call('identify', {
  ...who,
  timestamp: new Date('2026-03-01T10:30:00.000Z'),
  traits: { case: 'node/identify/late', plan: 'older and loses', seen_late: true },
})
call('identify', {
  ...who,
  timestamp: new Date('2026-03-01T13:00:00.000Z'),
  traits: { case: 'node/identify/600', ...many },
})
call('track', { ...who, event: 'Values', properties: { case: 'node/track/values', ...values } })
call('track', { ...who, event: 'Names', properties: { case: 'node/track/names', ...odd } })
call('track', { ...who, event: 'Nested', properties: { case: 'node/track/nested', ...nested } })
call('track', { ...who, event: 'Many', properties: { case: 'node/track/600', ...many } })
call('track', {
  ...who,
  event: 'Half an emoji \ud83d',
  properties: { case: 'node/track/surrogates', half: '\ud83d', other_half: 'a\ude00b', nul: 'a\u0000b', 'name \udc00': 1 },
})
call('track', {
  ...who,
  event: 'With context',
  timestamp: new Date('2026-03-01T09:00:00.123Z'),
  properties: { case: 'node/track/context' },
  context: {
    ip: '203.0.113.7',
    locale: 'de-CH',
    campaign: { name: 'Frühling', source: 'newsletter' },
    traits: { email: 'second.node@example.com', logins: 3 },
    custom: { nested: [null, {}] },
  },
  integrations: { All: false, Webhook: { option: [1] } },
})
call('track', {
  ...who,
  event: 'From the future',
  timestamp: new Date('2100-01-01T00:00:00.000Z'),
  properties: { case: 'node/track/future' },
})
call('track', { anonymousId, event: 'Anonymous', properties: { case: 'node/track/anonymous' } })
call('page', {
  ...who,
  category: 'Docs',
  name: 'Startseite',
  properties: { case: 'node/page', url: 'https://shop.example/ä?q=1', ...nested },
})
call('screen', { ...who, category: 'App', name: 'Warenkorb', properties: { case: 'node/screen', items: 3 } })
call('group', {
  ...who,
  groupId: 'grp_node',
  traits: { case: 'node/group', name: 'Acme GmbH', email: 'office@acme.example', employees: 140, plan: 'account' },
})
call('alias', { userId, previousId: anonymousId })

await analytics.closeAndFlush({ timeout: 30000 })
writeFileSync(file, lines.join('\n') + '\n')
process.exit(failures ? 1 : 0)
