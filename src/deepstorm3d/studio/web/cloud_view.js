// CloudView: millions of points in three dimensions. While the cloud is turned, at most `budget` of its points are
// drawn (a fair sample); a moment after it rests, all of them, a few at a time so that the page stays quick.
import * as THREE from "deepstorm3d-three";
import { loadPoints, makeFilm, paint, pointMaterial, saveFile } from "deepstorm3d-cloud";

const MOVING = 2_000_000; // most points drawn while moving
const FEWEST = 100_000; // fewest points, on a slow machine
const BATCH = 500_000; // points drawn at a time when the cloud rests
const REST = 250; // milliseconds without a move after which all points are drawn
const SLOW = 140; // milliseconds a frame above which fewer points are drawn
const QUICK = 50; // and below which more are
const ANGLE = 35; // field of view, degrees
const FILM = { frames: 180, rate: 30 };
// From where the view is taken: toward the viewer, and up.
const VIEWS = {
  xy: [[0, 0, 1], [0, 1, 0]],
  xz: [[0, -1, 0], [0, 0, 1]],
  yz: [[1, 0, 0], [0, 1, 0]],
  oblique: [[0.55, -0.75, 0.6], [0, 0, 1]],
};
const AXES = ["x", "y", "z"];
const seconds = () => performance.now() / 1000;

