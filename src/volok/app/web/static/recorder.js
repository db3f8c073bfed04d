// Records a voice message. Resolves to a file, or to null when it is discarded.

const TYPES = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];

export async function record(writing, panel) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const type = TYPES.find((name) => MediaRecorder.isTypeSupported(name));
  const recorder = new MediaRecorder(stream, { mimeType: type, audioBitsPerSecond: 24000 });
  const pieces = [];
  recorder.ondataavailable = (event) => pieces.push(event.data);
  const shown = panel.querySelector("#recorded");
  const start = performance.now();
  const length = () => Math.round(performance.now() - start);
  const show = () => {
    const seconds = Math.floor(length() / 1000);
    shown.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  writing.hidden = true;
  panel.hidden = false;
  show();
  const ticking = setInterval(show, 250);
  recorder.start();
  panel.querySelector("[data-done]").focus();

  const wanted = await new Promise((decide) => {
    panel.querySelector("[data-done]").onclick = () => decide(true);
    panel.querySelector("[data-drop]").onclick = () => decide(false);
  });
  const duration = Math.max(1, length());
  const ended = new Promise((done) => { recorder.onstop = done; });
  recorder.stop();
  await ended;
  clearInterval(ticking);
  for (const track of stream.getTracks()) track.stop();
  panel.hidden = true;
  writing.hidden = false;
  writing.querySelector("textarea").focus();
  if (!wanted) return null;
  const plain = recorder.mimeType.split(";")[0];
  const file = new File(pieces, `voice.${plain.split("/")[1]}`, { type: plain });
  return { file, details: { kind: "voice", duration } };
}
