// Images in the browser: read, fitted to what a model takes, and drawn from numbers.

export const MOST_SIDE = 256; // pixels a side of what is sent of a large image

export async function decoded(blob) {
  try {
    return await createImageBitmap(blob);
  } catch {
    throw new Error("This is no image that the browser can read; PNG, JPEG, WebP, GIF and BMP are.");
  }
}

// What has to be done to an image of this size, as a sentence; null where it fits as it is.
export function misfit(width, height, { input_shape: [rows, columns], cuts }) {
  if (!cuts) return width === columns && height === rows ? null : `The image is ${width} × ${height} pixels and the model takes ${columns} × ${rows}.`;
  if (width < columns || height < rows) return `The image is ${width} × ${height} pixels and the model takes ${columns} × ${rows} and larger.`;
  const most = Math.max(MOST_SIDE, columns, rows);
  return Math.max(width, height) > most ? `The image is ${width} × ${height} pixels; here at most ${most} a side are sent.` : null;
}

// The size that an image is resized to: the model's own, or within bounds with its shape kept.
function target(width, height, { input_shape: [rows, columns], cuts }) {
  if (!cuts) return [columns, rows];
  const grow = Math.max(1, columns / width, rows / height), most = Math.max(MOST_SIDE, columns, rows);
  const factor = Math.min(grow, Math.max(most / Math.max(width, height), columns / width, rows / height));
  return [Math.min(most, Math.round(width * factor)), Math.min(most, Math.round(height * factor))].map((side, i) => Math.max(side, [columns, rows][i]));
}

// A canvas as the model takes it. `how`: null as it is, "fill" cuts the middle, "pad" keeps all with a black border.
export function fitted(image, facts, how) {
  const [width, height] = how ? target(image.width, image.height, facts) : [image.width, image.height];
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = how === "pad" ? "#000" : "#fff";
  context.fillRect(0, 0, width, height);
  const pick = how === "pad" ? Math.min : Math.max;
  const factor = how ? pick(width / image.width, height / image.height) : 1;
  const [w, h] = [image.width * factor, image.height * factor];
  context.imageSmoothingQuality = "high";
  context.imageSmoothingEnabled = factor !== 1;
  context.drawImage(image, (width - w) / 2, (height - h) / 2, w, h);
  if (facts.input_shape[2] === 1) gray(context, width, height);
  return canvas;
}

// Luma of ITU-R BT.601, as the server takes it.
function gray(context, width, height) {
  const pixels = context.getImageData(0, 0, width, height), { data } = pixels;
  for (let at = 0; at < data.length; at += 4) {
    data[at] = data[at + 1] = data[at + 2] = Math.round(0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]);
  }
  context.putImageData(pixels, 0, 0);
}

export const pngOf = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));

// float32 of an .npy file in C order, with its shape.
export function readNpy(buffer) {
  const bytes = new DataView(buffer), wide = bytes.getUint8(6) > 1;
  const length = wide ? bytes.getUint32(8, true) : bytes.getUint16(8, true), start = (wide ? 12 : 10) + length;
  const head = new TextDecoder("latin1").decode(new Uint8Array(buffer, wide ? 12 : 10, length));
  if (!head.includes("'<f4'")) throw new Error("The server sent numbers that this page cannot read.");
  const shape = /'shape':\s*\(([^)]*)\)/.exec(head)[1].split(",").filter((side) => side.trim()).map(Number);
  return { shape, values: new Float32Array(buffer.slice(start)) };
}

// Rows of pixels of numbers from 0 (black) to 1 (white) onto a canvas.
export function draw(canvas, rows) {
  Object.assign(canvas, { width: rows[0].length, height: rows.length });
  const context = canvas.getContext("2d"), pixels = context.createImageData(canvas.width, canvas.height);
  rows.flat().forEach((pixel, at) => {
    for (let channel = 0; channel < 3; channel++) pixels.data[4 * at + channel] = 255 * (pixel[channel] ?? pixel[0]);
    pixels.data[4 * at + 3] = 255;
  });
  context.putImageData(pixels, 0, 0);
}

// Places of cells {left, top, width, height, value} over an image; the amount is how solid the colour is, its sign which.
export function heat(canvas, width, height, cells) {
  const grain = Math.max(1, Math.ceil(384 / Math.max(width, height)));
  Object.assign(canvas, { width: width * grain, height: height * grain });
  const context = canvas.getContext("2d"), largest = Math.max(...cells.map(({ value }) => Math.abs(value)), 0);
  for (const { left, top, width: w, height: h, value } of cells) {
    if (value === 0) continue;
    context.globalAlpha = 0.15 + (0.7 * Math.abs(value)) / largest;
    context.fillStyle = value > 0 ? "#f0a000" : "#3aa0ff";
    context.fillRect(left * grain, top * grain, w * grain, h * grain);
  }
}
