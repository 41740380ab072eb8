// Panels of figures that one can touch: drawn anew when an axis changes, from data or from places.
const drawnIn = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  return made;
};
const partOf = (within, name) => within.querySelector(`[data-part="${name}"]`);
const SIZES = { M: 2, L: 2, C: 6, Q: 4 };
const digits = (value) => Math.round(100 * Math.max(-1e5, Math.min(1e5, value))) / 100;

// A path with every point at another place.
function movedPath(path, x, y) {
  let made = "", here = [0, 0], start = here;
  for (const [, letter, text] of path.matchAll(/([MLCQZ])([^MLCQZ]*)/gi)) {
    const command = letter.toUpperCase(), numbers = (text.match(/-?(?:\d+\.?\d*|\.\d+)/g) || []).map(Number);
    if (command === "Z") { made += "Z"; here = start; continue; }
    for (let i = 0; i < numbers.length; i += SIZES[command]) {
      const from = letter === command ? [0, 0] : here;
      for (let j = i; j < i + SIZES[command]; j += 2) {
        here = [from[0] + numbers[j], from[1] + numbers[j + 1]];
        made += (j > i ? " " : command) + digits(x(here[0])) + " " + digits(y(here[1]));
      }
    }
    if (command === "M") start = here;
  }
  return made;
}
// Points joined by lines or steps; a value that has no place parts them.
function joined(points, step) {
  let made = "", last = null;
  for (const point of points) {
    const [x, y] = point.map(digits);
    if (!Number.isFinite(x + y)) { last = null; continue; }
    if (!last) made += `M${x} ${y}`;
    else if (step === "post") made += `H${x}V${y}`;
    else if (step === "pre") made += `V${y}H${x}`;
    else if (step === "mid") made += `H${digits((last[0] + x) / 2)}V${y}H${x}`;
    else made += `L${x} ${y}`;
    last = [x, y];
  }
  return made;
}
// The mean of so many points around each.
function smoothed(values, window) {
  const half = (window - 1) / 2;
  return values.map((_, i) => {
    const near = values.slice(Math.max(0, i - half), i + half + 1).filter(Number.isFinite);
    return near.reduce((sum, value) => sum + value, 0) / near.length;
  });
}

class Panel {
  constructor(owner, data, number) {
    Object.assign(this, { owner, number, title: data.title, group: partOf(owner.svg, "panel" + number), items: [] });
    const [left, top, width, height] = data.box;
    Object.assign(this, { left, top, width, height });
    this.x = owner.axisOf("x", data.x), this.y = owner.axisOf("y", data.y);
    this.clip = `${owner.figure.id}-clip${number}`;
    this.clipped = "url" + `(#${this.clip})`;
    this.first = this.scales();
  }
  scales() {
    return { x: scaleOf(this.x.limits, this.x.log, this.left, this.left + this.width),
      y: scaleOf(this.y.limits, this.y.log, this.top + this.height, this.top) };
  }
  holds(x, y) {
    return x >= this.left - 0.5 && x <= this.left + this.width + 0.5 && y >= this.top - 0.5 && y <= this.top + this.height + 0.5;
  }
  name() { return [this.title, this.y.label && `${this.y.label} by ${this.x.label}`].filter(Boolean).join(": ") || "panel"; }

