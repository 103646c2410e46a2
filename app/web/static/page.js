// What every page uses: asking the API, making elements, writing numbers.

export const byId = (id) => document.getElementById(id);

// An element with its properties, `data` and `attributes`, and children; null children are left out.
export function el(tag, { data = {}, attributes = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

// What the API answered instead of success: `status`, `errors` with pointers, and the detail as the message.
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `The server answered ${status}.`);
    this.status = status;
    this.errors = problem.errors ?? [];
  }
}

export async function ask(address, options = {}) {
  const answer = await fetch(address, { ...options, headers: { Accept: "application/json", ...options.headers } });
  if (answer.ok) return answer;
  throw new Refused(answer.status, await answer.json().catch(() => ({})));
}

export const read = async (address, options) => (await ask(address, options)).json();

export const post = (address, body, options = {}) =>
  read(address, { method: "POST", body: JSON.stringify(body), ...options, headers: { "Content-Type": "application/json" } });

// All items of a list, page after page, at most `most`.
export async function readAll(address, most = 1000) {
  const found = [];
  const joint = address.includes("?") ? "&" : "?";
  for (let after = ""; ; ) {
    const page = await read(`${address}${joint}limit=100${after && `&after=${encodeURIComponent(after)}`}`);
    found.push(...page.data);
    if (!page.has_more || found.length >= most) return found;
    after = page.last_id;
  }
}

export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

export const percent = (share) => (share === null || share === undefined ? "–" : `${Number((100 * share).toPrecision(3))} %`);

export function bytes(value) {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  let place = 0;
  while (value >= 1000 && place < units.length - 1) { value /= 1000; place += 1; }
  return `${place ? value.toFixed(value < 10 ? 1 : 0) : value} ${units[place]}`;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.round(seconds / 86400)} days`;
}

export const words = (name) => name.replaceAll("_", " ").replaceAll("-", " ");

// Many calls at once are one call of `update`, `wait` milliseconds later.
export function gathered(update, wait = 300) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    setTimeout(() => { due = false; update(); }, wait);
  };
}

// Values by their names; those that are null are left out.
export const facts = (entries) =>
  el("dl", { className: "facts" }, entries.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, typeof value === "number" ? number(value) : value))));

// A bar from 0 to the largest amount; its sign is its colour, and stands in the number beside it.
export function bar(value, largest) {
  const filled = el("i", { className: value < 0 ? "negative" : "positive" });
  filled.style.width = `${largest > 0 ? (100 * Math.abs(value)) / largest : 0}%`;
  return el("span", { className: "bar", attributes: { "aria-hidden": "true" } }, filled);
}

// The colour that a variable of the style sheet has now, in this theme.
export function colour(name) {
  const probe = el("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// Says an error in a place with the role of an alert, or takes it away.
export function complain(place, error) {
  place.textContent = error ? error.message : "";
  place.hidden = !error;
}

// A block of code with a button that copies it.
export function code(text, title) {
  const button = el("button", { type: "button", className: "quiet copy" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return el("figure", { className: "code" }, el("figcaption", {}, title, button),
    el("pre", { tabIndex: 0, attributes: { role: "region", "aria-label": title } }, el("code", {}, text)));
}
