// Shows a stream of frames as moving QR codes. The node makes the frames, this draws them.

import { encodeQR } from "./vendor/index.js";

const QR = { encoding: "byte", ecc: "low", border: 4 };

export class Show {
  // `gone` is called when the node does not have the stream any more.
  constructor(canvas, gone) {
    this.canvas = canvas;
    this.gone = gone;
    this.rate = 8;
    this.ticking = false;
    this.stop();
  }

  stop() {
    this.id = null;
    this.paused = false;
    this.waiting = [];
    this.next = 0;
    this.drawn = 0;
    this.fetching = false;
  }

  // A stream in frames of `bytes` each, from its beginning.
  start(id, bytes) {
    const { paused } = this;
    this.stop();
    this.paused = paused;
    this.id = id;
    this.bytes = bytes;
    this.last = 0;
    if (!this.ticking) requestAnimationFrame((now) => this.tick(now));
    this.ticking = true;
  }

  tick(now) {
    this.ticking = this.id !== null;
    if (!this.ticking) return;
    requestAnimationFrame((later) => this.tick(later));
    if (this.waiting.length < 2 * this.rate) this.fetch();
    if (this.paused || !this.waiting.length || now - this.last < 1000 / this.rate) return;
    // In step with the clock: a late picture must not slow down those after it.
    const step = 1000 / this.rate;
    this.last = now - this.last > 2 * step ? now : this.last + step;
    this.draw(this.waiting.shift());
    this.drawn += 1;
  }

  async fetch() {
    if (this.fetching) return;
    this.fetching = true;
    const { waiting } = this; // another list when another stream began meanwhile
    try {
      const answer = await fetch(`/carry/light/${this.id}/frames?bytes=${this.bytes}&first=${this.next}`);
      if (this.waiting !== waiting) return;
      if (!answer.ok || answer.redirected) {
        this.stop();
        this.gone();
        return;
      }
      const data = new Uint8Array(await answer.arrayBuffer());
      if (this.waiting !== waiting) return;
      for (let at = 0; at < data.length; at += this.bytes) {
        waiting.push(data.subarray(at, at + this.bytes));
        this.next += 1;
      }
    } catch {
      // The node does not answer: the page says so elsewhere, and this asks again.
      await new Promise((done) => { setTimeout(done, 1000); });
    } finally {
      if (this.waiting === waiting) this.fetching = false;
    }
  }

  // Whole pixels of the screen for each module, dark on white in every theme.
  draw(frame) {
    const rows = encodeQR("", "raw", { ...QR, textEncoder: () => frame });
    const room = this.canvas.clientWidth * devicePixelRatio || this.canvas.width;
    const scale = Math.max(2, Math.floor(room / rows.length));
    const side = rows.length * scale;
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    const context = this.canvas.getContext("2d", { alpha: false });
    context.fillStyle = "#fff";
    context.fillRect(0, 0, side, side);
    context.fillStyle = "#000";
    for (const [y, row] of rows.entries()) {
      let from = -1;
      for (let x = 0; x <= row.length; x += 1) {
        if (row[x] && from < 0) from = x;
        if (!row[x] && from >= 0) {
          context.fillRect(from * scale, y * scale, (x - from) * scale, scale);
          from = -1;
        }
      }
    }
  }
}
