// Scales of figures that one can touch: places of values, round ticks, numbers as text.
const real = (value) => (typeof value === "string" ? Number(value) : value === null ? NaN : value);
const numberText = (value, percent) =>
  Number.isFinite(value) ? String(Number(((percent ? 100 : 1) * value).toPrecision(7))) + (percent ? "%" : "") : Number.isNaN(value) ? "–" : String(value);

// From values to places between two ends, and back.
function scaleOf([low, high], log, from, to) {
  const bend = log ? Math.log10 : (value) => value, start = bend(low), span = bend(high) - start;
  return {
    place: (value) => from + ((bend(value) - start) / span) * (to - from),
    value: (place) => {
      const bent = start + ((place - from) / (to - from)) * span;
      return log ? 10 ** bent : bent;
    },
  };
}
function evenTicks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough * 0.999);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}
// 1, 2, 5 in every decade of few decades; 1, 3 in those of more; else powers of ten.
function logTicks(low, high, count) {
  const decades = Math.log10(high / low), parts = decades < 1.6 ? [1, 2, 5] : decades < 2.6 ? [1, 3] : [1], ticks = [];
  const every = parts.length > 1 ? 1 : Math.ceil(decades / count);
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const part of parts) {
      const tick = Number((part * 10 ** power).toPrecision(12));
      if (power % every === 0 && tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) ticks.push(tick);
    }
  return ticks.length > 1 ? ticks : evenTicks(low, high, count);
}

// An axis that one or several panels have in common. As drawn until a reader changes limits or log.
class Axis {
  constructor(way, share, drawn) {
    Object.assign(this, { way, drawn, key: way + share, percent: drawn.ticks === "percent", label: drawn.label });
    this.used = this.bars = false, this.least = Infinity;
    this.reset();
  }
  reset() { this.limits = this.drawn.limits.slice(), this.log = this.drawn.log; }
  // Whether a reader may change it: no panel of marks has the scale of colours.
  get movable() { return this.used && this.drawn.ticks !== "own"; }
  get changed() { return this.log !== this.drawn.log || this.zoomed; }
  get zoomed() { return this.whole().some((limit, i) => limit !== this.limits[i]); }
  get canSwitch() { return this.movable && (this.drawn.log || (this.least > 0 && !this.bars)); }
  saw(values) { for (const value of values) if (value < this.least) this.least = value; }
  // The limits without zoom; a logarithmic axis has none at or below zero.
  whole() {
    const [low, high] = this.drawn.limits;
    if (!this.log || Math.min(low, high) > 0) return [low, high];
    return low < high ? [this.least / 1.1, high] : [low, this.least / 1.1];
  }
  setLog(log) {
    if (log === this.log || !this.canSwitch) return;
    const was = this.zoomed;
    this.log = log;
    if (!was || (log && Math.min(...this.limits) <= 0)) this.limits = this.whole();
  }
  // Never beyond what was drawn, and never so near that numbers run out of digits.
  zoom(a, b) {
    const whole = this.whole(), [least, most] = [Math.min(...whole), Math.max(...whole)];
    const low = Math.max(least, Math.min(a, b)), high = Math.min(most, Math.max(a, b));
    if (!this.movable || !(high - low > 1e-6 * Math.max(Math.abs(low), Math.abs(high)))) return;
    this.limits = whole[0] < whole[1] ? [low, high] : [high, low];
  }
  // By a factor around a value; the scale's own middle if there is none.
  stretch(factor, around) {
    const scale = scaleOf(this.limits, this.log, 0, 1);
    const at = around === undefined ? 0.5 : Math.min(1, Math.max(0, scale.place(around)));
    this.zoom(scale.value(at - at * factor), scale.value(at + (1 - at) * factor));
  }
  ticks(length) {
    const [low, high] = [Math.min(...this.limits), Math.max(...this.limits)];
    return (this.log ? logTicks : evenTicks)(low, high, Math.max(2, Math.round(length / (this.way === "x" ? 34 : 24))));
  }
}
