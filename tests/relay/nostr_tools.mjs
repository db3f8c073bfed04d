// What nostr-tools finds at a relay: `node nostr_tools.mjs WEBSOCKET_URL HTTP_URL` prints JSON.
import { webcrypto } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { finalizeEvent, generateSecretKey, getPublicKey, verifyEvent } from 'nostr-tools/pure'
import { Relay, useWebSocketImplementation } from 'nostr-tools/relay'
import { minePow } from 'nostr-tools/nip13'
import { wrapEvent, unwrapEvent } from 'nostr-tools/nip17'
import WebSocket from 'ws'

globalThis.crypto ??= webcrypto // Node.js 18 keeps it in a module
useWebSocketImplementation(WebSocket)
const [url, http] = process.argv.slice(2)
const now = () => Math.floor(Date.now() / 1000)
const [anna, boris] = [generateSecretKey(), generateSecretKey()]
const make = (key, kind, content, tags = []) =>
  finalizeEvent({ kind, content, tags, created_at: now() }, key)
const found = {}

const query = (relay, filters) =>
  new Promise((resolve) => {
    const events = []
    const subscription = relay.subscribe(filters, {
      onevent: (event) => events.push(event),
      oneose: () => { resolve(events); subscription.close() },
      onclose: (reason) => resolve(reason),
    })
  })
const reason = (promise) => promise.then((text) => text, (error) => error.message)

const relay = await Relay.connect(url)
const writer = await Relay.connect(url)

// NIP-01: publish, query, subscribe.
const note = make(anna, 1, 'ёлка\n"quoted" \\ \x7f 🛶', [['t', 'boats']])
found.published = await relay.publish(note)
const [stored] = await query(relay, [{ authors: [getPublicKey(anna)] }])
found.same = stored.id === note.id && stored.content === note.content && verifyEvent(stored)
found.live = await new Promise((resolve) => {
  const subscription = relay.subscribe([{ kinds: [20001], authors: [getPublicKey(boris)] }], {
    onevent: (event) => { resolve(event.content); subscription.close() },
    oneose: () => writer.publish(make(boris, 20001, 'live')),
  })
})
found.forged = await reason(relay.publish({ ...note, content: 'forged' }))

// NIP-45, NIP-50, NIP-13.
found.count = await relay.count([{ kinds: [1] }], {})
found.searched = (await query(relay, [{ search: 'елка' }])).length
const mined = minePow({ kind: 1, content: 'mined', tags: [], created_at: now(), pubkey: getPublicKey(anna) }, 8)
found.mined = await relay.publish(finalizeEvent(mined, anna))

// NIP-17, NIP-42, NIP-59.
const wrap = wrapEvent(anna, { publicKey: getPublicKey(boris) }, 'private')
await writer.publish(wrap)
const inbox = [{ kinds: [1059], '#p': [getPublicKey(boris)] }]
found.unknown = await query(relay, inbox)
found.auth = await reason(relay.auth(async (template) => finalizeEvent(template, boris)))
const [sealed] = await query(relay, inbox)
found.private = unwrapEvent(sealed, boris).content
found.stranger = await reason(query(writer, inbox))

// NIP-70 and NIP-09.
found.protected = await reason(writer.publish(make(boris, 1, '', [['-']])))
found.own = await relay.publish(make(boris, 1, 'own', [['-']]))
await relay.publish(make(anna, 5, '', [['e', note.id], ['k', '1']]))
found.deleted = (await query(relay, [{ ids: [note.id] }])).length
found.again = await reason(relay.publish(note))

// NIP-77, of which nostr-tools exports nothing by name yet.
const library = dirname(createRequire(import.meta.url).resolve('nostr-tools'))
const nip77 = await import(pathToFileURL(join(library, '..', 'esm', 'nip77.js')))
const storage = new nip77.NegentropyStorageVector()
const [mine, both] = [make(anna, 7, 'mine'), make(anna, 7, 'both')]
const theirs = make(anna, 7, 'theirs')
for (const event of [both, theirs]) await relay.publish(event)
for (const event of [mine, both]) storage.insert(event.created_at, event.id)
storage.seal()
const have = [], need = []
await new Promise((resolve) => {
  const sync = new nip77.NegentropySync(relay, storage, { kinds: [7] }, {
    onhave: (id) => have.push(id),
    onneed: (id) => need.push(id),
    onclose: resolve,
  })
  sync.start()
})
found.reconciled = have.join() === mine.id && need.join() === theirs.id

// NIP-11 and Blossom.
const nip11 = await import('nostr-tools/nip11')
found.nips = (await nip11.fetchRelayInformation(url)).supported_nips
const { BlossomClient } = await import('nostr-tools/nipb7')
const client = new BlossomClient(http, {
  getPublicKey: async () => getPublicKey(anna),
  signEvent: async (template) => finalizeEvent(template, anna),
})
const blob = await client.uploadBlob(new Blob([readFileSync(new URL(import.meta.url))]), 'text/javascript')
found.blob = new TextDecoder().decode(await client.download(blob.sha256)).startsWith('// What nostr-tools')
await client.delete(blob.sha256)
found.erased = await reason(client.download(blob.sha256).then(() => 'still there'))

relay.close()
writer.close()
console.log(JSON.stringify(found))
process.exit(0)
