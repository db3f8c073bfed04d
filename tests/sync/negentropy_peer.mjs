// One side of a reconciliation by a library that is not ours, over JSON lines.
//
//   node negentropy_peer.mjs LIBRARY
//
// LIBRARY is Negentropy.js of the reference implementation, or nip77.js of nostr-tools, which only
// initiates. The first line: {"records": FILE, "limit": BYTES}; FILE holds 40 bytes a record. Then
// {"start": true} or {"frame": HEX}; the answer: {"frame": HEX or null, "have": [], "need": [],
// "seconds": of the library alone}.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const loaded = await import(pathToFileURL(process.argv[2]))
const { Negentropy, NegentropyStorageVector } = loaded.default ?? loaded
let peer
let spent = 0

async function timed(work) {
  const begun = performance.now()
  const result = await work()
  spent += (performance.now() - begun) / 1000
  return result
}

function load({ records, limit }) {
  const data = readFileSync(records)
  const items = []
  for (let at = 0; at < data.length; at += 40) {
    items.push([Number(data.readBigUInt64BE(at)), data.toString('hex', at + 8, at + 40)])
  }
  return timed(async () => {
    const storage = new NegentropyStorageVector()
    for (const [time, id] of items) storage.insert(time, id)
    storage.seal()
    peer = new Negentropy(storage, limit)
  })
}

async function answer(asked) {
  const have = []
  const need = []
  const frame = await timed(async () => {
    if (asked.start) return peer.initiate()
    const result = await peer.reconcile(asked.frame, (id) => have.push(id), (id) => need.push(id))
    if (!Array.isArray(result)) return result
    have.push(...result[1])
    need.push(...result[2])
    return result[0]
  })
  return { frame, have, need }
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line)
  const result = 'records' in asked ? (await load(asked), {}) : await answer(asked)
  console.log(JSON.stringify({ ...result, seconds: spent }))
}
