/**
 * Whatever a template does with what it is given, none of it becomes the template's own text: random templates, of every
 * filter, method and function, over data in characters that no template has.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Template } from "./template.js";

/** The data's characters, without an upper or lower case, and not in any template here. */
const DATA = /[\u{2460}-\u{2473}]/u;
const END = performance.now() + 3_600_000;
const RUNS = Number(process.env.RUNS ?? 400);

const NAMES = { "①": "②③", "④ ⑤": ["⑥", { "⑦": "⑧\n⑨" }], a: "⑩", n: 3 };
const MESSAGES = [
  { role: "user", content: "⑪ ⑫,⑬\n⑭" },
  {
    ...{ role: "assistant", content: [{ type: "text", text: "⑮" }] },
    tool_calls: [{ id: "⑯", type: "function", function: { name: "⑰", arguments: NAMES } }],
  },
];
const ASKED = {
  tools: [{ type: "function", function: { name: "⑱", parameters: { properties: NAMES } } }],
  x: "⑲⑳",
};

const FILTERS = [
  ...[
    "tojson",
    "tojson(indent=2)",
    "tojson(sort_keys=true)",
    "d(x)",
    "length",
    "upper",
    "lower",
    "capitalize",
    "title",
  ],
  ...[
    "trim",
    "trim(x)",
    "string",
    "safe",
    "escape",
    "indent(2)",
    "indent(x)",
    "replace('a', x)",
    "replace(x, 'a')",
    "format(x)",
  ],
  ...[
    "center(9)",
    "truncate(4)",
    "truncate(3, true, x)",
    "urlencode",
    "int",
    "float",
    "first",
    "last",
    "reverse",
    "join",
    "join(x)",
  ],
  ...[
    "join(', ')",
    "list",
    "sort",
    "dictsort",
    "items",
    "unique",
    "batch(2, x)",
    "groupby('a')",
    "groupby(x)",
    "map('upper')",
  ],
  ...[
    "map(attribute='a')",
    "map('replace', x, 'b')",
    "select",
    "reject('none')",
    "selectattr('a')",
    "max",
    "min",
    "sum",
    "round",
  ],
  ...["wordcount", "format(**c)", "attr(x)", "e", "count", "abs"],
];
const METHODS = [
  ...[
    "upper()",
    "lower()",
    "title()",
    "capitalize()",
    "swapcase()",
    "casefold()",
    "strip()",
    "strip(x)",
    "split()",
    "split(x)",
  ],
  ...[
    "split(',')",
    "rsplit(' ', 1)",
    "splitlines()",
    "splitlines(true)",
    "partition(',')",
    "rpartition(x)",
    "replace(',', x)",
  ],
  ...[
    "replace(x, ',')",
    "replace('', x)",
    "removeprefix(x)",
    "removesuffix('a')",
    "join(c)",
    "join(['a', x])",
    "format(x, a=x)",
  ],
  ...[
    "format(*t, **c)",
    "ljust(9)",
    "rjust(9, x)",
    "center(9, x)",
    "zfill(9)",
    "find(x)",
    "count(x)",
    "items()",
    "keys()",
    "values()",
  ],
  ...[
    "get('a')",
    "get(x, x)",
    "copy()",
    "a",
    "content",
    "tool_calls",
    "function",
    "arguments",
    "index(x)",
    "startswith(x)",
  ],
];

