// An image of somebody's as the model takes it: its middle, resized on a canvas, gray where the model is.

// The pixels (height, width, channels) as nested lists of bytes, and what was done to get them.
export async function taken(file, [height, width, channels]) {
  const bitmap = await createImageBitmap(file);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const scale = Math.max(width / bitmap.width, height / bitmap.height);
  const [across, down] = [width / scale, height / scale];
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (bitmap.width - across) / 2, (bitmap.height - down) / 2, across, down, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const said = told(bitmap, [height, width, channels]);
  bitmap.close();
  return { pixels: nested(data, height, width, channels), said };
}

function told(bitmap, [height, width, channels]) {
  const parts = [];
  if (bitmap.width * height !== bitmap.height * width) parts.push("cut to its middle");
  if (bitmap.width !== width || bitmap.height !== height) parts.push(`resized from ${bitmap.width} × ${bitmap.height} to ${width} × ${height}`);
  if (channels === 1) parts.push("taken as gray");
  return parts.length ? `Your image was ${parts.join(", ")}: that is what the model takes.` : "Your image is as large as the model takes it.";
}

function nested(data, height, width, channels) {
  return Array.from({ length: height }, (_, row) => Array.from({ length: width }, (__, column) => {
    const at = 4 * (row * width + column);
    const [red, green, blue] = [data[at], data[at + 1], data[at + 2]];
    return channels === 1 ? [Math.round(0.299 * red + 0.587 * green + 0.114 * blue)] : [red, green, blue];
  }));
}

// Draws values (height, width, channels), `full` being white.
export function draw(canvas, values, full) {
  const [height, width] = [values.length, values[0].length];
  Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  values.flat().forEach((pixel, place) => {
    const [red, green = red, blue = red] = pixel.map((value) => (255 * value) / full);
    image.data.set([red, green, blue, 255], 4 * place);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}
