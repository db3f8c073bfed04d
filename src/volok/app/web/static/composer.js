// The composer: writing, answering, editing, files from anywhere, and sending one after the other.

import { readDraft, writeDraft, writeUnsent } from "./drafts.js";
import { place } from "./messages.js";
import { prepare } from "./pictures.js";
import { record } from "./recorder.js";
import { toast } from "./toasts.js";

const LARGEST = 100_000_000;

export function startComposer(form) {
  const contact = form.dataset.contact;
  const text = form.elements.text;
  const tray = document.getElementById("tray");
  const note = document.getElementById("composer-note");
  const onceChoice = document.getElementById("once-choice");
  const progress = document.getElementById("sending");
  let files = [];
  let unsent = [];
  let chain = Promise.resolve();
  let textBeforeEdit = null;

  const keep = () => { if (!form.elements.editing.value) writeDraft(contact, text.value); };

  function put(value) {
    text.value = value;
    grow();
    keep();
  }

  // For browsers without `field-sizing`.
  function grow() {
    if (CSS.supports("field-sizing", "content")) return;
    text.style.blockSize = "auto";
    text.style.blockSize = `${text.scrollHeight + 2}px`;
  }

  function clear() {
    files = [];
    form.elements.view_once.checked = false;
    put("");
    leaveNote();
    showTray();
  }

  // Answering and editing.

  function leaveNote() {
    form.elements.reply_to.value = form.elements.editing.value = "";
    note.hidden = true;
    if (textBeforeEdit !== null) put(textBeforeEdit);
    textBeforeEdit = null;
  }

  function showNote(id, edits) {
    const row = document.getElementById(`m-${id}`);
    note.classList.toggle("edits", edits);
    note.querySelector("[data-who]").textContent =
      row.querySelector(".bubble > .hidden").textContent.replace(/:$/, "");
    note.querySelector("[data-text]").textContent =
      row.querySelector(".text, .file-name, .once, .picture")?.textContent.trim() ?? "";
    note.hidden = false;
    text.focus();
  }

  document.addEventListener("click", (event) => {
    const reply = event.target.closest("[data-reply]");
    const edit = event.target.closest("[data-edit]");
    if (reply) {
      leaveNote();
      form.elements.reply_to.value = reply.dataset.reply;
      showNote(reply.dataset.reply, false);
    } else if (edit) {
      leaveNote();
      textBeforeEdit = text.value;
      form.elements.editing.value = edit.dataset.edit;
      put(edit.dataset.old);
      showNote(edit.dataset.edit, true);
    }
  });
  note.querySelector("[data-cancel]").addEventListener("click", leaveNote);

  // Files.

  async function add(list) {
    for (const file of list) {
      if (file.size > LARGEST) toast(form.dataset.tooLarge);
      else files.push(await prepare(file));
    }
    showTray();
    text.focus();
  }

  function showTray() {
    tray.replaceChildren(...files.map(trayItem));
    tray.hidden = !files.length;
    onceChoice.hidden = files.length !== 1 || files[0].details.kind !== "picture";
    if (onceChoice.hidden) form.elements.view_once.checked = false;
  }

  function trayItem(item) {
    const entry = document.createElement("li");
    if (item.details.kind === "picture") {
      const image = document.createElement("img");
      image.alt = item.file.name;
      image.src = URL.createObjectURL(item.file);
      image.onload = () => URL.revokeObjectURL(image.src);
      entry.append(image);
    } else {
      entry.append(item.file.name);
    }
    const button = note.querySelector("[data-cancel]").cloneNode(true);
    button.removeAttribute("data-cancel");
    button.setAttribute("aria-label", `${tray.dataset.remove}: ${item.file.name}`);
    button.addEventListener("click", () => {
      files = files.filter((other) => other !== item);
      showTray();
      text.focus();
    });
    entry.append(button);
    return entry;
  }

  const pick = document.getElementById("pick");
  pick.addEventListener("change", async () => {
    await add([...pick.files]);
    pick.value = "";
  });
  document.addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    add([...event.clipboardData.files]);
  });
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!carries(event)) return;
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });

  // Sending. The next message may be written while one is on its way; each keeps its turn.

  function send() {
    const message = {
      text: text.value.trim(),
      files,
      reply_to: form.elements.reply_to.value,
      editing: form.elements.editing.value,
      view_once: form.elements.view_once.checked ? "1" : "",
    };
    if (!message.text && !message.files.length) return;
    unsent.push(message);
    keepUnsent();
    clear();
    chain = chain.then(() => post(message));
  }

  const keepUnsent = () => writeUnsent(contact, unsent.map((message) => message.text));

  async function post(message) {
    const body = new FormData();
    for (const name of ["text", "reply_to", "editing", "view_once"]) body.append(name, message[name]);
    for (const { file, details } of message.files) {
      body.append("files", file);
      body.append("details", JSON.stringify(details));
    }
    const answer = await upload(form.action, body, message.files.length ? progress : null);
    unsent = unsent.filter((other) => other !== message);
    if (answer.redirect) {
      // Locked meanwhile; drafts are cleared on the page that follows.
      location.href = answer.redirect;
      return;
    }
    if (answer.ok) {
      place(answer.html);
    } else {
      files = [...message.files, ...files];
      showTray();
      put([message.text, text.value].filter(Boolean).join("\n"));
      if (answer.html) toast(new DOMParser().parseFromString(answer.html, "text/html").body.textContent.trim());
      else document.getElementById("stopped").hidden = false;
    }
    keepUnsent();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !note.hidden) leaveNote();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    if (matchMedia("(pointer: coarse)").matches) return;
    event.preventDefault();
    send();
  });
  text.addEventListener("input", () => { grow(); keep(); });

  document.getElementById("record").addEventListener("click", async () => {
    const voice = await record(document.getElementById("writing"), document.getElementById("recording"))
      .catch(() => toast(form.dataset.noMicrophone));
    if (!voice) return;
    const draft = text.value;
    const waiting = files;
    text.value = "";
    files = [voice];
    send();
    files = waiting;
    put(draft);
    showTray();
  });

  put(readDraft(contact));
  if (matchMedia("(pointer: fine)").matches) text.focus({ preventScroll: true });
}

function upload(url, body, progress) {
  return new Promise((done) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.setRequestHeader("HX-Request", "true");
    if (progress) {
      progress.hidden = false;
      progress.value = 0;
      request.upload.onprogress = (event) => { progress.value = event.loaded / event.total; };
    }
    request.onloadend = () => {
      if (progress) progress.hidden = true;
      const redirect = request.getResponseHeader("HX-Redirect");
      const ok = request.status >= 200 && request.status < 300;
      done({ ok, redirect, html: request.status ? request.responseText : "" });
    };
    request.send(body);
  });
}
