// Short messages at the bottom of the page.

export function toast(text) {
  const note = document.createElement("p");
  note.className = "toast";
  note.textContent = text;
  document.getElementById("toasts").append(note);
}

// Fades each one away, whoever put it there.
const place = document.getElementById("toasts");
if (place) {
  new MutationObserver((changes) => {
    for (const change of changes) {
      for (const note of change.addedNodes) setTimeout(() => note.remove(), 8000);
    }
  }).observe(place, { childList: true });
}
