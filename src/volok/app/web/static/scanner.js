// Reads a QR code with the camera, in this page, and sends its text with the form around it.

const WIDTH = 720;

document.addEventListener("click", (event) => {
  const form = event.target.closest("[data-scanner]");
  if (form && event.target.closest("[data-scan]")) scan(form);
});

async function scan(form) {
  const finder = form.querySelector(".viewfinder");
  const problem = form.querySelector(".problem");
  const video = finder.querySelector("video");
  problem.hidden = true;
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    problem.textContent = form.dataset.refused;
    problem.hidden = false;
    return;
  }
  let going = true;
  const stop = () => {
    going = false;
    finder.hidden = true;
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  };
  finder.querySelector("[data-stop]").onclick = stop;
  finder.hidden = false;
  video.srcObject = stream;
  await video.play();

  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const look = () => {
    if (!going) return;
    const scale = Math.min(1, WIDTH / video.videoWidth);
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
    const code = window.jsQR(data, width, height);
    if (code?.data) {
      stop();
      form.querySelector("input[type=hidden]").value = code.data;
      form.submit();
    } else {
      setTimeout(look, 100);
    }
  };
  look();
}
