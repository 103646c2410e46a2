// All filters as one picture that can be zoomed and moved; a unit is chosen by a click or with the keys.
import { byId, percent, read } from "./page.js";

const MOST_ZOOM = 40;

export class Sheet {
  constructor(model, onChoice) {
    Object.assign(this, { model, onChoice, unit: null, layout: null, units: [], zoom: 1, x: 0, y: 0, pointers: new Map() });
    this.frame = byId("sheet");
    this.picture = byId("sheet-picture");
    this.mark = byId("sheet-mark");
    this.frame.addEventListener("keydown", (event) => this.key(event));
    this.frame.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.frame.addEventListener("pointerdown", (event) => this.down(event));
    this.frame.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) this.frame.addEventListener(end, (event) => this.up(event));
    byId("zoom-in").addEventListener("click", () => this.scale(1.5));
    byId("zoom-out").addEventListener("click", () => this.scale(1 / 1.5));
    byId("zoom-fit").addEventListener("click", () => this.fit());
    new ResizeObserver(() => this.layout && this.fit()).observe(this.frame);
  }

  // Draws what the query asks for (order, kind, layer); raises an Error with the server's words.
  async show(query) {
    const address = `/v1/models/${this.model}/filters?${query}`, mine = (this.latest = address);
    this.frame.setAttribute("aria-busy", "true");
    try {
      const found = await read(`${address}&format=json`);
      const picture = Object.assign(new Image(), { src: `${address}&format=png` });
      await picture.decode();
      if (mine === this.latest) this.take(found, picture.src);
      await this.picture.decode();
    } finally {
      if (mine === this.latest) this.frame.setAttribute("aria-busy", "false");
    }
    if (mine === this.latest) this.fit();
  }

  take(found, address) {
    this.picture.src = address;
    Object.assign(this, { layout: found.layout, units: found.units });
    const [, height, width] = found.shape, { scale, pad } = found.layout;
    this.cell = [width * scale + pad, height * scale + pad];
    this.place = new Map(found.layout.order.map((unit, place) => [unit, place]));
  }

  // x, y, width and height of a unit in the picture.
  box(unit) {
    const { cols, pad } = this.layout, place = this.place.get(unit), [width, height] = this.cell;
    return [(place % cols) * width + pad, Math.floor(place / cols) * height + pad, width - pad, height - pad];
  }

  // A small picture of a unit, cut out of the sheet.
  cut(unit) {
    const canvas = document.createElement("canvas"), [x, y, width, height] = this.box(unit);
    Object.assign(canvas, { width, height });
    canvas.getContext("2d").drawImage(this.picture, x, y, width, height, 0, 0, width, height);
    canvas.setAttribute("aria-hidden", "true");
    return canvas;
  }

  choose(unit, tell = true) {
    if (!this.place?.has(unit)) return;
    this.unit = unit;
    const about = this.units[unit], place = this.place.get(unit);
    this.mark.hidden = false;
    this.mark.setAttribute("aria-selected", "true");
    this.mark.setAttribute("aria-label", `Unit ${unit}, used by ${percent(about.usage)} of the inputs`);
    this.mark.setAttribute("aria-setsize", this.units.length);
    this.mark.setAttribute("aria-posinset", place + 1);
    this.frame.setAttribute("aria-activedescendant", this.mark.id);
    this.reveal();
    if (tell) this.onChoice(unit);
  }

  reveal() {
    const [x, y, width, height] = this.box(this.unit).map((side) => side * this.zoom);
    const { clientWidth, clientHeight } = this.frame;
    if (this.x + x < 0) this.x = -x;
    if (this.x + x + width > clientWidth) this.x = clientWidth - x - width;
    if (this.y + y < 0) this.y = -y;
    if (this.y + y + height > clientHeight) this.y = clientHeight - y - height;
    this.draw();
  }

  draw() {
    const { naturalWidth, naturalHeight } = this.picture, { clientWidth, clientHeight } = this.frame;
    const held = (at, size, room) => (size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, at)));
    this.x = held(this.x, naturalWidth * this.zoom, clientWidth);
    this.y = held(this.y, naturalHeight * this.zoom, clientHeight);
    this.picture.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.zoom})`;
    this.picture.style.imageRendering = this.zoom < 1 ? "auto" : "pixelated";
    if (this.unit === null || !this.place.has(this.unit)) return;
    const [x, y, width, height] = this.box(this.unit);
    Object.assign(this.mark.style, {
      left: `${this.x + x * this.zoom}px`, top: `${this.y + y * this.zoom}px`,
      width: `${width * this.zoom}px`, height: `${height * this.zoom}px`,
    });
  }

  fit() {
    const { naturalWidth, naturalHeight } = this.picture, { clientWidth, clientHeight } = this.frame;
    this.least = Math.min(clientWidth / naturalWidth, clientHeight / naturalHeight);
    this.zoom = this.least;
    this.draw();
  }

  // Zooms about a point of the frame, its middle or the chosen unit where none is given.
  scale(factor, about) {
    const old = this.zoom;
    this.zoom = Math.min(MOST_ZOOM, Math.max(this.least, old * factor));
    let [px, py] = about ?? [this.frame.clientWidth / 2, this.frame.clientHeight / 2];
    if (!about && this.unit !== null) {
      const [x, y, width, height] = this.box(this.unit);
      [px, py] = [this.x + (x + width / 2) * old, this.y + (y + height / 2) * old];
    }
    this.x = px - ((px - this.x) * this.zoom) / old;
    this.y = py - ((py - this.y) * this.zoom) / old;
    this.draw();
  }

  key(event) {
    if (!this.layout || event.ctrlKey || event.metaKey || event.altKey) return;
    const { order, cols } = this.layout, at = this.unit === null ? -1 : this.place.get(this.unit);
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: cols, ArrowUp: -cols, Home: -at, End: order.length - 1 - at };
    const zooms = { "+": () => this.scale(1.5), "=": () => this.scale(1.5), "-": () => this.scale(1 / 1.5), 0: () => this.fit() };
    if (zooms[event.key]) zooms[event.key]();
    else if (event.key in steps) {
      const next = at < 0 ? 0 : at + steps[event.key];
      if (next >= 0 && next < order.length) this.choose(order[next]);
    } else return;
    event.preventDefault();
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.scale(Math.exp(-event.deltaY / 300), this.at(event));
  }

  at(event) {
    const { left, top } = this.frame.getBoundingClientRect();
    return [event.clientX - left - this.frame.clientLeft, event.clientY - top - this.frame.clientTop];
  }

  down(event) {
    this.pointers.set(event.pointerId, this.at(event));
    this.frame.setPointerCapture(event.pointerId);
    if (this.pointers.size === 1) this.start = this.at(event);
    else this.start = null;
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.at(event), other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    if (other) {
      const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      return this.scale(apart(now) / apart(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    }
    if (this.start && Math.hypot(now[0] - this.start[0], now[1] - this.start[1]) < 5) return;
    this.start = null;
    this.frame.classList.add("dragged");
    this.x += now[0] - before[0];
    this.y += now[1] - before[1];
    this.draw();
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    this.frame.classList.remove("dragged");
    if (event.type !== "pointerup" || !this.start || !this.layout) return;
    const { cols, pad, order } = this.layout, [width, height] = this.cell;
    const [x, y] = [(this.start[0] - this.x) / this.zoom - pad, (this.start[1] - this.y) / this.zoom - pad];
    const column = Math.floor(x / width), row = Math.floor(y / height);
    this.start = null;
    if (x >= 0 && y >= 0 && column < cols && row * cols + column < order.length) this.choose(order[row * cols + column]);
  }
}
