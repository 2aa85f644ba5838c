// SpaceView: some ten thousand points in a box, to turn with the pointer. Points come as four float32 each: x, y, z
// in µm and the index of their colour. All axes have one scale; y points down from above, as on the frame.

const REACH = 0.46; // share of the view that the box's largest diagonal may take, either side of the middle

export default {
  template: `
    <div class="ds-view">
      <div class="ds-view-title"><span><span v-for="(name, k) in names" :style="{ color: colours[k] }"
        v-show="counts[k]" style="margin-right: 10px">● {{ name }} {{ counts[k] }}</span></span>
        <span>{{ problem }}</span></div>
      <div class="ds-space" ref="box">
        <canvas ref="canvas" @pointerdown="down" @pointermove="move" @pointerup="up" @pointercancel="up"
          @wheel.prevent="wheel" @dblclick="reset"></canvas>
      </div>
    </div>`,
  props: {
    src: String, // address of the points; empty: none
    names: Array, // of the colours
    colours: Array,
    size: { type: Number, default: 4 }, // half width of a point, screen px
  },
  data: () => ({ counts: [], problem: "" }),
  watch: { src() { this.load(); } },
  mounted() {
    this.points = new Float32Array(0);
    this.reset();
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.$refs.box);
    // The colours of text and lines are those of the page, which may turn dark.
    this.darkened = new MutationObserver(() => this.draw());
    this.darkened.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    this.load();
  },
  unmounted() {
    this.resized.disconnect();
    this.darkened.disconnect();
  },
  methods: {
    async load() {
      const asked = this.src;
      let values = new Float32Array(0), problem = "";
      if (asked) {
        const answer = await fetch(asked);
        if (answer.ok) values = new Float32Array(await answer.arrayBuffer());
        else problem = answer.status === 404 ? "" : await answer.text();
      }
      if (asked !== this.src) return; // newer points are on their way
      this.points = values;
      this.problem = problem;
      const counts = this.names.map(() => 0);
      for (let i = 3; i < values.length; i += 4) counts[values[i]]++;
      this.counts = counts;
      this.measure();
      this.draw();
    },
    // The box: a little larger than the points.
    measure() {
      const { points } = this, low = [0, 0, 0], high = [1, 1, 1];
      for (let k = 0; k < 3 && points.length; k++) {
        low[k] = Infinity;
        high[k] = -Infinity;
        for (let i = k; i < points.length; i += 4) {
          if (points[i] < low[k]) low[k] = points[i];
          if (points[i] > high[k]) high[k] = points[i];
        }
        const room = Math.max(0.1, 0.04 * (high[k] - low[k]));
        low[k] -= room;
        high[k] += room;
      }
      this.low = low;
      this.high = high;
    },
    reset() {
      Object.assign(this, { turn: 0.5, tilt: 0.45, zoom: 1 });
      this.draw();
    },
    draw() {
      cancelAnimationFrame(this.waiting);
      this.waiting = requestAnimationFrame(() => this.paint());
    },
    paint() {
      const { canvas, box } = this.$refs;
      if (!canvas || !box.clientWidth) return;
      const ratio = window.devicePixelRatio || 1, width = box.clientWidth, height = box.clientHeight;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      if (!this.points.length) return;
      this.aim(width, height);
      this.paintBox(pen);
      // Rows that went wrong lie on top of those that were right, which are many.
      for (let colour = 0; colour < this.colours.length; colour++) this.paintPoints(pen, colour);
    },
    // From µm to the screen: a turn about the vertical, a tilt, one scale.
    aim(width, height) {
      const { low, high, turn, tilt } = this, sides = low.map((value, k) => high[k] - value);
      const scale = (this.zoom * 2 * REACH * Math.min(width, height * 1.15)) / Math.hypot(...sides);
      const [c, s, ct, st] = [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)];
      const middle = low.map((value, k) => (value + high[k]) / 2);
      this.place = (x, y, z) => {
        const dx = x - middle[0], dy = middle[1] - y, dz = z - middle[2];
        const right = dx * c - dy * s, away = dx * s + dy * c;
        return [width / 2 + scale * right, height / 2 - scale * (away * st + dz * ct)];
      };
    },
    paintPoints(pen, colour) {
      const { points, size } = this;
      pen.fillStyle = this.colours[colour];
      for (let i = 0; i < points.length; i += 4) {
        if (points[i + 3] !== colour) continue;
        const [x, y] = this.place(points[i], points[i + 1], points[i + 2]);
        if (size > 2) {
          pen.beginPath();
          pen.arc(x, y, size, 0, 2 * Math.PI);
          pen.fill();
        } else pen.fillRect(x - size, y - size, 2 * size, 2 * size);
      }
    },
    paintBox(pen) {
      const { low, high } = this, style = getComputedStyle(this.$refs.box);
      const corner = (i) => [0, 1, 2].map((k) => ((i >> k) & 1 ? high[k] : low[k]));
      pen.lineWidth = 1;
      pen.strokeStyle = style.getPropertyValue("--ds-line");
      for (let i = 0; i < 8; i++)
        for (let k = 0; k < 3; k++) {
          if ((i >> k) & 1) continue;
          const from = this.place(...corner(i)), to = this.place(...corner(i | (1 << k)));
          pen.beginPath();
          pen.moveTo(...from);
          pen.lineTo(...to);
          pen.stroke();
        }
      pen.fillStyle = style.getPropertyValue("--ds-faint");
      pen.font = "11px system-ui, sans-serif";
      pen.textAlign = "center";
      for (let k = 0; k < 3; k++) this.label(pen, k, corner);
    },
    // The axis's name at the middle of one of its four edges, the ends beside it: at the lowest for x and y, the
    // leftmost for z, so that the words stand beside the box.
    label(pen, axis, corner) {
      const edges = [];
      for (let i = 0; i < 8; i++)
        if (!((i >> axis) & 1)) edges.push([this.place(...corner(i)), this.place(...corner(i | (1 << axis)))]);
      const beside = ([[x0, y0], [x1, y1]]) => (axis === 2 ? -(x0 + x1) : y0 + y1);
      const [from, to] = edges.reduce((best, edge) => (beside(edge) > beside(best) ? edge : best));
      const [dx, dy] = axis === 2 ? [-18, 4] : [0, 15];
      const at = (share) => [from[0] + share * (to[0] - from[0]) + dx, from[1] + share * (to[1] - from[1]) + dy];
      const { clientWidth: width, clientHeight: height } = this.$refs.box;
      // Words that would reach over an edge of the view are moved inside.
      const write = (words, [x, y]) => {
        const half = pen.measureText(words).width / 2 + 2;
        pen.fillText(words, Math.min(width - half, Math.max(half, x)), Math.min(height - 4, Math.max(11, y)));
      };
      write(this.low[axis].toFixed(1), at(0.08));
      write(`${"xyz"[axis]} (µm)`, at(0.5));
      write(this.high[axis].toFixed(1), at(0.92));
    },
    down(event) {
      this.$refs.canvas.setPointerCapture(event.pointerId);
      this.held = [event.clientX, event.clientY];
    },
    move(event) {
      if (!this.held) return;
      this.turn += 0.008 * (event.clientX - this.held[0]);
      this.tilt = Math.min(Math.PI / 2, Math.max(0, this.tilt + 0.008 * (event.clientY - this.held[1])));
      this.held = [event.clientX, event.clientY];
      this.draw();
    },
    up() { this.held = null; },
    wheel(event) {
      this.zoom = Math.min(20, Math.max(0.3, this.zoom * Math.exp(-0.0015 * event.deltaY)));
      this.draw();
    },
  },
};
