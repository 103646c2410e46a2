// What a JSON Schema says of a value: its plain form, its defaults, and how a spec differs from a recipe's.

export const SAME = Symbol("not changed");

// The schema without its references, its `null` and its choice of kinds, for the value that is there.
export function plain(schema, root, value) {
  let found = { ...schema };
  while (found.$ref) {
    const { $ref, ...beside } = found;
    found = { ...root.$defs[$ref.split("/").at(-1)], ...beside };
  }
  if (found.anyOf) {
    const others = found.anyOf.filter((each) => each.type !== "null");
    const inner = plain(others[0], root, value);
    found = { ...inner, ...without(found, "anyOf"), nullable: others.length < found.anyOf.length };
  }
  return found;
}

const without = (object, name) => Object.fromEntries(Object.entries(object).filter(([key]) => key !== name));

// The schemas of the kinds of a part by name, or null where it has but one.
export function kinds(schema, root) {
  const mapping = schema.discriminator?.mapping;
  if (!mapping) return null;
  return Object.fromEntries(Object.entries(mapping).map(([kind, $ref]) => [kind, plain({ $ref }, root)]));
}

// The member of a choice without names that has the fields of the value: a stage with a layer, or with labels alone.
export function fitting(schema, root, value) {
  if (!schema.oneOf || schema.discriminator) return schema;
  const all = schema.oneOf.map((each) => plain(each, root));
  return all.find((each) => Object.keys(value ?? {}).every((name) => name in each.properties)) ?? all[0];
}

// The value of a schema where nothing is given.
export function defaults(schema, root) {
  const found = plain(schema, root);
  if (found.default !== undefined) return structuredClone(found.default);
  if (found.nullable) return null;
  if (found.properties) return Object.fromEntries(Object.entries(found.properties).map(([name, each]) => [name, defaults(each, root)]));
  const named = kinds(found, root);
  return named ? defaults(Object.values(named)[0], root) : null;
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

// The part of `value` that differs from `usual`, or SAME. A part of another kind is told from its own defaults;
// `ofKind(kind, path)` gives them.
export function changes(value, usual, ofKind, path = "#") {
  if (Array.isArray(value) && value.some(isObject)) {
    const all = value.map((each, place) => changes(each, usual?.[place], ofKind, `${path}/${place}`));
    return all.every((each) => each === SAME) ? SAME : all.map((each) => (each === SAME ? {} : each));
  }
  if (!isObject(value)) return JSON.stringify(value) === JSON.stringify(usual) ? SAME : value;
  const other = value.kind !== undefined && value.kind !== usual?.kind;
  const base = other ? ofKind(value.kind, path) : usual;
  const differing = Object.entries(value)
    .map(([name, each]) => [name, name === "kind" ? SAME : changes(each, base?.[name], ofKind, `${path}/${name}`)])
    .filter(([, each]) => each !== SAME);
  if (!differing.length && !other) return SAME;
  return { ...(other ? { kind: value.kind } : {}), ...Object.fromEntries(differing) };
}
