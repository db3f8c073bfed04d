// Dialogs: the actions of a message, questions, the lightbox.

import { toast } from "./toasts.js";
import { remove } from "./messages.js";

const sheet = document.getElementById("sheet");
const lightbox = document.getElementById("lightbox");

let anchor = null;

// When it has settled: only then its buttons do something.
document.body.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target !== sheet) return;
  anchor = event.detail.requestConfig.elt;
  sheet.showModal();
  standBy(anchor);
});

window.addEventListener("resize", () => { if (sheet?.open) standBy(anchor); });

// At the bottom of a narrow window, beside what opened it in a wide one.
function standBy(element) {
  const opener = element.getBoundingClientRect();
  const wide = matchMedia("(min-width: 800px)").matches;
  const place = (value) => { sheet.style.insetBlockStart = value; };
  sheet.style.marginBlockStart = wide ? "0" : "auto";
  sheet.style.marginInlineStart = sheet.style.marginInlineEnd = "auto";
  if (!wide) { place("auto"); sheet.style.left = ""; return; }
  const top = Math.min(opener.top, innerHeight - sheet.offsetHeight - 12);
  const left = Math.min(opener.left, innerWidth - sheet.offsetWidth - 12);
  place(`${Math.max(12, top)}px`);
  sheet.style.margin = "0";
  sheet.style.left = `${Math.max(12, left)}px`;
}

document.body.addEventListener("htmx:afterRequest", (event) => {
  const gone = event.detail.elt.dataset?.gone;
  if (gone && event.detail.successful) remove(gone);
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  if (opener) document.getElementById(opener.dataset.dialog).showModal();
  const dialog = event.target.closest("dialog");
  if (dialog && (event.target === dialog || event.target.closest("[data-close]"))) {
    // Now: it gives the focus back, and the composer may want it after that.
    dialog.close();
  }
});

// On a touch screen the whole bubble opens its actions.
document.addEventListener("click", (event) => {
  if (!matchMedia("(hover: none)").matches) return;
  const bubble = event.target.closest(".bubble");
  if (!bubble || event.target.closest("a, button, input, audio")) return;
  if (!getSelection().isCollapsed) return;
  bubble.parentElement.querySelector(".more").click();
});

document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy-text]");
  if (copy) navigator.clipboard.writeText(copy.dataset.copyText);
  const picture = event.target.closest("[data-picture]");
  if (picture) {
    event.preventDefault();
    show(picture.href, false);
  }
  const once = event.target.closest("[data-once]");
  if (once) showOnce(once);
});

function show(url, once) {
  lightbox.querySelector("img").src = url;
  lightbox.querySelector("[data-once]").hidden = !once;
  lightbox.showModal();
}

// The bytes come one time and live in this page's memory only while they are looked at.
async function showOnce(button) {
  button.disabled = true;
  const answer = await fetch(button.dataset.once, { method: "POST", headers: { "HX-Request": "true" } });
  if (!answer.ok) {
    const words = new DOMParser().parseFromString(await answer.text(), "text/html");
    toast(words.body.textContent.trim());
    return;
  }
  const url = URL.createObjectURL(await answer.blob());
  show(url, true);
  lightbox.addEventListener("close", () => URL.revokeObjectURL(url), { once: true });
}

// The message that it was opened from may have been rendered anew meanwhile.
sheet?.addEventListener("close", () => {
  if (document.activeElement !== document.body) return;
  document.getElementById(`more-${sheet.firstElementChild?.dataset.message}`)?.focus();
});

lightbox?.addEventListener("close", () => { lightbox.querySelector("img").src = "data:,"; });
