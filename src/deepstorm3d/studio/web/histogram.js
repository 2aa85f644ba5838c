// Histogram: the values of a column, those of the rows that are kept in front, and a range to drag. Handles at the
// ends mean no limit. Dragging between the handles moves both; a double click, or Escape, opens the range again.

const EVERY = 90; // milliseconds between two events while a handle is dragged

const outline = (counts, most) => {
  if (!counts || !counts.length || !most) return "";
  let path = "M0 100";
  counts.forEach((count, i) => {
    const top = 100 - (100 * count) / most;
    path += `L${(100 * i) / counts.length} ${top}L${(100 * (i + 1)) / counts.length} ${top}`;
  });
  return `${path}L100 100Z`;
};

export default {
  template: `
    <div class="ds-histogram" :title="hint">
      <div class="ds-histogram-head"><span class="ds-histogram-name">{{ title }}</span>
        <span class="ds-histogram-range">{{ said }}</span></div>
      <div class="ds-histogram-plot" ref="plot" tabindex="0" role="slider" :aria-label="title" :aria-valuetext="said"
        @pointerdown="down" @pointermove="move" @pointerup="up" @pointercancel="up" @dblclick="open" @keydown="key">
        <svg viewBox="0 0 100 100" preserveAspectRatio="none">
          <path class="ds-histogram-all" :d="allPath"></path>
          <path class="ds-histogram-kept" :d="keptPath"></path>
        </svg>
        <div class="ds-histogram-out" :style="{left: 0, width: 100 * shares[0] + '%'}"></div>
        <div class="ds-histogram-out" :style="{right: 0, width: 100 * (1 - shares[1]) + '%'}"></div>
        <div class="ds-histogram-handle" data-test="low" :style="{left: 100 * shares[0] + '%'}"></div>
        <div class="ds-histogram-handle" data-test="high" :style="{left: 100 * shares[1] + '%'}"></div>
      </div>
      <div class="ds-histogram-ends"><span>{{ say(ends[0]) }}</span><span>{{ unit }}</span><span>{{ say(ends[1]) }}</span></div>
    </div>`,
  props: {
    title: String,
    unit: String,
    hint: String,
    first: Number, // values at the two ends of the bins
    last: Number,
    counts: { type: Array, default: () => [] }, // all rows in each bin
    kept: { type: Array, default: () => [] }, // rows that are kept; empty: not known yet
    low: Number, // the range; null: no limit
    high: Number,
    whole: Boolean, // limits are whole numbers
    most: Number, // of all values; whole numbers are written up to it
  },
  // While a handle is held, and until its new place comes back: {what, low, high}, shares of the width.
  data: () => ({ drag: null }),
  computed: {
    highest() { return Math.max(0, ...this.counts); },
    allPath() { return outline(this.counts, this.highest); },
    keptPath() { return outline(this.kept, this.highest); },
    // Bins of whole numbers reach half a one beyond them, and the last may reach beyond the largest.
    ends() {
      if (!this.whole) return [this.first, this.last];
      return [Math.ceil(this.first) + 0, Math.min(Math.floor(this.last), this.most ?? this.last)];
    },
    shares() {
      if (this.drag) return [this.drag.low, this.drag.high];
      return [this.low == null ? 0 : this.share(this.low), this.high == null ? 1 : this.share(this.high)];
    },
    said() {
      const [low, high] = this.drag ? this.limits() : [this.low ?? null, this.high ?? null];
      if (low === null && high === null) return "";
      if (low === null) return `≤ ${this.say(high)}`;
      return high === null ? `≥ ${this.say(low)}` : `${this.say(low)} … ${this.say(high)}`;
    },
  },
  watch: {
    low() { this.came(); },
    high() { this.came(); },
  },
  methods: {
    share(value) { return Math.min(1, Math.max(0, (value - this.first) / (this.last - this.first))); },
    value(share) {
      const value = this.first + share * (this.last - this.first);
      return this.whole ? Math.round(value) : value;
    },
    say(value) {
      if (value == null || !Number.isFinite(value)) return "";
      const span = Math.abs(this.last - this.first) || 1;
      const digits = Math.min(8, Math.max(0, 3 - Math.ceil(Math.log10(span))));
      return value.toLocaleString("en", { maximumFractionDigits: digits });
    },
    limits() {
      const { low, high } = this.drag;
      return [low <= 0 ? null : this.value(low), high >= 1 ? null : this.value(high)];
    },
    at(event) {
      const box = this.$refs.plot.getBoundingClientRect();
      return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    },
    down(event) {
      if (event.button !== 0) return;
      this.$refs.plot.setPointerCapture(event.pointerId);
      const [low, high] = this.shares, at = this.at(event), near = 8 / this.$refs.plot.clientWidth;
      const apart = [Math.abs(at - low), Math.abs(at - high)];
      let what = apart[0] < apart[1] ? "low" : "high";
      // Both handles in one place: the side of the pointer tells which.
      if (apart[0] === apart[1]) what = at < low ? "low" : "high";
      if (Math.min(...apart) > near && low < at && at < high && (low > 0 || high < 1)) what = "both";
      this.drag = { what, low, high, from: at, was: [low, high] };
      if (what !== "both") this.moved(at);
    },
    move(event) { if (this.drag && this.drag.what !== "free") this.moved(this.at(event)); },
    moved(at) {
      const { what, from, was } = this.drag;
      if (what === "low") this.drag.low = Math.min(at, this.drag.high);
      else if (what === "high") this.drag.high = Math.max(at, this.drag.low);
      else {
        const by = Math.min(1 - was[1], Math.max(-was[0], at - from));
        Object.assign(this.drag, { low: was[0] + by, high: was[1] + by });
      }
      this.tell(false);
    },
    up() {
      if (!this.drag || this.drag.what === "free") return;
      this.tell(true);
      this.release();
    },
    // The new limits come back from the server a moment later: until then the handles stay where they are.
    release() {
      this.drag.what = "free";
      clearTimeout(this.late);
      this.late = setTimeout(() => { this.came(); }, 3000);
    },
    came() { if (this.drag?.what === "free") this.drag = null; },
    tell(done) {
      const now = performance.now();
      if (!done && now - (this.told ?? -EVERY) < EVERY) return;
      this.told = now;
      const [low, high] = this.limits();
      this.$emit("range", { low, high, done });
    },
    open() {
      this.drag = null;
      this.$emit("range", { low: null, high: null, done: true });
    },
    key(event) {
      if (event.key === "Escape") return this.open();
      const step = { ArrowLeft: -0.01, ArrowRight: 0.01 }[event.key];
      if (!step) return;
      event.preventDefault();
      const [low, high] = this.shares, clip = (share) => Math.min(1, Math.max(0, share));
      // Arrows move the lower limit, with shift the upper one.
      const moved = event.shiftKey ? { low, high: Math.max(low, clip(high + step)) } : { low: Math.min(high, clip(low + step)), high };
      this.drag = { what: "free", ...moved };
      this.tell(true);
      this.release();
    },
  },
};
