// Messages by light: what the page shows and what its camera reads. Both may run at once; then what
// is shown is packed anew after something came, since it now holds receipts for it.

import { Camera } from "./light-read.js";
import { Show } from "./light-show.js";
import { toast } from "./toasts.js";

const REPEATS = 1.5; // how often a stream was shown before it gives way to a newer one

const part = (id) => document.getElementById(id);
const light = part("light");
const form = part("show");
const finder = part("finder");
const shown = part("shown");
const came = part("came");
const pause = part("pause");

let packed = null;
let again = false;
let awake = null;
let silent = false;

const show = new Show(part("code"), begin);
const camera = new Camera(finder.querySelector("video"), light.dataset.eyes, hear);

// Text that is there already is left alone, or a screen reader says it again.
function say(element, text = "") {
  if (element.textContent !== text) element.textContent = text;
}

function tell(id, text) {
  say(part(id).querySelector("span"), text);
  part(id).hidden = !text;
}

async function begin() {
  again = false;
  const pressed = form.contains(document.activeElement);
  tell("show-problem");
  tell("nothing");
  const answer = await fetch("/carry/light/show", { method: "POST", body: new FormData(form) })
    .catch(() => null);
  if (answer?.redirected) location.reload();
  const told = answer?.headers.get("content-type") === "application/json" ? await answer.json() : null;
  if (!told?.id) {
    hide();
    if (told?.nothing) tell("nothing", told.nothing);
    else tell("show-problem", told?.problem ?? part("reader").dataset.silent);
    return;
  }
  packed = told;
  form.hidden = true;
  shown.hidden = false;
  show.stop();
  pause.textContent = pause.dataset.pause;
  setPace();
  settle();
  if (pressed) pause.focus({ preventScroll: true });
}

function hide() {
  show.stop();
  packed = null;
  again = false;
  shown.hidden = true;
  form.hidden = false;
  settle();
}

// While something runs, the screen stays on and shows little else.
function settle() {
  part("paper").classList.toggle("running", Boolean(packed || camera.stream));
  light.classList.toggle("both", Boolean(packed && camera.stream));
  keepAwake();
}

// Codes for weak cameras are coarser as well as slower, so the stream is cut anew for them.
function setPace() {
  if (!packed) return;
  show.rate = Number(part("speed").value);
  const { bytes, count, words } = packed.speeds[show.rate] ?? Object.values(packed.speeds).at(-1);
  say(part("shown-words"), `${packed.words} ${words}`);
  part("code").dataset.count = count;
  if (show.id !== packed.id || show.bytes !== bytes) show.start(packed.id, bytes);
}

// The other side had time to read all of it: only then it may change under their eyes.
setInterval(() => {
  if (again && packed && show.drawn >= REPEATS * part("code").dataset.count) begin();
}, 500);

async function read() {
  tell("read-problem");
  came.replaceChildren();
  const facing = part("facing").value;
  try {
    await camera.start(facing);
  } catch {
    tell("read-problem", part("reader").dataset.refused);
    return;
  }
  finder.hidden = false;
  finder.classList.toggle("mirror", facing === "user");
  part("aim").hidden = true;
  settle();
  part("stop").focus({ preventScroll: true });
  if (!packed) finder.scrollIntoView({ block: "center" });
}

function close() {
  camera.stop();
  finder.hidden = true;
  part("aim").hidden = false;
  part("progress").hidden = true;
  part("hint").textContent = "";
  settle();
}

function hear(answer) {
  if (!camera.stream) return;
  if (!answer) tell("read-problem", part("reader").dataset.silent);
  else if (answer.problem || silent || answer.came) tell("read-problem", answer.problem);
  silent = !answer;
  say(part("hint"), answer?.hint);
  if (answer?.problem && !answer.goesOn) close();
  if (answer?.came) take(answer.came);
  const progress = part("progress");
  progress.hidden = !answer?.need;
  if (!answer?.need) return;
  progress.querySelector("progress").max = answer.need;
  progress.querySelector("progress").value = answer.have;
  part("progress-words").textContent = answer.words;
}

function take({ words, link, contact, name }) {
  const note = part("came-note").content.cloneNode(true);
  note.querySelector("[data-words]").textContent = words;
  note.querySelector("a").href = link;
  const answer = note.querySelector("[data-answer]");
  answer.onclick = () => { answer.parentElement.remove(); begin(); };
  if (contact) choose(contact, name);
  // What waits for whoever read our invite, not the invite once more.
  form.querySelector("[name=invite]")?.remove();
  part("choice").hidden = false;
  if (packed) {
    answer.parentElement.remove();
    again = true;
    toast(words);
  } else {
    close();
  }
  came.replaceChildren(note);
  came.focus({ preventScroll: Boolean(packed) });
}

function choose(contact, name) {
  const select = part("contact");
  if (![...select.options].some((option) => option.value === contact)) {
    select.add(new Option(name, contact));
  }
  select.value = contact;
}

// A screen that goes dark shows nothing.
async function keepAwake() {
  const wanted = Boolean(packed || camera.stream);
  if (!wanted) {
    awake?.release();
    awake = null;
  } else if (!awake && document.visibilityState === "visible") {
    awake = await navigator.wakeLock?.request("screen").catch(() => null) ?? null;
    awake?.addEventListener("release", () => { awake = null; });
  }
}

document.addEventListener("visibilitychange", keepAwake);
form.addEventListener("submit", (event) => { event.preventDefault(); begin(); });
part("hide").addEventListener("click", () => { hide(); part("begin").focus(); });
part("read").addEventListener("click", read);
part("stop").addEventListener("click", () => { close(); part("read").focus(); });
part("speed").addEventListener("change", setPace);
pause.addEventListener("click", () => {
  show.paused = !show.paused;
  pause.textContent = show.paused ? pause.dataset.resume : pause.dataset.pause;
});
window.addEventListener("pagehide", () => { hide(); close(); });

// Before this they would do nothing.
part("begin").disabled = part("read").disabled = false;

const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
if (form.dataset.begins && !still) begin();
