// What blossom-client-sdk does with two relays: `node blossom_client.mjs FIRST SECOND`, their HTTP
// URLs. Prints one JSON object. Signs with nostr-tools.

import { finalizeEvent } from "nostr-tools/pure";
import * as client from "blossom-client-sdk/actions/index";
import { createAuthEvent } from "blossom-client-sdk/auth";

const [first, second] = process.argv.slice(2);
const sign = (draft) => finalizeEvent(draft, new Uint8Array(32).fill(7));
const authorize = (verb) => (_server, sha256) =>
  createAuthEvent(async (draft) => sign(draft), verb, { blobs: sha256 });
const bytes = new Uint8Array(100_000).map((_, index) => index);

const uploaded = await client.uploadBlob(first, new Blob([bytes]), {
  onAuth: authorize("upload"),
});
const got = await client.downloadBlob(first, uploaded.sha256);
const mirrored = await client.mirrorBlob(second, uploaded, { onAuth: authorize("upload") });
const report = sign({
  kind: 1984,
  created_at: Math.floor(Date.now() / 1000),
  tags: [["x", uploaded.sha256, "spam"]],
  content: "",
});
const reported = await client.reportBlobs([first], report);
const before = await client.hasBlob(first, uploaded.sha256);
const deleted = await client.deleteBlob(first, uploaded.sha256, { onAuth: authorize("delete") });
console.log(
  JSON.stringify({
    uploaded: uploaded.sha256,
    downloaded: Buffer.from(await got.arrayBuffer()).equals(Buffer.from(bytes)),
    mirrored: mirrored.sha256,
    reported: [...reported.values()],
    before,
    deleted,
    after: await client.hasBlob(first, uploaded.sha256),
    elsewhere: await client.hasBlob(second, uploaded.sha256),
  }),
);
