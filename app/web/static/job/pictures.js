// The pictures of the filters at the steps that have some: fetched, decoded, the nearest ones ahead of time, and
// dropped again, the longest unused first, when they hold more pixels than we want to keep.

const MOST_PIXELS = 16e6; // 64 MB once decoded
const AHEAD = 6;
const AT_ONCE = 2;

export class Pictures {
  // `shown(bitmap, step)` draws; the step is what the answer says of itself.
  constructor(job, shown) {
    this.job = job;
    this.shown = shown;
    this.kept = new Map();
    this.under = new Set();
    this.steps = [];
    this.wanted = null;
    this.drawn = null;
  }

  // Shows the picture of a step now or as soon as it is here; `steps` are all that there are.
  want(step, steps) {
    this.steps = steps;
    this.wanted = step;
    if (step === null) return;
    this.#draw();
    this.#fetchSome();
  }

  get pixels() {
    return [...this.kept.values()].reduce((sum, { bitmap }) => sum + bitmap.width * bitmap.height, 0);
  }

  #draw() {
    const found = this.kept.get(this.wanted);
    if (!found || this.drawn === found) return;
    this.kept.delete(this.wanted);
    this.kept.set(this.wanted, found);
    this.drawn = found;
    this.shown(found.bitmap, found.step);
  }

  // The wanted one first, then its neighbours, the next ones before those behind.
  #missing() {
    const place = this.steps.indexOf(this.wanted);
    const near = [place];
    for (let far = 1; far <= AHEAD; far += 1) near.push(place + far, place - far);
    const size = this.drawn ? this.drawn.bitmap.width * this.drawn.bitmap.height : 0;
    const affordable = size ? Math.max(1, Math.floor(MOST_PIXELS / size) - 1) : 1;
    const steps = near.map((each) => this.steps[each]).filter((step) => step !== undefined).slice(0, affordable);
    return steps.filter((step) => !this.kept.has(step) && !this.under.has(step));
  }

  #fetchSome() {
    for (const step of this.#missing()) {
      if (this.under.size >= AT_ONCE && step !== this.wanted) return;
      if (this.under.size > AT_ONCE) return;
      this.#fetch(step);
    }
  }

  async #fetch(step) {
    this.under.add(step);
    try {
      const answer = await fetch(`/v1/jobs/${this.job}/filters?step=${step}&scale=1&format=png`);
      if (!answer.ok) {
        this.steps = this.steps.filter((each) => each !== step);
        return;
      }
      const bitmap = await createImageBitmap(await answer.blob());
      this.kept.set(step, { bitmap, step: Number(answer.headers.get("X-Step")) });
      this.#draw();
      this.#forget();
    } catch {
      return; // the network is away: asked again with the next move
    } finally {
      this.under.delete(step);
    }
    this.#fetchSome();
  }

  #forget() {
    for (const [step, found] of this.kept) {
      if (this.pixels <= MOST_PIXELS || this.kept.size < 2) return;
      if (found === this.drawn) continue;
      this.kept.delete(step);
      found.bitmap.close();
    }
  }
}
