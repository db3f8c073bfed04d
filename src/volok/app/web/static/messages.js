// Puts messages, rendered by the node, into their place in the conversation.

const log = document.getElementById("log");
const busy = new Map();

const rows = () => [...log.querySelectorAll(":scope > .row")];
const orderOf = (row) => Number(row.dataset.order);

export const talkingTo = () => log?.dataset.contact;

// Fetches a message as it is now and shows it; asked for again meanwhile, it does so once more.
export async function refresh(id) {
  if (busy.has(id)) {
    busy.set(id, true);
    return;
  }
  do {
    busy.set(id, false);
    const answer = await fetch(`/m/${encodeURIComponent(id)}`, { headers: { "HX-Request": "true" } });
    if (answer.ok) place(await answer.text());
    else if (answer.status === 404 || answer.status === 422) remove(id);
  } while (busy.get(id));
  busy.delete(id);
}

export function remove(id) {
  const row = document.getElementById(`m-${id}`);
  const next = row?.nextElementSibling;
  row?.remove();
  if (next?.dataset.id) refresh(next.dataset.id);
}

export function place(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const row = template.content.querySelector(".row");
  if (!row || !log) return;
  const old = document.getElementById(row.id);
  if (old) {
    if (old.querySelector(".voice.playing")) return;
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    old.replaceWith(row);
    if (focused) document.getElementById(focused)?.focus();
  } else if (!insert(row)) {
    return;
  }
  window.htmx.process(row);
}

function insert(row) {
  const before = rows().findLast((other) => orderOf(other) < orderOf(row));
  const last = rows().at(-1);
  if (log.dataset.end === "0" && (!last || before === last)) return false;
  if (!before && document.getElementById("older")) return false;
  row.classList.add("arrived");
  if (before) before.after(row);
  else log.prepend(row);
  log.querySelector(".beginning")?.remove();
  const next = row.nextElementSibling;
  if (next?.dataset.id) refresh(next.dataset.id);
  announce(row);
  return true;
}

function announce(row) {
  if (row.classList.contains("mine")) {
    document.getElementById("scroller").scrollTop = 0;
    return;
  }
  const words = [...row.querySelectorAll(".bubble > .hidden, .text, .notice-text, .once, .file-name")];
  document.getElementById("live").textContent = words.map((part) => part.textContent.trim()).join(" ");
  see();
}

// Tells the node that the conversation is before the person's eyes.
export function see() {
  if (!log || document.visibilityState !== "visible") return;
  fetch(`/c/${log.dataset.contact}/seen`, { method: "POST" }).catch(() => {});
}

// A link from a search or a quote: show the message, or the page around it.
document.addEventListener("click", (event) => {
  const quote = event.target.closest("a[data-jump]");
  if (!quote) return;
  event.preventDefault();
  const row = document.querySelector(quote.getAttribute("href"));
  if (!row) {
    location.href = quote.dataset.jump + quote.getAttribute("href");
    return;
  }
  row.scrollIntoView({ block: "center", behavior: "smooth" });
  row.classList.remove("found");
  requestAnimationFrame(() => row.classList.add("found"));
});

if (log) {
  see();
  document.addEventListener("visibilitychange", see);
  document.getElementById("unread")?.scrollIntoView({ block: "center" });
}
