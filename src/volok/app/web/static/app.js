// The entry: starts what this page needs. Everything works by delegation, so that parts of a page
// may be replaced at any time.

import "./live.js";
import "./dialogs.js";
import "./scanner.js";
import "./voice.js";
import { forgetDrafts } from "./drafts.js";
import { startComposer } from "./composer.js";
import { toast } from "./toasts.js";

const composer = document.getElementById("composer");
if (composer) startComposer(composer);

// Locked or destroyed: nothing that was being typed may stay in this browser.
if (document.body.dataset.state !== "open") forgetDrafts();
document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-forget]")) forgetDrafts();
});

// Somebody is here: puts off the automatic lock.
let told = Date.now();
for (const kind of ["pointerdown", "keydown", "wheel"]) {
  document.addEventListener(kind, () => {
    if (document.body.dataset.state !== "open" || Date.now() - told < 20000) return;
    told = Date.now();
    fetch("/awake", { method: "POST" }).catch(() => {});
  }, { passive: true });
}

document.addEventListener("submit", async (event) => {
  const words = event.target.dataset.askNotifications;
  if (!words || !("Notification" in window) || Notification.permission === "granted") return;
  event.preventDefault();
  if (await Notification.requestPermission() === "granted") event.target.submit();
  else toast(words);
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  field.select();
  await navigator.clipboard.writeText(field.value);
  const words = button.querySelector("span");
  const before = words.textContent;
  words.textContent = button.dataset.copied;
  setTimeout(() => { words.textContent = before; }, 2000);
});
