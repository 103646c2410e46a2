// The measures of a job by columns: loaded once, then appended to. Steps only grow.

export class History {
  constructor() {
    this.steps = [];
    this.columns = new Map();
    this.stage = undefined;
  }

  get last() { return this.steps.at(-1) ?? -1; }

  get(name) { return this.columns.get(name) ?? []; }

  load({ step: steps = [], ...columns }) {
    const names = Object.keys(columns);
    steps.forEach((step, place) => this.append({ step, ...Object.fromEntries(names.map((name) => [name, columns[name][place]])) }));
  }

  // Takes one measurement; false for one that is known. Between the stages of a stack the curves have a gap.
  append({ step, stage, ...values }) {
    if (step <= this.last) return false;
    if (this.steps.length && stage !== this.stage) this.#push(step, {});
    this.stage = stage;
    this.#push(step, values);
    return true;
  }

  #push(step, values) {
    for (const [name, value] of Object.entries(values)) {
      if (typeof value !== "number") continue;
      if (!this.columns.has(name)) this.columns.set(name, new Array(this.steps.length).fill(null));
    }
    this.steps.push(step);
    for (const [name, column] of this.columns) column.push(values[name] ?? null);
  }

  // The value of a measure at a step: the last one at or before it, or null.
  at(name, step) {
    const column = this.columns.get(name);
    if (!column) return null;
    for (let place = lastUpTo(this.steps, step); place >= 0; place -= 1) if (column[place] !== null) return column[place];
    return null;
  }
}

// Index of the last of the sorted `values` that is at most `limit`; -1 where none is.
export function lastUpTo(values, limit) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= limit) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
