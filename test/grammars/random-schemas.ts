/** Random schemas of every keyword that is honoured, all of bounded length: what fits one is a few hundred characters at most. */

type Random = () => number;
type Schema = Record<string, unknown>;

const FORMATS = ["date", "time", "date-time", "duration", "ipv4", "ipv6", "uuid"];
const PATTERNS = [
  "^[a-z]{1,5}$",
  "^(?:ab|c){1,4}$",
  "^\\d{2}-[A-F]{3}$",
  "^(?=.*x)[xyz]{2,6}$",
  '^["\\\\é]{0,3}$',
  "^(?!no)[nope]{1,5}$",
];
const VALUES = [null, true, false, 0, -7, 1.25, "", "a", 'q"\\\n', "é", [1, "b"], { a: null }];

/** A schema; the same for the same numbers. */
export function randomSchema(random: Random): Schema {
  return withDefinitions(random, anySchema(random, 3));
}

/** One of an object, as a tool's parameters are. */
export function randomParameters(random: Random): Schema {
  return withDefinitions(random, objectSchema(random, 2));
}

/** What `$ref` refers to. */
function withDefinitions(random: Random, schema: Schema): Schema {
  return { ...schema, $defs: { end: anySchema(random, 0) } };
}

function anySchema(random: Random, depth: number): Schema {
  const kinds = depth > 0 ? KINDS : FLAT_KINDS;
  return kinds[Math.floor(random() * kinds.length)](random, depth);
}

function objectSchema(random: Random, depth: number): Schema {
  const names = among(random, ["a", "b", "name", "x_y", "Größe", 'q"'], 1 + Math.floor(random() * 4));
  const properties = Object.fromEntries(names.map((name) => [name, anySchema(random, depth - 1)]));
  const required = names.filter(() => random() < 0.7);
  const isOpen = random() < 0.2;
  return {
    type: "object",
    properties,
    ...(required.length > 0 ? { required } : {}),
    ...(isOpen
      ? {
          additionalProperties: anySchema(random, 0),
          propertyNames: { maxLength: 6 },
          maxProperties: names.length + 1,
        }
      : { additionalProperties: false }),
  };
}

type Kind = (random: Random, depth: number) => Schema;

const count = (random: Random, most: number) => Math.floor(random() * (most + 1));

const FLAT_KINDS: readonly Kind[] = [
  () => ({ type: "null" }),
  () => ({ type: "boolean" }),
  (random) => ({ enum: among(random, VALUES, 1 + count(random, 4)) }),
  (random) => ({ const: among(random, VALUES, 1)[0] }),
  (random) => {
    const minimum = count(random, 200) - 100;
    return { type: "integer", minimum, maximum: minimum + count(random, 1000) };
  },
  (random) => ({ type: "integer", multipleOf: 1 + count(random, 20), minimum: -500, exclusiveMaximum: 500 }),
  (random) => {
    const minimum = Math.round(random() * 1000 - 500) / 8;
    return { type: "number", minimum, maximum: minimum + 0.5 + count(random, 100) };
  },
  (random) => {
    const minLength = count(random, 3);
    return { type: "string", minLength, maxLength: minLength + count(random, 8) };
  },
  (random) => ({ type: "string", pattern: among(random, PATTERNS, 1)[0] }),
  (random) => ({ type: "string", pattern: "[ab]", maxLength: 1 + count(random, 6) }),
  (random) => ({ type: "string", format: among(random, FORMATS, 1)[0] }),
  (random) => ({ type: "string", format: among(random, ["email", "hostname", "uri"], 1)[0], maxLength: 30 }),
  () => ({ type: ["string", "null"], maxLength: 5 }),
];

const KINDS: readonly Kind[] = [
  ...FLAT_KINDS,
  ...Array.from({ length: 5 }, (): Kind => (random, depth) => objectSchema(random, depth)),
  (random, depth) => {
    const minItems = count(random, 2);
    return {
      type: "array",
      items: anySchema(random, depth - 1),
      minItems,
      maxItems: minItems + count(random, 2),
    };
  },
  (random, depth) => ({
    type: "array",
    prefixItems: [anySchema(random, depth - 1), anySchema(random, 0)],
    ...(random() < 0.5 ? { items: false } : { items: { type: "boolean" }, maxItems: 4 }),
  }),
  (random, depth) => ({ anyOf: [anySchema(random, depth - 1), anySchema(random, depth - 1)] }),
  (random, depth) => ({
    oneOf: ["circle", "square"].map((kind) => {
      const one = objectSchema(random, depth);
      return {
        ...one,
        properties: { kind: { const: kind }, ...(one.properties as Schema) },
        required: ["kind", ...((one.required as string[] | undefined) ?? [])],
        ...(one.maxProperties === undefined ? {} : { maxProperties: Number(one.maxProperties) + 1 }),
      };
    }),
  }),
  (random, depth) => {
    const { additionalProperties: _, ...one } = objectSchema(random, depth);
    const names = Object.keys(one.properties as Schema);
    return {
      ...one,
      additionalProperties: false,
      allOf: [{ required: names.slice(0, 1) }, { minProperties: 1 }],
    };
  },
  () => ({
    type: "object",
    properties: {
      value: { type: "integer", minimum: 0, maximum: 99 },
      next: { anyOf: [{ $ref: "#/$defs/end" }, { type: "null" }] },
    },
    required: ["value", "next"],
    additionalProperties: false,
  }),
];

/** So many different ones of a list, or all. */
function among<T>(random: Random, list: readonly T[], most: number): T[] {
  const left = [...list];
  return Array.from(
    { length: Math.min(most, list.length) },
    () => left.splice(Math.floor(random() * left.length), 1)[0],
  );
}
