// What the pages of models and the playground share: elements, answers of the API, numbers as text.
export const byId = (id) => document.getElementById(id);

// An element with attributes (`class`, `aria-…`), listeners (`onclick`) and children.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// The answer, or an Error that says what the server said.
export async function asked(address, options) {
  const answer = await fetch(address, options);
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail ?? `The server answered ${answer.status}.`);
}

export function shown(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(digits)));
}
export const percent = (share) => (share === null || share === undefined ? "–" : `${shown(100 * share)} %`);

// A bar from 0 to the largest amount; its sign is its colour, and stands in the number beside it.
export function bar(value, largest) {
  const filled = element("i", { class: value < 0 ? "negative" : "positive" });
  filled.style.width = `${largest > 0 ? (100 * Math.abs(value)) / largest : 0}%`;
  return element("span", { class: "bar", "aria-hidden": "true" }, filled);
}

export function facts(pairs) {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined);
  return rows.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, shown(value))));
}

export function say(place, error) {
  place.textContent = error?.message ?? "";
  place.hidden = !error;
}
