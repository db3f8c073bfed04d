// Reads moving QR codes with the camera, and hands what they hold to the node in batches.

const SIDE = 720;
const PAUSE = 400;
const HEAD = 20; // the part of a frame that says which one it is

export class Camera {
  // `answer` gets what the node says to each batch, or null when it does not answer.
  constructor(video, eyes, answer) {
    this.video = video;
    this.eyesUrl = eyes;
    this.answer = answer;
    this.stream = null;
    this.batch = [];
    this.seen = new Set();
  }

  // Throws what getUserMedia throws.
  async start(facingMode) {
    this.stop();
    this.stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode, width: { ideal: 1280 }, height: { ideal: 720 } },
    });
    this.video.srcObject = this.stream;
    this.video.play().catch(() => {}); // a camera may take its time; `look` waits for it
    this.canvas = document.createElement("canvas");
    this.eyes = new Worker(this.eyesUrl, { type: "module" });
    this.eyes.onmessage = ({ data }) => {
      if (data) this.keep(data);
      requestAnimationFrame(() => this.look());
    };
    this.sending = setInterval(() => this.send(), PAUSE);
    this.look();
  }

  stop() {
    if (!this.stream) return;
    for (const track of this.stream.getTracks()) track.stop();
    this.stream = null;
    this.video.srcObject = null;
    this.eyes?.terminate();
    clearInterval(this.sending);
    this.batch = [];
    this.seen.clear();
  }

  // The square in the middle, which is what the page shows.
  look() {
    if (!this.stream) return;
    const { videoWidth: width, videoHeight: height } = this.video;
    const side = Math.min(width, height);
    const kept = Math.min(side, SIDE);
    if (!kept) {
      requestAnimationFrame(() => this.look());
      return;
    }
    if (this.canvas.width !== kept) this.canvas.width = this.canvas.height = kept;
    const context = this.canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(this.video, (width - side) / 2, (height - side) / 2, side, side, 0, 0, kept, kept);
    const { buffer } = context.getImageData(0, 0, kept, kept).data;
    this.eyes.postMessage({ pixels: buffer, side: kept }, [buffer]);
  }

  keep(frame) {
    const name = String.fromCharCode(...frame.subarray(0, HEAD));
    if (this.seen.has(name)) return;
    if (this.seen.size > 10000) this.seen.clear();
    this.seen.add(name);
    this.batch.push(frame);
  }

  async send() {
    if (this.posting || !this.batch.length) return;
    this.posting = true;
    const frames = this.batch;
    this.batch = [];
    const parts = frames.flatMap((frame) => [
      new Uint8Array([frame.length >> 8, frame.length & 255]), frame,
    ]);
    try {
      const answer = await fetch("/carry/light/read", { method: "POST", body: new Blob(parts) });
      if (answer.redirected) location.reload();
      else this.answer(answer.ok ? await answer.json() : null);
    } catch {
      this.batch.unshift(...frames);
      this.answer(null);
    } finally {
      this.posting = false;
    }
  }
}
