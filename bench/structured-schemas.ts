/** Twenty schemas and some sets of tools as applications have them, for what it costs to hold an answer to one; and some that are made to cost. */
import { z } from "zod";
import type { CallFormatName } from "../src/tools/call-format.js";
import type { ToolsSpec } from "../src/tools/call-grammar.js";

const text = { type: "string", maxLength: 40 };
const object = (properties: Record<string, unknown>, required = Object.keys(properties)) => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
});
const listed = <T>(length: number, of: (i: number) => T) => Array.from({ length }, (_, i) => of(i));
const ofZod = (schema: z.ZodType) => z.toJSONSchema(schema);

export const SCHEMAS: readonly (readonly [name: string, schema: unknown])[] = [
  ["an enum of 500", object({ city: { enum: listed(500, (i) => `city ${(i * 7919) % 1009}`) } })],
  [
    "recursion by $ref",
    {
      $ref: "#/$defs/node",
      $defs: {
        node: object({ name: text, children: { type: "array", items: { $ref: "#/$defs/node" } } }),
      },
    },
  ],
  [
    "anyOf of 20 objects",
    { anyOf: listed(20, (i) => object({ [`kind_${i}`]: text, value: { type: "integer" } })) },
  ],
  ["zod: email", ofZod(z.object({ email: z.email() }))],
  ["zod: uuid", ofZod(z.object({ id: z.uuid() }))],
  ["zod: iso.datetime", ofZod(z.object({ at: z.iso.datetime() }))],
  ["zod: int", ofZod(z.object({ count: z.int(), price: z.number().min(0).max(1e6) }))],
  ["zod: record", ofZod(z.object({ scores: z.record(z.string(), z.number()) }))],
  ["zod: tuple", ofZod(z.tuple([z.string(), z.int(), z.boolean()]))],
  [
    "zod: discriminatedUnion",
    ofZod(
      z.discriminatedUnion("kind", [
        z.object({ kind: z.literal("circle"), radius: z.number() }),
        z.object({ kind: z.literal("square"), side: z.number() }),
        z.object({ kind: z.literal("text"), words: z.array(z.string()) }),
      ]),
    ),
  ],
  ["any JSON object", { type: "object" }],
  ["any JSON", true],
  ["a text of bounded length", { type: "string", minLength: 10, maxLength: 200 }],
  ["a text of a pattern", { type: "string", pattern: "^[A-Z][a-z]+( [A-Z][a-z]+){1,3}$" }],
  ["integers within bounds", { type: "array", items: { type: "integer", minimum: -1000, maximum: 99_999 } }],
  ["numbers within bounds", { type: "array", items: { type: "number", minimum: 0.125, maximum: 98.6 } }],
  ["forty optional properties", object(Object.fromEntries(listed(40, (i) => [`field_${i}`, text])), [])],
  [
    "an invoice",
    object({
      number: { type: "string", pattern: "^[A-Z]{2}-\\d{6}$" },
      issued: { type: "string", format: "date" },
      customer: object({
        name: text,
        email: { type: "string", format: "email" },
        country: { enum: ["AT", "DE", "FR"] },
      }),
      lines: {
        type: "array",
        minItems: 1,
        maxItems: 20,
        items: object({
          title: text,
          quantity: { type: "integer", minimum: 1, maximum: 999 },
          price: { type: "number", minimum: 0, maximum: 99_999 },
        }),
      },
      paid: { type: "boolean" },
    }),
  ],
  [
    "addresses",
    object({
      site: { type: "string", format: "uri" },
      ip: { type: "string", format: "ipv4" },
      host: { type: "string", format: "hostname" },
    }),
  ],
  [
    "allOf of three",
    {
      allOf: [
        object({ a: text, b: text }, ["a"]),
        { required: ["b"] },
        { properties: { a: { minLength: 3 } } },
      ],
    },
  ],
];

const CODING_TOOLS = [
  ["read_file", object({ path: { type: "string" }, from: { type: "integer" }, lines: { type: "integer" } })],
  ["write_file", object({ path: { type: "string" }, content: { type: "string" } })],
  ["run", object({ command: { type: "string" }, seconds: { type: ["integer", "null"] } })],
  ["search", object({ query: { type: "string", maxLength: 200 }, kinds: { enum: ["code", "docs"] } })],
  [
    "note",
    object({ title: text, tags: { type: "array", items: text }, about: { type: ["string", "null"] } }),
  ],
  ["ask", object({ question: { type: "string" }, options: { type: "object" } }, ["question"])],
] as const;

/** Sets of tools, and whether one must be called: an answer's first tokens are free text where none must. */
export const TOOLS: readonly (readonly [
  name: string,
  format: CallFormatName,
  choice: "auto" | "required",
  tools: ToolsSpec["tools"],
])[] = (["hermes", "qwen3-coder"] as const).flatMap((format) =>
  (["required", "auto"] as const).map(
    (choice) =>
      [
        `six tools, ${format}, ${choice}`,
        format,
        choice,
        CODING_TOOLS.map(([name, parameters]) => ({ name, parameters: JSON.stringify(parameters) })),
      ] as const,
  ),
);

/** Schemas that leave much open, or that have many states. */
export const HOSTILE: readonly (readonly [name: string, schema: unknown])[] = [
  ["500 objects that begin alike", { anyOf: listed(300, (i) => object({ [`a${i}`]: true })) }],
  [
    "5,000 optional properties",
    object(Object.fromEntries(listed(4000, (i) => [`p${i}`, { type: "null" }])), []),
  ],
  ["states that all differ", { type: "string", pattern: "^(?:a|b| |e)*(?:a|e)(?:a|b| |e){8}$" }],
  [
    "lists that may end at any depth",
    {
      $ref: "#/$defs/l",
      $defs: {
        l: {
          anyOf: [
            { type: "array", items: { $ref: "#/$defs/l" } },
            { type: "array", items: { anyOf: [{ $ref: "#/$defs/l" }, { type: "string" }] } },
          ],
        },
      },
    },
  ],
];
