// Pictures are drawn anew before they leave: that drops what cameras write into files (place, time,
// device), makes them a sensible size, and gives the tiny preview.

const LONGEST = 2560;
const PREVIEW_BYTES = 4096;

export async function prepare(file) {
  if (!/^image\/(jpeg|png|webp|avif|bmp)$/.test(file.type)) return asItIs(file);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return asItIs(file);
  }
  try {
    const type = file.type === "image/jpeg" ? "image/jpeg" : "image/webp";
    const [canvas, blob] = await draw(bitmap, LONGEST, type, 0.88);
    const stem = file.name.replace(/\.[^.]*$/, "") || "picture";
    const extension = { "image/jpeg": "jpg", "image/webp": "webp", "image/png": "png" }[blob.type];
    return {
      file: new File([blob], `${stem}.${extension}`, { type: blob.type }),
      details: {
        kind: "picture",
        width: canvas.width,
        height: canvas.height,
        thumbnail: await preview(bitmap),
      },
    };
  } finally {
    bitmap.close();
  }
}

function asItIs(file) {
  return { file, details: { kind: file.type === "image/gif" ? "picture" : "file" } };
}

async function draw(bitmap, longest, type, quality) {
  const scale = Math.min(1, longest / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((done) => canvas.toBlob(done, type, quality));
  return [canvas, blob];
}

async function preview(bitmap) {
  for (const [longest, quality] of [[160, 0.6], [96, 0.5], [48, 0.4], [16, 0.3]]) {
    const [, blob] = await draw(bitmap, longest, "image/webp", quality);
    // Browsers that cannot write WebP give PNG instead.
    if (blob.type !== "image/webp") return null;
    if (blob.size <= PREVIEW_BYTES) return base64(await blob.arrayBuffer());
  }
  return null;
}

function base64(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer)));
}
