// The one moment that all pictures and curves show. It follows the newest step until somebody takes hold of it.
import { lastUpTo } from "./history.js";

export class Timeline extends EventTarget {
  constructor() {
    super();
    this.end = 0;
    this.step = 0;
    this.follows = true;
    this.pictures = [];
  }

  // There is data up to this step now.
  extend(step) {
    if (step > this.end) this.end = step;
    if (this.follows) this.step = this.end;
    this.#tell();
  }

  addPicture(step) {
    const place = lastUpTo(this.pictures, step);
    if (this.pictures[place] !== step) this.pictures.splice(place + 1, 0, step);
    this.extend(step);
  }

  // The step of the picture that stands for the moment, or null.
  get picture() {
    return this.pictures[lastUpTo(this.pictures, this.step)] ?? null;
  }

  go(step) {
    this.follows = false;
    this.step = Math.min(Math.max(0, Math.round(step)), this.end);
    this.#tell();
  }

  // To the next picture in a direction; false where there is none.
  move(direction) {
    const place = lastUpTo(this.pictures, this.step);
    const onIt = this.pictures[place] === this.step;
    const next = this.pictures[direction > 0 || !onIt ? place + (direction > 0 ? 1 : 0) : place - 1];
    if (next === undefined) {
      if (direction > 0 && this.step < this.end) this.go(this.end);
      return false;
    }
    this.go(next);
    return true;
  }

  live() {
    this.follows = true;
    this.step = this.end;
    this.#tell();
  }

  #tell() { this.dispatchEvent(new Event("change")); }
}