  draw() {
    const anew = this.x.changed || this.y.changed || this.owner.smooth > 0;
    this.now = this.scales();
    for (const made of this.group.querySelectorAll(".drawn")) made.remove();
    for (const old of this.group.querySelectorAll("[display=none].was")) { old.removeAttribute("display"); old.classList.remove("was"); }
    if (!anew) return;
    if (!document.getElementById(this.clip)) {
      const clip = drawnIn("clipPath", { id: this.clip });
      clip.append(drawnIn("rect", { x: this.left, y: this.top, width: this.width, height: this.height }));
      this.owner.svg.append(clip);
    }
    for (const item of this.items) this.replace(item.group, item.hasPlaces ? this.fromData(item) : this.moved(item.group, "xy"));
    for (const group of this.group.children) {
      const part = group.dataset.part || "";
      if (part === "x" || part === "y") this.drawTicks(group, this[part], part);
      else if (part !== "still" && !part.startsWith("item")) this.replace(group, this.moved(group, part[0] || "xy"));
    }
  }
  // Whatever stood in a group is hidden, since others may use its definitions.
  replace(group, made) {
    for (const old of Array.from(group.children)) if (old.tagName !== "defs") this.hide(old);
    const into = drawnIn("g", { class: "drawn" });
    into.append(...made);
    group.append(into);
  }
  hide(old) { old.setAttribute("display", "none"); old.classList.add("was"); }
  copies(group) {
    return Array.from(group.children).filter((child) => child.tagName !== "defs" && !child.matches(".drawn")).map((child) => {
      const copy = child.cloneNode(true);
      for (const definitions of copy.querySelectorAll("defs")) definitions.remove();
      for (const each of [copy, ...copy.querySelectorAll("*")]) if (each.matches(".was")) each.removeAttribute("display");
      return copy;
    });
  }
  // Copies of what matplotlib drew, each point back through the scale it was drawn with and forth through today's.
  moved(group, ways) {
    const [x, y] = ["x", "y"].map((way) => (ways.includes(way) ? (place) => this.now[way].place(this.first[way].value(place)) : (place) => place));
    const made = this.copies(group);
    for (const copy of made) for (const each of [copy, ...copy.querySelectorAll("path, use, text, image")]) this.move(each, x, y);
    return made;
  }
  move(each, x, y) {
    const clip = { "clip-path": this.clipped }, set = (values) => { for (const key in values) each.setAttribute(key, values[key]); };
    if (each.tagName === "path") return set({ d: movedPath(each.getAttribute("d"), x, y), ...clip });
    if (!["use", "text", "image"].includes(each.tagName)) return;
    const place = ["x", "y"].map((key) => Number(each.getAttribute(key))), full = this.owner.svg.viewBox.baseVal;
    if (each.tagName === "use" && place[0] === 0 && Math.abs(place[1] - this.owner.height) < 0.1) {
      // A whole shape, not a mark: its own points move.
      const shape = document.getElementById(each.getAttribute("href").slice(1));
      const path = movedPath(shape.getAttribute("d"), (a) => x(a), (b) => y(b + place[1]));
      return each.replaceWith(drawnIn("path", { d: path, style: each.getAttribute("style"), ...clip }));
    }
    const [to, down] = [x(place[0]), y(place[1])];
    if (!this.holds(to, down)) return set({ display: "none" });
    set({ transform: `translate(${digits(to - place[0])} ${digits(down - place[1])}) ${each.getAttribute("transform") || ""}` });
  }
  fromData(item) {
    const { x, y } = this.now, style = item.style(), clip = this.clipped;
    const points = (values) => item.x.map((at, i) => [x.place(at), y.place(values[i])]), made = [];
    const line = (values, more) => drawnIn("path", { d: joined(points(values), item.step), style, "clip-path": clip, ...more });
    if (item.kind === "band") {
      const back = { post: "pre", pre: "post" }[item.step] || item.step;
      for (const [a, b] of item.pieces()) {
        const there = joined(points(item.high).slice(a, b), item.step), home = joined(points(item.low).slice(a, b).reverse(), back);
        if (there && home) made.push(drawnIn("path", { d: there + home.replace("M", "L") + "Z", style, "clip-path": clip }));
      }
      return made;
    }
    const window = item.inSteps && 4 * this.owner.smooth <= item.x.length ? this.owner.smooth : 0;
    if (item.kind === "line" && window) made.push(line(item.y, { opacity: 0.25 }), line(smoothed(item.y, window)));
    else if (item.kind === "line") made.push(line(item.y));
    const marks = Array.from(item.group.querySelectorAll("g:not(.drawn) > use"));
    if (marks.length && !window)
      for (const [i, [a, b]] of points(item.y).entries()) {
        if (!this.holds(a, b)) continue;
        const mark = marks[marks.length === item.x.length ? i : 0].cloneNode();
        for (const [key, value] of [["x", a], ["y", b]]) mark.setAttribute(key, digits(value));
        mark.removeAttribute("clip-path");
        made.push(mark);
      }
    return made;
  }
  // Labels that only matplotlib knows move with their ticks; others are made anew, each a copy of the first.
  drawTicks(group, axis, way) {
    if (!axis.changed) return;
    const ticks = Array.from(group.querySelectorAll('[data-part="tick"]')), scale = this.now[way];
    const at = (tick) => { const use = tick.querySelector("use, text"); return use && Number(use.getAttribute(way)); };
    const shift = (tick, to) => {
      const [copy] = this.copies({ children: [tick] }), by = digits(to - at(tick));
      copy.setAttribute("transform", way === "x" ? `translate(${by} 0)` : `translate(0 ${by})`);
      return copy;
    };
    const usable = ticks.filter((tick) => at(tick) !== null), made = [];
    const model = usable.find((tick) => tick.querySelector("text")) || usable[0];
    if (!axis.movable) made.push(...usable.map((tick) => shift(tick, scale.place(this.first[way].value(at(tick))))));
    else if (model)
      for (const value of axis.ticks(way === "x" ? this.width : this.height)) {
        const copy = shift(model, scale.place(value)), text = copy.querySelector("text");
        if (text) text.textContent = numberText(value, axis.percent);
        made.push(copy);
      }
    for (const tick of ticks) this.hide(tick);
    const into = drawnIn("g", { class: "drawn" });
    into.append(...made);
    group.prepend(into);
  }
}