const expression: fc.Arbitrary<string> = fc.letrec<{ e: string }>((tie) => ({
  e: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(
      "x",
      "c",
      "t",
      "messages",
      "messages[0].content",
      "messages[1].content",
      "tools",
      "'%s-%r'",
      "'{}{a!r:>7}'",
      "3",
      "' a '",
    ),
    fc.tuple(tie("e"), fc.constantFrom(...FILTERS)).map(([e, filter]) => `(${e})|${filter}`),
    fc.tuple(tie("e"), fc.constantFrom(...METHODS)).map(([e, method]) => `(${e}).${method}`),
    fc
      .tuple(tie("e"), tie("e"), fc.constantFrom("~", "+", "%", "or", "and", "*"))
      .map(([a, b, o]) => `(${a}) ${o} (${b})`),
    fc
      .tuple(tie("e"), fc.constantFrom("0", "-1", "'a'", "x", "1:", "::-1", ":2"))
      .map(([e, at]) => `(${e})[${at}]`),
    fc.tuple(tie("e"), tie("e")).map(([a, b]) => `[${a}, ${b}]`),
    fc.tuple(tie("e"), tie("e")).map(([a, b]) => `{${a}: ${b}}`),
    tie("e").map((e) => `dict(**${e})`),
    tie("e").map((e) => `dict(${e}, **c)`),
    tie("e").map((e) => `m(${e}, **c)`),
    tie("e").map((e) => `m(**${e})`),
    tie("e").map((e) => `namespace(${e}).a`),
    tie("e").map((e) => `namespace(**${e}).a`),
    tie("e").map((e) => `joiner(${e})`),
    tie("e").map((e) => `cycler(${e})`),
  ),
})).e;
const statement = fc.tuple(expression, fc.nat(6)).map(([e, kind]) => {
  switch (kind) {
    case 0:
      return `{% for i in ${e} %}{{ i }}{{ loop.previtem }}{% endfor %}`;
    case 1:
      return `{% for k, v in (${e}).items() %}{{ k }}={{ v }}{% endfor %}`;
    case 2:
      return `{% set b | upper %}{{ ${e} }}{% endset %}{{ b }}`;
    case 3:
      return `{% call m(${e}) %}{{ x }}{% endcall %}`;
    case 4:
      return `{% filter replace(x, 'a') %}{{ ${e} }}{% endfilter %}`;
    case 5:
      return `{% set n = namespace(s='') %}{% for i in ${e} %}{% set n.s = n.s ~ i %}{% endfor %}{{ n.s }}`;
    default:
      return `{{ ${e} }}`;
  }
});

/** Names that come with `**`, and characters that fill. */
const EXAMPLES = [
  ...[
    "{{ dict(**c) }}",
    "{{ m(**c) }}",
    "{% call m(**c) %}{% endcall %}",
    "{{ ['%(a)s'] | map('format', **c) | list }}",
  ],
  ...[
    "{{ 'a'.rjust(9, x[0]) }}",
    "{{ ('{:' ~ x[0] ~ '>9}').format('a') }}",
    "{{ ('{:' ~ x[0] ~ '=9}').format(3) }}",
  ],
];

/** Every run's origin, with what comes of a message and of tools. */
function runsOf(source: string) {
  const c = "{% set c = messages[1].tool_calls[0].function.arguments %}{% set t = (x, c) %}";
  const macro = "{% macro m(p=none) %}{{ p }}{{ varargs }}{{ kwargs }}{{ caller() if caller }}{% endmacro %}";
  return new Template(c + macro + source).render({
    messages: MESSAGES,
    variables: {},
    asked: ASKED,
    end: END,
  }).runs;
}

test("no character that was given has the template's origin", () => {
  let rendered = 0;
  let given = 0;
  fc.assert(
    fc.property(statement, (source) => {
      let runs: ReturnType<typeof runsOf>;
      try {
        runs = runsOf(source);
      } catch (error) {
        // Most of what is drawn cannot be done with such values.
        expect(error).toBeInstanceOf(Error);
        return;
      }
      rendered += 1;
      if (runs.some(({ text }) => DATA.test(text))) given += 1;
      for (const { text, origin } of runs) if (origin === 0) expect(text, source).not.toMatch(DATA);
    }),
    { numRuns: RUNS, examples: EXAMPLES.map((source) => [source]) },
  );
  expect(rendered).toBeGreaterThan(RUNS / 12);
  expect(given).toBeGreaterThan(RUNS / 20);
});
