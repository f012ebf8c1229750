// A grey picture as a PNG of one byte a pixel (PNG specification, third edition): a quarter of what a canvas would write, and
// what a mask is.

const STRIP = 2 ** 20; // bytes that are compressed at a time
const CRC = Uint32Array.from({ length: 256 }, (_, number) => {
  for (let bit = 0; bit < 8; bit += 1) number = number & 1 ? 0xedb88320 ^ (number >>> 1) : number >>> 1;
  return number >>> 0;
});

/** `bytes`: width * height of them, row by row. */
export async function greyPng(bytes, width, height) {
  const header = new Uint8Array(13); // eight bits of grey, no interlacing
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  view.setUint8(8, 8);
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  const data = await deflated(bytes, width, height);
  return new Blob([signature, chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", new Uint8Array())], { type: "image/png" });
}

async function deflated(bytes, width, height) {
  const stream = new CompressionStream("deflate");
  const compressed = new Response(stream.readable).arrayBuffer();
  const writer = stream.writable.getWriter();
  const rows = Math.max(1, Math.floor(STRIP / width));
  for (let top = 0; top < height; top += rows) {
    const count = Math.min(rows, height - top);
    const strip = new Uint8Array(count * (width + 1)); // each row begins with its filter, which is none
    for (let row = 0; row < count; row += 1) strip.set(bytes.subarray((top + row) * width, (top + row + 1) * width), row * (width + 1) + 1);
    await writer.write(strip);
  }
  await writer.close();
  return new Uint8Array(await compressed);
}

function chunk(type, data) {
  const whole = new Uint8Array(data.length + 12);
  const view = new DataView(whole.buffer);
  view.setUint32(0, data.length);
  [...type].forEach((letter, place) => view.setUint8(4 + place, letter.charCodeAt(0)));
  whole.set(data, 8);
  let crc = 0xffffffff;
  for (let at = 4; at < data.length + 8; at += 1) crc = CRC[(crc ^ whole[at]) & 255] ^ (crc >>> 8);
  view.setUint32(data.length + 8, ~crc >>> 0);
  return whole;
}
