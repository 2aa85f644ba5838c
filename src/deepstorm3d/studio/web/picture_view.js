// PictureView: a super-resolved picture that the server draws anew for every zoom, at the canvas's own pixels. While
// a new one is on its way, the last one is moved and scaled; a first look at a part of the rows comes before the
// whole. Wheel: zoom; drag: pan; double click: everything; click: the molecule there.

const PATIENCE = 60; // milliseconds of rest after which a picture is asked for
const FINEST = 2.5e-4; // µm: smallest pixel
const BARS = [1, 2, 5]; // lengths of scale bars, times a power of ten
const told = (value) => `${+value.toFixed(Math.abs(value) < 100 ? 2 : 0)}`;

export default {
  template: `
    <div class="ds-view ds-picture">
      <div class="ds-view-title"><span>{{ title }}</span><span class="ds-view-read" data-test="picture-read">{{ read }}</span></div>
      <div class="ds-view-frame" ref="box" tabindex="0" @keydown="key">
        <canvas ref="canvas" @wheel.prevent="wheel" @pointerdown="down" @pointermove="move" @pointerup="up"
          @pointercancel="up" @pointerleave="leave" @dblclick="fit"></canvas>
        <div v-if="problem" class="ds-view-problem">{{ problem }}</div>
        <div v-if="busy" class="ds-picture-busy">{{ busy }}</div>
      </div>
    </div>`,
  props: {
    src: String, // address of the pictures, with a version; empty: none
    home: { type: Array, default: () => [0, 0, 1, 1] }, // left, top, right, bottom of everything, µm
    homeKey: String, // another one: everything is shown again
    title: String,
    labels: { type: Array, default: () => ["x", "y"] }, // of the axes to the right and down
    colours: { type: Array, default: () => [] }, // CSS colours of the colour bar; empty: none
    ends: { type: Array, default: () => [0, 1] }, // values at its ends
    endsLabel: String,
    names: { type: Array, default: () => [] }, // of the colours one by one; empty: they are a scale
  },
  data: () => ({ read: "", problem: "", busy: "" }),
  watch: {
    src() { this.ask(0); },
    homeKey() { this.fit(); },
    colours() { this.draw(); },
    ends() { this.draw(); },
    names() { this.draw(); },
  },
  mounted() {
    this.screen = Math.random().toString(36).slice(2);
    this.number = 0;
    this.shown = null; // {bitmap, left, top, pixel}: the last picture and where it is
    this.view = null; // {x, y, pixel}: middle of the window and its pixel, µm
    this.resized = new ResizeObserver(() => { this.draw(); this.ask(PATIENCE); });
    this.resized.observe(this.$refs.box);
    this.$el.view = this; // for tests
    this.fit();
  },
  unmounted() {
    this.resized.disconnect();
    clearTimeout(this.timer);
    this.waiting?.abort();
  },
  methods: {
    size() {
      const ratio = window.devicePixelRatio || 1, box = this.$refs.box;
      return [Math.round(box.clientWidth * ratio), Math.round(box.clientHeight * ratio)];
    },
    fit() {
      const [width, height] = this.size(), [left, top, right, bottom] = this.home;
      if (!width || !height) { this.view = null; return; }
      const pixel = Math.max((right - left) / width, (bottom - top) / height, FINEST) * 1.04;
      this.view = { x: (left + right) / 2, y: (top + bottom) / 2, pixel };
      this.draw();
      this.ask(0);
    },
    // The window, whole canvas pixels.
    window() {
      const [width, height] = this.size(), { x, y, pixel } = this.view;
      return { left: x - (width / 2) * pixel, top: y - (height / 2) * pixel, pixel_um: pixel, width, height };
    },
    ask(delay) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.load(), delay);
    },
    async load() {
      this.waiting?.abort();
      if (!this.src) { this.shown = null; this.problem = ""; this.draw(); return; }
      if (!this.size().every(Boolean)) return; // hidden: drawn when it is seen again
      if (!this.view) { this.fit(); return; }
      const mine = new AbortController();
      this.waiting = mine;
      const asked = performance.now();
      setTimeout(() => { if (this.waiting === mine && !this.busy && !this.$el.dataset.whole) this.busy = "drawing …"; }, 500);
      delete this.$el.dataset.whole;
      try {
        for (const rough of [true, false]) {
          const got = await this.fetch(rough, mine.signal);
          if (!got || mine.signal.aborted) return;
          const { answer } = got;
          this.$el.dataset.seconds = ((performance.now() - asked) / 1000).toFixed(3);
          if (answer.step === 1) { this.busy = ""; this.$el.dataset.whole = `${this.number}`; return; }
          this.busy = "a part of the rows";
        }
      } catch (error) {
        if (error.name === "AbortError") return;
        this.busy = "";
        this.problem = `the picture did not come: ${error.message}`;
      }
    },
    async fetch(rough, signal) {
      const window = this.window(), number = ++this.number;
      const asked = new URLSearchParams({ ...window, rough, number, screen: this.screen });
      const answer = await fetch(`${this.src}&${asked}`, { signal });
      if (answer.status === 204) return null;
      if (!answer.ok) {
        this.problem = answer.status === 404 ? "" : await answer.text();
        this.shown = null;
        this.busy = "";
        this.draw();
        return null;
      }
      const bitmap = await createImageBitmap(await answer.blob());
      if (signal.aborted) return null;
      this.problem = "";
      this.shown = { bitmap, left: window.left, top: window.top, pixel: window.pixel_um };
      this.inside = Number(answer.headers.get("X-Inside"));
      this.draw();
      return { window, answer: { step: Number(answer.headers.get("X-Step")) } };
    },
    draw() {
      const canvas = this.$refs.canvas;
      if (!canvas) return;
      const [width, height] = this.size(), ratio = window.devicePixelRatio || 1;
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      const pen = canvas.getContext("2d");
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.fillStyle = "#000";
      pen.fillRect(0, 0, width, height);
      if (!this.view || !this.shown) return;
      const { bitmap, left, top, pixel } = this.shown, now = this.window(), scale = pixel / now.pixel_um;
      pen.imageSmoothingEnabled = false;
      pen.drawImage(bitmap, (left - now.left) / now.pixel_um, (top - now.top) / now.pixel_um,
        bitmap.width * scale, bitmap.height * scale);
      pen.scale(ratio, ratio);
      this.drawBars(pen, width / ratio, height / ratio, now.pixel_um * ratio);
    },
    // Scale bar and colour bar, in CSS pixels.
    drawBars(pen, width, height, pixel) {
      const aim = (0.2 * width * pixel), power = 10 ** Math.floor(Math.log10(aim));
      const length = Math.max(...BARS.map((bar) => bar * power).filter((bar) => bar <= aim), power / 2);
      const x = width - 16, y = height - 16;
      pen.font = "12px system-ui, sans-serif";
      pen.textBaseline = "alphabetic";
      pen.fillStyle = "rgba(0, 0, 0, .55)";
      pen.fillRect(x - length / pixel - 6, y - 24, length / pixel + 12, 34);
      pen.fillStyle = "#fff";
      pen.fillRect(x - length / pixel, y, length / pixel, 4);
      pen.textAlign = "center";
      pen.fillText(length < 1 ? `${+(1000 * length).toPrecision(3)} nm` : `${+length.toPrecision(3)} µm`, x - length / pixel / 2, y - 6);
      if (!this.colours.length) return;
      if (this.names.length) { this.drawNames(pen, y); return; }
      const wide = 170, fill = pen.createLinearGradient(16, 0, 16 + wide, 0);
      this.colours.forEach((colour, i) => fill.addColorStop(i / (this.colours.length - 1), colour));
      pen.fillStyle = "rgba(0, 0, 0, .55)";
      pen.fillRect(10, y - 24, wide + 12, 34);
      pen.fillStyle = fill;
      pen.fillRect(16, y - 2, wide, 7);
      pen.fillStyle = "#fff";
      pen.textAlign = "left";
      pen.fillText(told(this.ends[0]), 16, y - 7);
      pen.textAlign = "center";
      pen.fillText(this.endsLabel || "", 16 + wide / 2, y - 7);
      pen.textAlign = "right";
      pen.fillText(told(this.ends[1]), 16 + wide, y - 7);
    },
    // A square of each colour and its name, side by side.
    drawNames(pen, y) {
      const widths = this.names.map((name) => pen.measureText(name).width + 30);
      pen.fillStyle = "rgba(0, 0, 0, .55)";
      pen.fillRect(10, y - 14, widths.reduce((sum, width) => sum + width, 4), 24);
      pen.textAlign = "left";
      let x = 16;
      this.names.forEach((name, i) => {
        pen.fillStyle = this.colours[i];
        pen.fillRect(x, y - 7, 11, 11);
        pen.fillStyle = "#fff";
        pen.fillText(name, x + 16, y + 3);
        x += widths[i];
      });
    },
    // Position under the pointer, µm.
    under(event) {
      const box = this.$refs.canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1, now = this.window();
      return [now.left + (event.clientX - box.left) * ratio * now.pixel_um,
        now.top + (event.clientY - box.top) * ratio * now.pixel_um];
    },
    zoom(factor, x = this.view.x, y = this.view.y) {
      const [width, height] = this.size(), [left, top, right, bottom] = this.home;
      const most = 4 * Math.max((right - left) / width, (bottom - top) / height, FINEST);
      const pixel = Math.min(most, Math.max(FINEST, this.view.pixel * factor)), kept = pixel / this.view.pixel;
      this.view = { x: x + (this.view.x - x) * kept, y: y + (this.view.y - y) * kept, pixel };
      this.draw();
      this.ask(PATIENCE);
    },
    wheel(event) {
      if (this.view) this.zoom(Math.exp(0.0015 * event.deltaY), ...this.under(event));
    },
    key(event) {
      if (!this.view) return;
      const step = 60 * this.view.pixel;
      const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if (event.key in moves) {
        this.view.x += moves[event.key][0];
        this.view.y += moves[event.key][1];
        this.draw();
        this.ask(PATIENCE);
      } else if (event.key === "+" || event.key === "=") this.zoom(1 / 1.4);
      else if (event.key === "-") this.zoom(1.4);
      else if (event.key === "0" || event.key === "Home") this.fit();
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
    down(event) {
      if (!this.view || event.button !== 0) return;
      this.$refs.canvas.setPointerCapture(event.pointerId);
      this.held = { x: event.clientX, y: event.clientY, far: false };
    },
    move(event) {
      if (!this.view || !this.src) return;
      const [x, y] = this.under(event), digits = Math.max(0, Math.ceil(-Math.log10(this.view.pixel)));
      this.read = `${this.labels[0]} ${x.toFixed(digits)}  ${this.labels[1]} ${y.toFixed(digits)} µm`;
      if (!this.held) return;
      const dx = event.clientX - this.held.x, dy = event.clientY - this.held.y;
      if (!this.held.far && Math.hypot(dx, dy) < 4) return;
      const ratio = window.devicePixelRatio || 1;
      this.view.x -= dx * ratio * this.view.pixel;
      this.view.y -= dy * ratio * this.view.pixel;
      this.held = { x: event.clientX, y: event.clientY, far: true };
      this.draw();
      this.ask(PATIENCE);
    },
    up(event) {
      const held = this.held;
      this.held = null;
      if (!held || held.far || !this.src) return;
      const [x, y] = this.under(event);
      this.$emit("pick", { x, y, reach: 12 * this.view.pixel * (window.devicePixelRatio || 1) });
    },
    leave() { if (!this.held) this.read = ""; },
    // The picture on the screen, with its bars, as a PNG that the browser saves.
    save(name) {
      const link = document.createElement("a");
      link.href = this.$refs.canvas.toDataURL("image/png");
      link.download = name;
      link.click();
    },
  },
};
