// Plays voice messages, one at a time.

let playing = null;

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-voice] > button");
  if (!button) return;
  const player = button.parentElement;
  const audio = player.querySelector("audio");
  if (!player.dataset.ready) prepare(player, button, audio);
  if (audio.paused) {
    playing?.pause();
    playing = audio;
    audio.play().catch(() => player.classList.remove("playing"));
  } else {
    audio.pause();
  }
});

function prepare(player, button, audio) {
  player.dataset.ready = "1";
  const position = player.querySelector("input");
  const time = player.querySelector(".voice-time");
  const play = button.getAttribute("aria-label");
  const show = (milliseconds) => {
    const seconds = Math.round(milliseconds / 1000);
    time.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  const turn = (on) => {
    player.classList.toggle("playing", on);
    button.setAttribute("aria-label", on ? button.dataset.pause : play);
  };
  audio.addEventListener("play", () => turn(true));
  audio.addEventListener("pause", () => turn(false));
  audio.addEventListener("timeupdate", () => {
    position.value = audio.currentTime * 1000;
    show(audio.currentTime * 1000);
  });
  audio.addEventListener("ended", () => {
    position.value = 0;
    show(Number(position.max));
  });
  position.addEventListener("input", () => { audio.currentTime = position.value / 1000; });
}
