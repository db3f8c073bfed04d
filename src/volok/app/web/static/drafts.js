// What is being typed survives errors and reloads, in this tab only, until the node is locked.

const key = (contact, part) => `volok:${part}:${contact}`;

export function readDraft(contact) {
  const unsent = JSON.parse(sessionStorage.getItem(key(contact, "unsent")) ?? "[]");
  const text = sessionStorage.getItem(key(contact, "draft")) ?? "";
  sessionStorage.removeItem(key(contact, "unsent"));
  return [...unsent, text].filter(Boolean).join("\n");
}

export function writeDraft(contact, text) {
  if (text) sessionStorage.setItem(key(contact, "draft"), text);
  else sessionStorage.removeItem(key(contact, "draft"));
}

// Texts on their way to the node: kept until it has them.
export function writeUnsent(contact, texts) {
  if (texts.length) sessionStorage.setItem(key(contact, "unsent"), JSON.stringify(texts));
  else sessionStorage.removeItem(key(contact, "unsent"));
}

export function forgetDrafts() {
  sessionStorage.clear();
}
