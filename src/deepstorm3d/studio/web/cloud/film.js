// A film as a WebM file: frames are encoded one by one by the browser (WebCodecs), however long each takes to draw,
// so a slow machine makes the same film as a fast one. The container is Matroska with the ids that WebM allows.

const CODECS = [
  { codec: "vp09.00.31.08", id: "V_VP9" },
  { codec: "vp8", id: "V_VP8" },
];
const KEY_EVERY = 30; // frames from one key frame to the next, at which a player can start
const MOST_WAITING = 4; // frames that may wait for the encoder

// Bytes of a whole number, the first the most significant.
function bytesOf(number, length) {
  const bytes = new Uint8Array(length);
  for (let i = length - 1, rest = number; i >= 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
  return bytes;
}

// One element: its id, the length of what is in it (8 bytes, of which the first says so), and what is in it.
function element(id, ...parts) {
  const size = parts.reduce((sum, part) => sum + part.length, 0), name = bytesOf(id, Math.ceil(id.toString(16).length / 2));
  const made = new Uint8Array(name.length + 8 + size);
  made.set(name);
  made.set(bytesOf(size, 8), name.length);
  made[name.length] = 1;
  let at = name.length + 8;
  for (const part of parts) { made.set(part, at); at += part.length; }
  return made;
}
const whole = (id, number) => element(id, bytesOf(number, number < 256 ? 1 : number < 65536 ? 2 : 6));
const words = (id, text) => element(id, new TextEncoder().encode(text));
function real(id, number) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, number);
  return element(id, bytes);
}

// A cluster begins with a key frame; times are ms.
function cluster(frames) {
  const begin = frames[0].time;
  const blocks = frames.map(({ time, key, data }) => element(0xa3, bytesOf(0x81, 1), bytesOf(time - begin, 2), bytesOf(key ? 0x80 : 0, 1), data));
  return element(0x1f43b675, whole(0xe7, begin), ...blocks);
}

function container(frames, width, height, rate, codecId) {
  const header = element(0x1a45dfa3, whole(0x4286, 1), whole(0x42f7, 1), whole(0x42f2, 4), whole(0x42f3, 8),
    words(0x4282, "webm"), whole(0x4287, 4), whole(0x4285, 2));
  const info = element(0x1549a966, whole(0x2ad7b1, 1_000_000), real(0x4489, (1000 * frames.length) / rate),
    words(0x4d80, "deepstorm3d"), words(0x5741, "deepstorm3d"));
  const video = element(0xe0, whole(0xb0, width), whole(0xba, height));
  const track = element(0xae, whole(0xd7, 1), whole(0x73c5, 1), whole(0x83, 1), words(0x86, codecId),
    whole(0x23e383, Math.round(1e9 / rate)), video);
  const clusters = [];
  for (const frame of frames) frame.key ? clusters.push([frame]) : clusters.at(-1).push(frame);
  return new Blob([header, element(0x18538067, info, element(0x1654ae6b, track), ...clusters.map(cluster))], { type: "video/webm" });
}

async function supported(width, height) {
  for (const each of window.VideoEncoder ? CODECS : []) {
    if ((await VideoEncoder.isConfigSupported({ codec: each.codec, width, height })).supported) return each;
  }
  throw new Error("this browser has no encoder for films");
}

// A WebM film (a Blob): `draw(k)` draws frame k and gives its canvas, all of the same size; `told(k)` hears that k
// frames are done; null where `stopped()` says so.
export async function makeFilm(number, rate, draw, told, stopped) {
  const first = await draw(0), width = first.width & ~1, height = first.height & ~1;
  const { codec, id } = await supported(width, height), frames = [];
  let problem = null;
  const encoder = new VideoEncoder({
    output: (chunk) => {
      const data = new Uint8Array(chunk.byteLength);
      chunk.copyTo(data);
      frames.push({ time: Math.round(chunk.timestamp / 1000), key: chunk.type === "key", data });
    },
    error: (error) => { problem = error; },
  });
  encoder.configure({ codec, width, height, framerate: rate, bitrate: 12 * width * height });
  for (let k = 0; k < number && !stopped() && !problem; k++) {
    const canvas = k ? await draw(k) : first;
    const frame = new VideoFrame(canvas, { timestamp: Math.round((1e6 * k) / rate), visibleRect: { x: 0, y: 0, width, height } });
    encoder.encode(frame, { keyFrame: k % KEY_EVERY === 0 });
    frame.close();
    while (encoder.encodeQueueSize > MOST_WAITING && !problem) await new Promise((done) => setTimeout(done, 10));
    told(k + 1);
  }
  if (!problem && !stopped()) await encoder.flush();
  if (encoder.state !== "closed") encoder.close();
  if (problem) throw problem;
  return stopped() ? null : container(frames, width, height, rate, id);
}

export function saveFile(href, name) {
  const link = document.createElement("a");
  link.href = href;
  link.download = name;
  link.click();
}
