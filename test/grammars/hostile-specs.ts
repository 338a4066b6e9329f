/** Schemas, patterns and grammars that nobody would write: shared by the tests of compiling and of the server. */
import fc from "fast-check";

const anything = fc.jsonValue({ maxDepth: 3 });
const size = fc.oneof(fc.nat(5), fc.constantFrom(-1, 0.5, 1e9, 2 ** 53, 1e308));
export const hostilePattern = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc
    .array(
      fc.constantFrom(
        "a",
        ".",
        "(a|b)*",
        "[^x]",
        "{1,99}",
        "(",
        ")",
        "|",
        "\\d",
        "^",
        "$",
        "(?=a)",
        "\\u{1F600}",
        "+",
      ),
      {
        maxLength: 9,
      },
    )
    .map((parts) => parts.join("")),
);
export const { schema: hostileSchema } = fc.letrec<{ schema: unknown }>((tie) => {
  const sub = tie("schema");
  const subs = fc.array(sub, { maxLength: 3 });
  const named = fc.dictionary(
    fc.oneof(fc.constantFrom("a", "b", "__proto__", ""), fc.string({ maxLength: 4 })),
    sub,
    {
      maxKeys: 3,
    },
  );
  const keywords = {
    type: fc.oneof(
      fc.constantFrom("object", "array", "string", "integer", "number", "null", "boolean"),
      anything,
    ),
    ...{ properties: named, $defs: named, anyOf: subs, allOf: subs, oneOf: subs, prefixItems: subs },
    ...{ items: sub, additionalProperties: sub, propertyNames: sub, not: sub },
    required: fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 3 }),
    ...{ enum: fc.array(anything, { maxLength: 4 }), const: anything },
    $ref: fc.constantFrom("#", "#/$defs/a", "#/properties/a", "#/anyOf/0", "http://x/", "#/%", "#/__proto__"),
    ...{ minLength: size, maxLength: size, minItems: size, maxItems: size, minimum: size, maximum: size },
    ...{ multipleOf: size, minProperties: size, maxProperties: size, pattern: hostilePattern },
    format: fc.constantFrom("email", "uuid", "date-time", "ipv4", "regex", ""),
    other: anything,
  };
  const keyword = fc.oneof(
    ...Object.entries(keywords).map(([name, value]) => ({
      // Most schemas say what type they are of.
      weight: name === "type" || name === "properties" ? 4 : 1,
      arbitrary: value.map((it): [string, unknown] => [name, it]),
    })),
  );
  const some = fc.uniqueArray(keyword, { maxLength: 4, selector: ([name]) => name });
  return {
    schema: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.boolean(),
      some.map((all) => Object.fromEntries(all)),
    ),
  };
});

/** Lines of a grammar in GBNF, of which few are right. */
export const hostileGbnf: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc
    .array(
      fc
        .array(
          fc.constantFrom(
            ...[
              "root",
              "a",
              "b",
              "::=",
              "|",
              "(",
              ")",
              "*",
              "+",
              "?",
              "{2}",
              "{1,999}",
              "{9,}",
              '"x"',
              '""',
              "[a-z]",
              "[^",
              "]",
            ],
            ...['"\\u12"', "\n", "#", ".", '"', "\\"],
          ),
          { maxLength: 8 },
        )
        .map((parts) => parts.join(" ")),
      { maxLength: 4 },
    )
    .chain((lines) =>
      fc.constantFrom(
        lines.join("\n"),
        ["root", "a", "b"].map((name, i) => `${name} ::= ${lines[i] ?? '"x"'}`).join("\n"),
      ),
    ),
);