export default {
  template: `
    <div class="ds-view ds-cloud">
      <div class="ds-view-title"><span>{{ title }}</span><span class="ds-view-read" data-test="cloud-read">{{ read }}</span></div>
      <div class="ds-view-frame" ref="box" tabindex="0" @keydown="key">
        <canvas ref="canvas"></canvas><canvas ref="over" class="ds-cloud-over"></canvas>
        <div v-if="problem" class="ds-view-problem">{{ problem }}</div>
      </div>
    </div>`,
  props: {
    src: String, // address of the header of the points, with a version; empty: none
    title: String,
    colours: { type: Array, default: () => ["#ffffff"] },
    pixels: { type: Number, default: 1.5 }, // size of a point, or its factor where σ gives the size
    bySigma: Boolean,
    glow: Boolean, // brightness adds up, so that density shows
    slab: { type: Array, default: () => ["z", 0, 1] }, // axis, and the part of the box that is drawn
    turning: Boolean,
    adaptive: { type: Boolean, default: true }, // fewer points than `budget` where the machine is slow
  },
  data: () => ({ read: "", problem: "" }),
  watch: {
    src() { this.load(); },
    pixels() { this.restyle(); },
    bySigma() { this.restyle(); },
    glow() { this.restyle(); },
    slab() { this.restyle(); },
    turning() { this.before = null; this.moved(); },
  },
  mounted() {
    this.$el.view = this; // for tests and measurements
    this.budget = MOVING;
    this.chunks = [];
    this.movedAt = -1;
    try {
      this.renderer = new THREE.WebGLRenderer({ canvas: this.$refs.canvas, preserveDrawingBuffer: true, antialias: false });
    } catch {
      this.problem = "This browser cannot draw in three dimensions (WebGL 2 is missing or switched off).";
      return;
    }
    this.renderer.autoClear = false;
    this.renderer.setPixelRatio(window.devicePixelRatio || 1);
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(ANGLE, 1, 0.01, 1000);
    this.controls = new THREE.TrackballControls(this.camera, this.$refs.over);
    Object.assign(this.controls, { rotateSpeed: 3, zoomSpeed: 1.2, panSpeed: 0.6, staticMoving: true });
    this.controls.addEventListener("change", () => this.moved());
    this.material = pointMaterial(this.colours);
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(this.$refs.box);
    this.frame = requestAnimationFrame(() => this.tick());
    this.resize();
    this.load();
  },
  unmounted() {
    cancelAnimationFrame(this.frame);
    this.waiting?.abort();
    this.resized?.disconnect();
    this.clear();
    this.controls?.dispose();
    this.renderer?.dispose();
  },
  methods: {
    async load() {
      if (!this.renderer) return;
      this.waiting?.abort();
      const mine = new AbortController(), begun = seconds();
      this.waiting = mine;
      this.problem = "";
      try {
        if (!this.src) { this.clear(); this.header = null; this.redraw(); return; }
        const answer = await fetch(this.src, { signal: mine.signal });
        if (!answer.ok) throw new Error(await answer.text());
        const header = await answer.json(), other = !this.header || `${header.low}${header.high}` !== `${this.header.low}${this.header.high}`;
        this.header = header;
        paint(this.material, header.palette ?? this.colours);
        this.times = { begun };
        if (other) this.see("oblique");
        if (!header.points) { this.clear(); this.problem = "No row is left to draw."; this.redraw(); return; }
        let first = true;
        await loadPoints(this.src, header, this.material, mine.signal, (points) => {
          if (first) this.clear();
          first = false;
          this.chunks.push(points);
          this.scene.add(points);
          this.times.first ??= seconds() - begun;
          this.restyle();
        });
        if (!mine.signal.aborted) this.times.all = seconds() - begun;
      } catch (error) {
        if (error.name !== "AbortError") this.problem = `the points did not come: ${error.message}`;
      }
    },
    clear() {
      for (const points of this.chunks) { this.scene.remove(points); points.geometry.dispose(); }
      this.chunks = [];
      this.lines?.forEach((line) => this.scene.remove(line));
    },
    size() { return this.header ? AXES.map((_, i) => this.header.high[i] - this.header.low[i]) : [1, 1, 1]; },
    total() { return this.chunks.reduce((sum, points) => sum + points.userData.count, 0); },
    resize() {
      const { clientWidth: width, clientHeight: height } = this.$refs.box;
      if (!width || !height) return;
      this.renderer.setSize(width, height, false);
      const ratio = window.devicePixelRatio || 1;
      Object.assign(this.$refs.over, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
      this.camera.aspect = width / height;
      this.camera.updateProjectionMatrix();
      this.controls.handleResize();
      this.restyle();
    },
    restyle() {
      if (!this.material) return;
      const { uniforms } = this.material, size = this.size(), [axis, low, high] = this.slab;
      uniforms.box.value.set(...size);
      uniforms.slabLow.value.set(...AXES.map((name) => (name === axis ? low : 0)));
      uniforms.slabHigh.value.set(...AXES.map((name) => (name === axis ? high : 1)));
      uniforms.pixels.value = this.pixels * (window.devicePixelRatio || 1) ** (this.bySigma ? 0 : 1);
      uniforms.bySigma.value = this.bySigma ? 1 : 0;
      uniforms.near.value = this.distance();
      uniforms.sigmaStep.value = this.header?.sigma_step_um ?? 0.0005;
      // Screen pixels of a µm at a distance of one µm.
      uniforms.perMicron.value = this.$refs.canvas.height / 2 / Math.tan((ANGLE * Math.PI) / 360);
      uniforms.light.value = this.glow ? 0.25 : 1;
      Object.assign(this.material, {
        blending: this.glow ? THREE.AdditiveBlending : THREE.NoBlending,
        transparent: this.glow,
        depthTest: !this.glow,
        depthWrite: !this.glow,
      });
      this.redraw();
    },
    // How far the camera must be to see nearly everything, however it is turned.
    distance() { return (0.43 * Math.hypot(...this.size())) / Math.sin((ANGLE * Math.PI) / 360) / Math.min(1, this.camera.aspect); },
    // Look from one of `VIEWS` at the middle of everything.
    see(name) {
      const [from, up] = VIEWS[name], far = this.distance();
      this.controls.target.set(0, 0, 0);
      this.camera.position.set(...from).normalize().multiplyScalar(far);
      this.camera.up.set(...up);
      this.camera.near = far / 500;
      this.camera.far = 4 * far;
      this.camera.updateProjectionMatrix();
      this.camera.lookAt(0, 0, 0);
      this.moved();
    },
    // Turn about the vertical of the screen, degrees.
    turn(degrees) {
      const { position, up } = this.camera;
      position.sub(this.controls.target).applyAxisAngle(up.clone().normalize(), (degrees * Math.PI) / 180).add(this.controls.target);
      this.camera.lookAt(this.controls.target);
      this.moved();
    },
    key(event) {
      const turns = { ArrowLeft: -15, ArrowRight: 15 };
      if (event.key in turns) this.turn(turns[event.key]);
      else if (event.key === "0" || event.key === "Home") this.see("oblique");
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
    moved() { this.movedAt = performance.now(); this.done = 0; this.sketch = true; },
    redraw() { this.done = 0; this.sketch = this.total() > BATCH; },
    tick() {
      this.frame = requestAnimationFrame(() => this.tick());
      if (!this.$refs.box.clientWidth || this.filming) return;
      this.controls.update();
      const now = performance.now();
      if (this.turning) {
        this.turn(this.before ? ((now - this.before) / 1000) * 30 : 0); // 30 degrees a second
        this.before = now;
      }
      if (this.sketch) this.drawSketch(now);
      else if (now - this.movedAt > REST) this.drawMore();
    },
    // The first points of all: a fair sample.
    drawSketch(now) {
      this.sketch = false;
      const moving = now - this.movedAt < REST, number = moving ? this.budget : Math.min(this.budget, BATCH);
      this.drawRange(0, number, true);
      this.drawOver();
      this.drawn = Math.min(number, this.total());
      this.done = this.drawn;
      if (moving && this.adaptive && this.lastSketch && now - this.lastSketch < 1000) this.adapt(now - this.lastSketch);
      this.lastSketch = now;
      this.tell();
    },
    adapt(spent) {
      if (spent > SLOW) this.budget = Math.max(FEWEST, Math.round(0.75 * this.budget));
      else if (spent < QUICK) this.budget = Math.min(MOVING, Math.round(1.15 * this.budget));
    },
    // At rest: some more points on top of those that are drawn, until all are.
    drawMore() {
      const total = this.total();
      if (this.done >= total && this.done > 0) return;
      if (!total && !this.header) { if (this.done !== 0) return; this.done = 1; }
      this.drawRange(this.done, this.done + BATCH, this.done === 0);
      if (this.done === 0) this.drawOver();
      this.done = Math.max(1, Math.min(total, this.done + BATCH));
      this.drawn = Math.min(this.done, total);
      this.tell();
    },
    drawRange(from, to, clear) {
      if (clear) this.renderer.clear();
      let begin = 0;
      for (const points of this.chunks) {
        const { count } = points.userData, low = Math.max(0, from - begin), high = Math.min(count, to - begin);
        points.visible = high > low;
        points.geometry.setDrawRange(low, Math.max(0, high - low));
        begin += count;
      }
      this.renderer.render(this.scene, this.camera);
    },
    tell() {
      const total = this.total();
      const loading = this.header && total < this.header.points ? ` · ${total.toLocaleString("en")} have come` : "";
      const of = this.header ? this.header.points : 0;
      this.read = of ? `${this.drawn.toLocaleString("en")} of ${of.toLocaleString("en")} points${loading}` : "";
      Object.assign(this.$el.dataset, { drawn: this.drawn, points: of });
    },
    // Edges of the box with their lengths, and the colour bar.
    drawOver() {
      const canvas = this.$refs.over, pen = canvas.getContext("2d"), ratio = window.devicePixelRatio || 1;
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, canvas.width, canvas.height);
      if (!this.header || !this.header.points) return;
      const { clientWidth: width, clientHeight: height } = this.$refs.box, size = this.size();
      this.camera.updateMatrixWorld();
      const place = (corner) => {
        const at = new THREE.Vector3(...corner.map((side, i) => side * size[i] * 0.5 * (i ? -1 : 1))).project(this.camera);
        return [((at.x + 1) / 2) * width, ((1 - at.y) / 2) * height];
      };
      pen.font = "12px system-ui, sans-serif";
      pen.strokeStyle = "rgba(255, 255, 255, .28)";
      for (let axis = 0; axis < 3; axis++) {
        const others = [0, 1, 2].filter((i) => i !== axis), middles = [];
        for (let k = 0; k < 4; k++) {
          const [from, to] = [-1, 1].map((end) => {
            const corner = [0, 0, 0];
            corner[axis] = end;
            others.forEach((i, n) => { corner[i] = (k >> n) & 1 ? 1 : -1; });
            return place(corner);
          });
          pen.beginPath();
          pen.moveTo(...from);
          pen.lineTo(...to);
          pen.stroke();
          middles.push([(from[0] + to[0]) / 2, (from[1] + to[1]) / 2]);
        }
        // Beside the lowest edge, for depth the one farthest to the right.
        const at = middles.reduce((one, other) => (axis === 2 ? other[0] > one[0] : other[1] > one[1]) ? other : one);
        pen.fillStyle = "rgba(255, 255, 255, .85)";
        pen.textAlign = axis === 2 ? "left" : "center";
        pen.fillText(`${AXES[axis]} ${+size[axis].toPrecision(3)} µm`, at[0] + (axis === 2 ? 6 : 0), at[1] + (axis === 2 ? 4 : 15));
      }
      this.drawColours(pen, height);
    },
    drawColours(pen, height) {
      if (this.header.legend) { this.drawNames(pen, height - 16); return; }
      const wide = 170, y = height - 16, fill = pen.createLinearGradient(16, 0, 16 + wide, 0);
      this.colours.forEach((colour, i) => fill.addColorStop(i / Math.max(1, this.colours.length - 1), colour));
      pen.fillStyle = fill;
      pen.fillRect(16, y - 2, wide, 7);
      pen.fillStyle = "#fff";
      pen.textAlign = "left";
      const [low, high] = this.header.ends.map((end) => +end.toFixed(Math.abs(end) < 100 ? 2 : 0));
      pen.fillText(`${low}`, 16, y - 20);
      pen.fillText(this.header.label, 16, y - 7);
      pen.textAlign = "right";
      pen.fillText(`${high}`, 16 + wide, y - 20);
    },
    // A square of each colour and its name, side by side.
    drawNames(pen, y) {
      const [colours, names] = this.header.legend;
      pen.textAlign = "left";
      let x = 16;
      names.forEach((name, i) => {
        pen.fillStyle = colours[i];
        pen.fillRect(x, y - 7, 11, 11);
        pen.fillStyle = "#fff";
        pen.fillText(name, x + 16, y + 3);
        x += pen.measureText(name).width + 30;
      });
    },
    // All points at once, and what lies over them, on one canvas.
    whole() {
      this.drawRange(0, Infinity, true);
      this.drawOver();
      const { width, height } = this.$refs.canvas, canvas = Object.assign(document.createElement("canvas"), { width, height });
      const pen = canvas.getContext("2d");
      pen.fillStyle = "#000";
      pen.fillRect(0, 0, width, height);
      pen.drawImage(this.$refs.canvas, 0, 0);
      pen.drawImage(this.$refs.over, 0, 0, width, height);
      return canvas;
    },
    save(name) {
      saveFile(this.whole().toDataURL("image/png"), name);
      this.redraw();
    },
    // A turn of 360 degrees as a film; told by the event "film".
    async film(name, frames = FILM.frames, rate = FILM.rate) {
      if (this.filming || !this.header?.points) return;
      this.filming = true;
      try {
        const draw = async () => {
          this.turn(360 / frames);
          await new Promise((done) => setTimeout(done)); // a breath for the page
          return this.whole();
        };
        const told = (done) => this.$emit("film", { done, frames, bytes: 0 });
        const film = await makeFilm(frames, rate, draw, told, () => !this.filming);
        if (film) saveFile(URL.createObjectURL(film), name);
        this.$emit("film", { done: frames, frames, bytes: film?.size ?? -1 });
      } catch (error) {
        this.problem = `the film was not made: ${error.message}`;
        this.$emit("film", { done: frames, frames, bytes: -1 });
      } finally {
        this.filming = false;
        this.moved();
      }
    },
    stopFilm() { this.filming = false; },
    // Frames a second while the cloud turns for some seconds, for measurements.
    async pace(span) {
      const begun = performance.now(), probe = new Uint8Array(4), gl = this.renderer.getContext();
      let frames = 0;
      this.filming = true;
      while (performance.now() - begun < 1000 * span) {
        this.turn(3);
        this.drawRange(0, this.budget, true);
        this.drawOver();
        gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, probe); // waits until it is drawn
        frames++;
        await new Promise((done) => setTimeout(done));
      }
      this.filming = false;
      this.moved();
      return { frames, seconds: (performance.now() - begun) / 1000, points: Math.min(this.budget, this.total()) };
    },
  },
};
