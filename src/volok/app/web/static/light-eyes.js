// Looks for a QR code in one picture after the other, beside the page, so that it stays fluent.

import { decodeQR } from "./vendor/decode.js";

onmessage = ({ data: { pixels, side } }) => {
  let bytes = null;
  try {
    const textDecoder = (part) => { bytes = part.slice(); return ""; };
    decodeQR({ data: new Uint8ClampedArray(pixels), width: side, height: side }, { textDecoder });
  } catch {
    bytes = null; // no code in this one
  }
  postMessage(bytes);
};
