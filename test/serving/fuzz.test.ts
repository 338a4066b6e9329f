/**
 * Random and mutated bodies and headers, made from the OpenAPI document: never a 500, never a hang, always OpenAI's shape
 * of an error.
 */
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type Served, served } from "../server/served.js";

const RUNS = 5000;
/** Milliseconds after which an answer counts as a hang. */
const HANG_MS = 20_000;

type Schema = Record<string, unknown>;

interface Target {
  readonly method: string;
  readonly path: string;
  readonly schema: Schema;
}

let api: Served;
let schemas: Record<string, Schema>;
let targets: Target[];
const rejections: unknown[] = [];
const onRejection = (reason: unknown) => rejections.push(reason);

beforeAll(async () => {
  api = await served({
    chatTemplate: "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
    // What a request may ask for is made small, so that the ones that are in order are soon done.
    limits: { maxTokens: 3, n: 2, beams: 2, prompts: 2, choices: 4, requestSeconds: 10, sequences: 4 },
  });
  const document = await (await api.get("/openapi.json")).json();
  schemas = document.components.schemas;
  targets = Object.entries(document.paths as Record<string, Record<string, Schema>>).flatMap(
    ([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => {
        const body = operation.requestBody as { content: Record<string, { schema: Schema }> } | undefined;
        return { method: method.toUpperCase(), path, schema: body?.content["application/json"].schema ?? {} };
      }),
  );
});
afterAll(() => api[Symbol.asyncDispose]());
beforeEach(() => void process.on("unhandledRejection", onRejection));
afterEach(() => void process.off("unhandledRejection", onRejection));

test("no body and no header is too much for it", async () => {
  const withBody = targets.filter(({ method }) => method === "POST");
  expect(withBody.length).toBeGreaterThan(6);
  const request = fc
    .constantFrom(...withBody)
    .chain((target) => fc.tuple(fc.constant(target), bodyFor(target.schema), headers, mutation));
  await fc.assert(
    fc.asyncProperty(request, async ([target, body, extra, mutate]) => {
      const path = target.path.replace(/\{\w+\}/g, "seq-none");
      const text = mutate(JSON.stringify(body) ?? "null");
      const answer = await Promise.race([
        api.post(path, text, { headers: extra }),
        new Promise<never>((_, reject) => {
          const timer = setTimeout(() => reject(new Error(`${path} hangs on ${text}`)), HANG_MS);
          timer.unref();
        }),
      ]);
      expect(answer.status, `${path} ${text}`).toBeLessThan(500);
      const said = await answer.text();
      expect(said, text).not.toMatch(/internal_error/);
      if (answer.status < 400) return;
      const { error } = JSON.parse(said);
      expect(Object.keys(error).sort()).toEqual(["code", "message", "param", "type"]);
      expect(error.message.length).toBeGreaterThan(0);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
  expect(api.failures).toEqual([]);
  expect(rejections).toEqual([]);
  const metrics = await (await api.get("/metrics")).text();
  expect(metrics).toMatch(/vllm:num_requests_running\{[^}]*\} 0\n/);
}, 600_000);

/** Values that a schema describes, with some that it does not. */
function bodyFor(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
  const fitting = fittingFor(schema, depth);
  return fc.oneof({ weight: 12, arbitrary: fitting }, { weight: 1, arbitrary: oddValue });
}

const oddValue = fc.oneof(
  fc.constantFrom<unknown>(null, true, "", 0, -1, 1e308, -0.5, 2 ** 53, "\u0000", "\ud800", [], {}, [[]]),
  fc.jsonValue({ maxDepth: 3 }),
);

function fittingFor(schema: Schema, depth: number): fc.Arbitrary<unknown> {
  if (typeof schema.$ref === "string") return bodyFor(schemas[schema.$ref.split("/").at(-1)!], depth);
  const choices = (schema.anyOf ?? schema.oneOf) as Schema[] | undefined;
  if (choices !== undefined) return fc.oneof(...choices.map((choice) => bodyFor(choice, depth + 1)));
  if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum);
  const types = ([] as unknown[]).concat(schema.type ?? []);
  const type = types.find((name) => name !== "null");
  const one = fittingType(schema, type, depth);
  return types.includes("null") ? fc.option(one) : one;
}

function fittingType(schema: Schema, type: unknown, depth: number): fc.Arbitrary<unknown> {
  switch (type) {
    case "object": {
      const properties = Object.entries((schema.properties ?? {}) as Record<string, Schema>);
      const required = (schema.required ?? []) as string[];
      if (properties.length === 0)
        return fc.dictionary(fc.constantFrom("1", "7", "x", "__proto__"), fc.double());
      return fc.record(Object.fromEntries(properties.map(([name, of]) => [name, bodyFor(of, depth + 1)])), {
        requiredKeys: required,
      });
    }
    case "array":
      return fc.array(bodyFor((schema.items ?? {}) as Schema, depth + 1), { maxLength: 4 });
    case "integer":
      return fc.oneof(
        fc.integer({ min: -1, max: 5 }),
        fc.integer({ min: 0, max: 2047 }),
        fc.maxSafeInteger(),
      );
    case "number":
      return fc.oneof(fc.double({ min: 0, max: 2, noNaN: true }), fc.double({ noNaN: true }));
    case "boolean":
      return fc.boolean();
    case "string":
      return fc.oneof(
        fc.constantFrom("Once upon a time", "stories", "user", "<|endoftext|>", "a".repeat(3000)),
        fc.string({ unit: "binary", maxLength: 20 }),
      );
    default:
      return oddValue;
  }
}

/** A JSON text as it is, mostly; else with a piece cut out, doubled or replaced. */
const mutation: fc.Arbitrary<(text: string) => string> = fc.oneof(
  { weight: 6, arbitrary: fc.constant((text: string) => text) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(8),
        fc.string({ unit: "binary", maxLength: 4 }),
      )
      .map(([at, length, put]) => (text: string) => {
        const from = Math.floor(at * text.length);
        return text.slice(0, from) + put + text.slice(from + length);
      }),
  },
);

const headerText = fc
  .array(fc.integer({ min: 0x20, max: 0xff }), { maxLength: 30 })
  .map((codes) => String.fromCharCode(...codes).trim());

const headers: fc.Arbitrary<Record<string, string>> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc.dictionary(
      fc.constantFrom("content-type", "origin", "authorization", "accept", "content-length", "x-request-id"),
      fc.oneof(headerText, fc.constantFrom("application/json; charset=utf-16", "null", "-1", "Bearer x")),
    ),
  },
);
