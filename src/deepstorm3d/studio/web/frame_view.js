// FrameView: an image of the camera, or of the same size, on a canvas: zoom, pan, contrast, marks, counts under
// the pointer. Views with the same `group` show the same part. The image comes as raw numbers (`src`), so contrast
// changes at once and the pointer reads true values.

const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };
const NEAREST = 60; // largest zoom, screen pixels a pixel of the image, about
const REACH = 9; // screen pixels from a mark within which it is named

// Parts of the image that are in view, by group: its middle {x, y}, px of the frame, and how many times larger it
// is than the whole frame would be. Views of different sizes share it.
const parts = new Map();

const PALETTES = {
  grey: (t) => [255 * t, 255 * t, 255 * t],
  // Negative blue, nothing the background, positive red: for residuals.
  signed: (t) => (t < 0.5 ? [510 * t, 510 * t, 255] : [255, 510 * (1 - t), 510 * (1 - t)]),
};

function table(name) {
  const colours = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    const [r, g, b] = PALETTES[name](i / 255).map((value) => Math.min(255, Math.round(value)));
    colours[i] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
  return colours;
}

export default {
  template: `
    <div class="ds-view">
      <div class="ds-view-title">{{ title }}<span class="ds-view-read">{{ read }}</span></div>
      <div class="ds-view-frame" ref="box">
        <canvas ref="canvas" tabindex="-1" @wheel.prevent="wheel" @pointerdown="down" @pointermove="move"
          @pointerup="up" @pointercancel="up" @pointerleave="leave" @dblclick="fit"></canvas>
        <div v-if="problem" class="ds-view-problem">{{ problem }}</div>
        <div v-if="flat" class="ds-view-problem ds-view-flat">{{ flat }}</div>
      </div>
    </div>`,
  props: {
    src: String, // address of the image; empty: none
    title: String,
    unit: String, // of its values
    low: Number, // value that is black; null: the 0.5 percentile of the image
    high: Number, // value that is white; null: the 99.8 percentile
    palette: { type: String, default: "grey" },
    group: String,
    corner: { type: Array, default: () => [0, 0] }, // column and row of the frame of the image's first pixel
    frame: Array, // width and height of the whole frame; nothing: the image is all of it
    layers: { type: Array, default: () => [] }, // marks: {shape, colour, x, y, tips, size}
    captions: { type: Array, default: () => [] }, // words on the equal parts, side by side, of the image
    rectangle: Array, // x0, y0, x1, y1 in px of the frame, or nothing
  },
  data: () => ({ read: "", problem: "", flat: "" }), // flat: what all pixels are, where they are all alike
  watch: {
    src() { this.load(); },
    low() { this.paint(); },
    high() { this.paint(); },
    palette() { this.paint(); },
    layers() { this.draw(); },
    captions() { this.draw(); },
    rectangle() { this.draw(); },
  },
  mounted() {
    this.image = null;
    this.key = this.group || Symbol("view");
    if (!parts.has(this.key)) parts.set(this.key, { x: 0, y: 0, zoom: 0, views: new Set() });
    this.part = parts.get(this.key);
    this.part.views.add(this);
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.$refs.box);
    this.load();
  },
  unmounted() {
    this.resized.disconnect();
    this.part.views.delete(this);
    if (this.part.views.size === 0) parts.delete(this.key);
  },
  methods: {
    async load() {
      const asked = this.src;
      if (!asked) { this.image = null; this.problem = this.flat = ""; this.draw(); return; }
      const answer = await fetch(asked);
      if (asked !== this.src) return; // a newer image is on its way
      if (!answer.ok) {
        this.image = null;
        this.flat = "";
        this.problem = answer.status === 404 ? "" : await answer.text();
        this.draw();
        return;
      }
      const values = new ARRAYS[answer.headers.get("X-Type")](await answer.arrayBuffer());
      const size = ["X-Width", "X-Height"].map((name) => Number(answer.headers.get(name)));
      if (asked !== this.src) return;
      // Another size is another frame, unless the image is only a part of one.
      if (!this.frame && this.size && String(size) !== String(this.size)) this.part.zoom = 0;
      this.size = size; // also of an image that has been taken away since
      this.problem = "";
      this.image = { values, width: size[0], height: size[1], drawn: new OffscreenCanvas(...size) };
      this.ends();
      this.paint();
    },
    // Percentiles of a sample of the pixels, for a contrast that suits most frames.
    ends() {
      const { values } = this.image;
      const step = Math.max(1, Math.floor(values.length / 20000));
      const sample = [];
      for (let i = 0; i < values.length; i += step) if (Number.isFinite(values[i])) sample.push(values[i]);
      sample.sort((a, b) => a - b);
      const at = (share) => sample[Math.min(sample.length - 1, Math.floor(share * sample.length))] ?? 0;
      this.image.low = at(0.005);
      const first = values[0], alike = values.every((value) => value === first);
      this.flat = alike ? `all pixels are ${this.inWords(first)}` : "";
      this.image.high = alike ? first + 1 : Math.max(at(0.998), at(0.005) + 1e-9);
      // The contrast is chosen in a range that a single hot pixel does not stretch.
      const { low, high } = this.image, span = high - low;
      const least = Math.max(at(0), low - span), most = Math.min(at(1), high + 2 * span);
      this.$emit("levels", { low, high, least, most });
    },
    paint() {
      if (!this.image) return this.draw();
      const { values, width, height, drawn } = this.image;
      let low = this.low ?? this.image.low, high = this.high ?? this.image.high;
      // What has no contrast is neither dark nor bright: the middle of the colours.
      if (this.flat && this.low == null) [low, high] = [values[0] - 1, values[0] + 1];
      const colours = table(this.palette), factor = 255 / Math.max(high - low, 1e-9);
      const pixels = new ImageData(width, height), out = new Uint32Array(pixels.data.buffer);
      for (let i = 0; i < values.length; i++) {
        const level = (values[i] - low) * factor;
        out[i] = colours[level > 0 ? (level < 255 ? Math.round(level) : 255) : 0];
      }
      drawn.getContext("2d").putImageData(pixels, 0, 0);
      this.draw();
    },
    fit() {
      this.part.zoom = 0;
      this.drawAll();
    },
    drawAll() { for (const view of this.part.views) view.draw(); },
    whole() { return this.frame || [this.image.width, this.image.height]; },
    // Screen pixels a pixel, and the frame's place of the canvas's corner.
    geometry() {
      const { part } = this, [columns, rows] = this.whole();
      const width = this.$refs.box.clientWidth, height = this.$refs.box.clientHeight;
      if (!part.zoom) Object.assign(part, { zoom: 1, x: columns / 2, y: rows / 2 });
      part.x = Math.min(Math.max(part.x, 0), columns);
      part.y = Math.min(Math.max(part.y, 0), rows);
      const scale = part.zoom * Math.min(width / columns, height / rows);
      return { scale, x: part.x - width / 2 / scale, y: part.y - height / 2 / scale };
    },
    draw() {
      const canvas = this.$refs.canvas, box = this.$refs.box;
      if (!canvas || !box.clientWidth) return;
      const ratio = window.devicePixelRatio || 1, width = box.clientWidth, height = box.clientHeight;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, width, height);
      if (!this.image) return;
      this.now = this.geometry();
      const { x, y, scale } = this.now;
      pen.imageSmoothingEnabled = false;
      const [left, top] = this.corner, { drawn, width: columns, height: rows } = this.image;
      pen.drawImage(drawn, (left - x) * scale, (top - y) * scale, columns * scale, rows * scale);
      for (const layer of this.layers) this.drawLayer(pen, layer);
      if (this.captions.length) this.drawCaptions(pen);
      if (this.rectangle) this.drawRectangle(pen, this.rectangle);
    },
    // At the foot of each part, however far it is zoomed.
    drawCaptions(pen) {
      const [left, top] = this.corner, { width, height } = this.image, share = width / this.captions.length;
      pen.font = "11px system-ui, sans-serif";
      pen.textAlign = "center";
      pen.lineWidth = 3;
      pen.strokeStyle = "rgba(0, 0, 0, 0.7)";
      pen.fillStyle = "#fff";
      this.captions.forEach((words, i) => {
        const [x, y] = this.place(left + (i + 0.5) * share - 0.5, top + height - 0.5);
        pen.strokeText(words, x, y - 6);
        pen.fillText(words, x, y - 6);
      });
    },
    // The centre of the frame's pixel (column, row) on the screen.
    place(column, row) {
      const { x, y, scale } = this.now;
      return [(column + 0.5 - x) * scale, (row + 0.5 - y) * scale];
    },
    drawLayer(pen, layer) {
      const size = layer.size ?? Math.min(9, Math.max(3.5, 1.6 * this.now.scale));
      pen.lineWidth = layer.width ?? 1.6;
      for (let i = 0; i < layer.x.length; i++) {
        const [x, y] = this.place(layer.x[i], layer.y[i]);
        pen.strokeStyle = Array.isArray(layer.colour) ? layer.colour[i] : layer.colour;
        pen.beginPath();
        if (layer.shape === "circle") pen.arc(x, y, size, 0, 2 * Math.PI);
        else if (layer.shape === "cross") {
          pen.moveTo(x - size, y - size); pen.lineTo(x + size, y + size);
          pen.moveTo(x - size, y + size); pen.lineTo(x + size, y - size);
        } else if (layer.shape === "square") pen.rect(x - size, y - size, 2 * size, 2 * size);
        else {
          pen.moveTo(x - size, y); pen.lineTo(x + size, y);
          pen.moveTo(x, y - size); pen.lineTo(x, y + size);
        }
        pen.stroke();
      }
    },
    drawRectangle(pen, [x0, y0, x1, y1]) {
      const [left, top] = this.place(x0 - 0.5, y0 - 0.5), [right, bottom] = this.place(x1 - 0.5, y1 - 0.5);
      pen.setLineDash([5, 4]);
      pen.lineWidth = 1.4;
      pen.strokeStyle = "#5fb0ff";
      pen.strokeRect(left, top, right - left, bottom - top);
      pen.setLineDash([]);
    },
    // Column and row of the frame under the pointer, as real numbers; the centre of the first pixel is 0, 0.
    under(event) {
      const box = this.$refs.canvas.getBoundingClientRect(), { x, y, scale } = this.now;
      return [
        (event.clientX - box.left) / scale + x - 0.5,
        (event.clientY - box.top) / scale + y - 0.5,
      ];
    },
    wheel(event) {
      if (!this.image) return;
      const { part } = this, box = this.$refs.canvas.getBoundingClientRect(), before = this.now.scale;
      const most = (NEAREST * Math.max(...this.whole())) / Math.min(box.width, box.height);
      part.zoom = Math.min(most, Math.max(0.5, part.zoom * Math.exp(-0.0015 * event.deltaY)));
      const { scale } = this.geometry();
      // What is under the pointer stays there.
      part.x += (event.clientX - box.left - box.width / 2) * (1 / before - 1 / scale);
      part.y += (event.clientY - box.top - box.height / 2) * (1 / before - 1 / scale);
      this.drawAll();
    },
    down(event) {
      if (!this.image || event.button !== 0) return;
      this.$refs.canvas.setPointerCapture(event.pointerId);
      const [column, row] = this.under(event);
      this.held = { x: event.clientX, y: event.clientY, column, row, far: false, region: event.shiftKey };
    },
    move(event) {
      if (!this.image) return;
      this.say(event);
      if (!this.held) return;
      const dx = event.clientX - this.held.x, dy = event.clientY - this.held.y;
      if (!this.held.far && Math.hypot(dx, dy) < 4) return;
      this.held.far = true;
      if (this.held.region) {
        this.dragged = this.corners(event);
        this.draw();
        this.drawRectangle(this.$refs.canvas.getContext("2d"), this.dragged);
        return;
      }
      this.part.x -= dx / this.now.scale;
      this.part.y -= dy / this.now.scale;
      this.held.x = event.clientX;
      this.held.y = event.clientY;
      this.drawAll();
    },
    corners(event) {
      const [column, row] = this.under(event), { image, corner } = this;
      const inside = (value, first, size) => Math.min(Math.max(Math.round(value + 0.5), first), first + size);
      const xs = [this.held.column, column].map((value) => inside(value, corner[0], image.width));
      const ys = [this.held.row, row].map((value) => inside(value, corner[1], image.height));
      return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
    },
    up(event) {
      const held = this.held;
      this.held = null;
      if (!held || !this.image) return;
      if (held.far && held.region) {
        this.$emit("region", { box: this.dragged });
        this.draw();
      } else if (!held.far) this.$emit("pick", { x: held.column, y: held.row });
    },
    leave() { if (!this.held) this.read = ""; },
    say(event) {
      const [x, y] = this.under(event), column = Math.round(x), row = Math.round(y);
      const i = column - this.corner[0], j = row - this.corner[1], { width, height, values } = this.image;
      if (i < 0 || j < 0 || i >= width || j >= height) { this.read = ""; return; }
      const value = values[j * width + i];
      this.read = `x ${column}, y ${row} px   ${this.inWords(value)}${this.nearest(x, y)}`;
    },
    inWords(value) { return `${Number.isInteger(value) ? value : value.toPrecision(4)} ${this.unit || ""}`; },
    nearest(x, y) {
      let best = REACH / this.now.scale, tip = "";
      for (const layer of this.layers) {
        if (!layer.tips) continue;
        for (let k = 0; k < layer.x.length; k++) {
          const far = Math.hypot(layer.x[k] - x, layer.y[k] - y);
          if (far < best) { best = far; tip = `  ·  ${layer.tips[k]}`; }
        }
      }
      return tip;
    },
  },
};
