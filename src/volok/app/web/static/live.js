// The event stream: changes come in, and the page follows without a reload.

import { forgetDrafts } from "./drafts.js";
import { refresh, see, talkingTo } from "./messages.js";

const stopped = document.getElementById("stopped");
let warning = null;

document.body.addEventListener("htmx:sseBeforeMessage", (event) => {
  event.preventDefault();
  const { type, data, lastEventId } = event.detail;
  if (type === "locked") {
    forgetDrafts();
    location.replace("/unlock");
    return;
  }
  // A stream that has to be opened anew goes on from here.
  if (lastEventId) document.body.setAttribute("sse-connect", `/events?after=${lastEventId}`);
  change(JSON.parse(data));
});

function change({ contact, message, alert }) {
  const here = contact === talkingTo();
  if (here && message) refresh(message);
  else if (here) refreshHead(contact);
  if (alert && (document.hidden || !here)) notify();
}

// The contact itself changed: its name, its timer, or whether sending is on hold.
async function refreshHead(contact) {
  const answer = await fetch(`/c/${encodeURIComponent(contact)}/head`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const now = page.querySelector(".bar");
  const bar = document.querySelector(".bar");
  // What is being typed is kept.
  if (answer.ok && now?.dataset.hold === bar.dataset.hold) bar.replaceWith(now);
  else location.reload();
}

function notify() {
  const words = document.body.dataset.notify;
  if (!words || !("Notification" in window) || Notification.permission !== "granted") return;
  // One note, replaced by the next; neither content nor a name.
  const note = new Notification("Volok", { body: words, tag: "volok", silent: false });
  note.addEventListener("click", () => { window.focus(); note.close(); });
}

document.body.addEventListener("htmx:sseError", () => {
  warning ??= setTimeout(() => { stopped.hidden = false; }, 2500);
});

document.body.addEventListener("htmx:sseOpen", () => {
  clearTimeout(warning);
  if (warning !== null) {
    window.htmx.trigger("#conversations", "sse:list");
    window.htmx.trigger("#status", "sse:status");
    see();
  }
  warning = null;
  stopped.hidden = true;
});

function countUnread() {
  const count = Number(document.querySelector("[data-unread]")?.dataset.unread ?? 0);
  const title = document.title.replace(/^\(\d+\) /, "");
  document.title = count ? `(${count}) ${title}` : title;
}

document.body.addEventListener("htmx:afterSwap", countUnread);
countUnread();
