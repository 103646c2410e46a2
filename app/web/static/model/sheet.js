// All filters of a layer as one picture in which units can be chosen, by pointer and by keys.
import { byId, read } from "../page.js";

export class Sheet {
  // `chosen(unit)` is called for every choice.
  constructor(model, chosen) {
    this.model = model;
    this.chosen = chosen;
    this.place = byId("sheet");
    this.picture = byId("sheet-picture");
    this.mark = byId("sheet-mark");
    this.place.addEventListener("click", (event) => this.#click(event));
    this.place.addEventListener("keydown", (event) => this.#key(event));
    addEventListener("resize", () => this.#fit());
  }

  // Shows the filters in an order, of a layer and a kind. Rejects with what the API refuses.
  async show(options) {
    const query = new URLSearchParams({ ...options, scale: 1 });
    const told = await read(`/v1/models/${this.model}/filters?${query}&format=json`);
    [, this.height, this.width] = told.shape;
    this.layout = told.layout;
    this.units = told.units.length;
    this.places = new Map(told.layout.order.map((unit, place) => [unit, place]));
    this.picture.src = `/v1/models/${this.model}/filters?${query}&format=png`;
    this.picture.alt = `${this.units} filters of ${this.model}`;
    this.#fit();
    this.select(this.unit);
  }

  #fit() {
    if (!this.layout) return;
    const most = Math.min(this.place.parentElement.clientWidth / this.layout.width, (innerHeight * 0.8) / this.layout.height);
    const scale = most > 1 && Math.floor(most) > 0.8 * most ? Math.floor(most) : most;
    this.place.style.width = `${Math.floor(this.layout.width * scale)}px`;
    this.picture.style.imageRendering = scale >= 1 ? "pixelated" : "auto";
  }

  select(unit) {
    this.unit = unit;
    const place = this.places?.get(unit);
    this.mark.hidden = place === undefined;
    if (place === undefined) return;
    const { cols, pad, width, height } = this.layout;
    const [down, right] = [this.height + pad, this.width + pad];
    Object.assign(this.mark.style, {
      left: `${(100 * (place % cols) * right) / width}%`, top: `${(100 * Math.floor(place / cols) * down) / height}%`,
      width: `${(100 * (right + pad)) / width}%`, height: `${(100 * (down + pad)) / height}%`,
    });
  }

  #at(place) {
    const unit = this.layout?.order[place];
    if (unit !== undefined) this.chosen(unit);
  }

  #click(event) {
    if (!this.layout) return;
    const box = this.place.getBoundingClientRect();
    const { cols, pad, width, height } = this.layout;
    const column = Math.floor(((event.clientX - box.left) / box.width * width) / (this.width + pad));
    const row = Math.floor(((event.clientY - box.top) / box.height * height) / (this.height + pad));
    if (column < cols) this.#at(row * cols + column);
  }

  #key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.layout?.cols, ArrowDown: this.layout?.cols }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.#at(this.unit === undefined ? 0 : this.places.get(this.unit) + step);
  }
}
