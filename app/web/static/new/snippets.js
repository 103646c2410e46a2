// The same request for a shell and for Python.

const literal = (value) => {
  if (value === null) return "None";
  if (value === true || value === false) return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${literal(each)}`).join(", ")}}`;
  return JSON.stringify(value);
};

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export const curl = (body) => `curl ${location.origin}/v1/jobs --json ${quoted(JSON.stringify(body, null, 2))}`;

export function python({ type, validation, ...fields }) {
  const given = { ...fields, ...(validation ? { validation: validation.split ?? validation.dataset } : {}) };
  const lines = Object.entries(given).map(([name, value]) => `    ${name}=${literal(value)},`);
  return ["import pinwheel", "", `client = pinwheel.Client(${JSON.stringify(location.origin)})`, `job = client.${type}(`, ...lines, ")", "model = client.model(job.wait().model)"].join("\n");
}
