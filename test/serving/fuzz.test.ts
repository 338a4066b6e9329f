/**
 * Random and mutated bodies and headers, made from the OpenAPI document, of two keys at once and about sequences that
 * exist: never a 500, never a hang, always the shape that errors have in the API that is spoken, and nothing of one key's for the other.
 * `RUNS=20000` for the long form.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { anyCharacter } from "../any-text.js";
import { chatModelFiles } from "../chat-model.js";
import { type Served, served } from "../server/served.js";

const RUNS = Number(process.env.RUNS ?? 3000);
/** For all of them, on a machine that has other things to do. */
const MOST_MS = 60_000 + 200 * RUNS;
/** What is in order, of those that answer conversations and prompts: drawn bodies of so many fields hardly ever are. */
const HELLO = [{ role: "user", content: "Once" }];
const RIGHT: Readonly<Record<string, object>> = {
  "/v1/completions": { prompt: "Once", max_tokens: 2 },
  "/v1/chat/completions": { messages: HELLO, max_tokens: 2 },
  "/v1/responses": { input: "Once", max_output_tokens: 2 },
  "/v1/messages": { model: "stories", messages: HELLO, max_tokens: 2 },
  "/api/chat": { model: "stories", messages: HELLO, options: { num_predict: 2 } },
  "/api/generate": { model: "stories", prompt: "Once", options: { num_predict: 2 } },
};
const GENERATING = Object.keys(RIGHT);
/** Those of them that fill in the middle. */
const INFILLING = ["/v1/completions", "/api/generate"];
/** Optional fields of an object that is drawn. */
const MOST_FIELDS = 6;
/** Random, with the embedded model's tokenizer, and tokens that ask for a middle. */
const MODEL = chatModelFiles({
  template: "",
  specials: ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"],
});
/** Milliseconds after which an answer counts as a hang. */
const HANG_MS = 20_000;

type Schema = Record<string, unknown>;

interface Target {
  readonly method: string;
  readonly path: string;
  readonly schema: Schema;
}

const KEYS = ["sk-first-0123456789", "sk-second-0123456789"] as const;
const as = (key: string) => ({ authorization: `Bearer ${key}` });

let folder: string;
let api: Served;
let schemas: Record<string, Schema>;
let targets: Target[];
const rejections: unknown[] = [];
const onRejection = (reason: unknown) => rejections.push(reason);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-fuzz-"));
  await writeFile(join(folder, "keys.txt"), `first ${KEYS[0]}\nsecond ${KEYS[1]}\n`);
  await mkdir(join(folder, "stories"));
  for (const [file, bytes] of Object.entries(MODEL.files)) {
    await writeFile(join(folder, "stories", file), bytes);
  }
  api = await served({
    apiKeys: join(folder, "keys.txt"),
    saveDir: join(folder, "saved"),
    model: join(folder, "stories"),
    chatTemplate: `{% if tools %}<tool_call>{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.role }}: {{ m.content }}
{% for c in m.tool_calls or [] %}{{ c | tojson }}{% endfor %}{% endfor %}`,
    // What a request may ask for is made small, so that the ones that are in order are soon done.
    limits: {
      ...{ maxTokens: 3, n: 2, beams: 2, prompts: 2, choices: 4, requestSeconds: 10, sequences: 4 },
      ...{ inputs: 4, inputTokens: 1000 },
    },
  });
  const document = await (await api.get("/openapi.json", as(KEYS[0]))).json();
  schemas = document.components.schemas;
  targets = Object.entries(document.paths as Record<string, Record<string, Schema>>).flatMap(
    ([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => {
        const body = operation.requestBody as { content: Record<string, { schema: Schema }> } | undefined;
        return { method: method.toUpperCase(), path, schema: body?.content["application/json"].schema ?? {} };
      }),
  );
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});
beforeEach(() => void process.on("unhandledRejection", onRejection));
afterEach(() => void process.off("unhandledRejection", onRejection));

/** One request, as it is drawn. */
interface Drawn {
  readonly target: Target;
  readonly body: unknown;
  readonly extra: Record<string, string>;
  readonly mutate: (text: string) => string;
  /** Whose key sends it. */
  readonly by: number;
  /** Whose sequence or response it is about; null: one that does not exist. */
  readonly about: number | null;
  /** Which of these. */
  readonly which: number;
}

test("no bodies and no headers, of two keys at once, are too much for it", { timeout: MOST_MS }, async () => {
  const known = targets.filter(({ path, method }) => method !== "GET" || path.includes("/v1/"));
  expect(known.filter(({ method }) => method === "POST").length).toBeGreaterThan(6);
  const ofSequences = known.filter(({ path }) => path.includes("{id}"));
  const drawnTarget = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...known) },
    { weight: 1, arbitrary: fc.constantFrom(...ofSequences) },
    { weight: 2, arbitrary: fc.constantFrom(...known.filter(({ path }) => GENERATING.includes(path))) },
  );
  const drawn: fc.Arbitrary<Drawn> = drawnTarget.chain((target) =>
    fc.record({
      target: fc.constant(target),
      body: fc.oneof(bodyFor(target.schema), bodyFor(target.schema).map(withPlainMessages)),
      extra: headers,
      mutate: mutation,
      by: fc.nat(1),
      about: fc.oneof({ weight: 6, arbitrary: fc.nat(1) }, { weight: 1, arbitrary: fc.constant(null) }),
      which: fc.nat(7),
    }),
  );
  /** Sequences, responses and their items of each key. */
  const held: [Held, Held] = [newHeld(), newHeld()];
  let about = 0;
  let infilled = 0;
  /** Paths of what was done. */
  const done = new Set<string>();
  const send = async ({ target, body, extra, mutate, by, about: owner, which }: Drawn) => {
    const kind = target.path.startsWith("/v1/responses") ? "responses" : "sequences";
    const idOf = (of: keyof Held) => {
      const ids = owner === null ? [] : held[owner][of].slice(-4);
      return ids[which % Math.max(1, ids.length)] ?? "none";
    };
    const id = idOf(kind);
    const name = ["kept", "stories", "nothing"][which % 3];
    const path = target.path.replace("{id}", id).replace(/\{\w+\}/g, name);
    const hasBody = target.method === "POST";
    const text = mutate(JSON.stringify(bodyOf(target.path, body, which, idOf)) ?? "null");
    const what = `${target.method} ${path} ${hasBody ? text : ""}`;
    const answer = await Promise.race([
      api.server.fetch(
        new Request(`http://127.0.0.1:8080${path}`, {
          method: target.method,
          headers: { ...(hasBody && { "content-type": "application/json" }), ...as(KEYS[by]), ...extra },
          ...(hasBody && { body: text }),
        }),
      ),
      new Promise<never>((_, reject) => {
        setTimeout(() => reject(new Error(`${what} hangs`)), HANG_MS).unref();
      }),
    ]);
    expect(answer.status, what).toBeLessThan(500);
    const said = await answer.text();
    expect(said, what).not.toMatch(/internal_error/);
    if (answer.status < 400) {
      done.add(target.path);
      if (text.includes('"suffix":" the end"')) infilled += 1;
      const isAbout = /seq-|resp_/.test(path) || /"(resp|msg)_/.test(text);
      if (isAbout) {
        // What is another's is not there.
        expect(owner, what).toBe(by);
        about += 1;
      }
      if (target.method === "DELETE") held[by][kind] = held[by][kind].filter((other) => other !== id);
      const isWhole = answer.headers.get("content-type")?.startsWith("application/json") && said !== "";
      const begun = isWhole ? JSON.parse(said) : {};
      const { sequences, responses, items } = held[by];
      if (begun.object === "sequence" && !sequences.includes(begun.id)) sequences.push(begun.id);
      if (begun.object === "response" && begun.store === true && !responses.includes(begun.id)) {
        responses.push(begun.id);
        items.push(begun.output[0].id);
      }
      return;
    }
    expectError(JSON.parse(said), path);
  };
  await fc.assert(
    fc.asyncProperty(fc.array(drawn, { minLength: 1, maxLength: 4 }), async (requests) => {
      for (const [by, { sequences }] of held.entries()) {
        if (sequences.length > 0) continue;
        const begun = await api.post("/v1/sequences", { prompt: "Once" }, { headers: as(KEYS[by]) });
        sequences.push((await begun.json()).id);
      }
      await Promise.all(requests.map(send));
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
  // Much of it was about sequences and responses that were there.
  expect(about).toBeGreaterThan(RUNS / 10);
  expect(infilled).toBeGreaterThan(RUNS / 100);
  for (const path of GENERATING) expect(done).toContain(path);
  expect(api.failures).toEqual([]);
  expect(rejections).toEqual([]);
  const metrics = await (await api.get("/metrics", as(KEYS[0]))).text();
  expect(metrics).toMatch(/vllm:num_requests_running\{[^}]*\} 0\n/);
});

/** What a key has, by ids. */
interface Held {
  sequences: string[];
  responses: string[];
  readonly items: string[];
}

const newHeld = (): Held => ({ sequences: [], responses: [], items: [] });

/** The body that is drawn; or one in order, with other fields that are drawn, or that refers to what is kept of a key. */
function bodyOf(path: string, drawn: unknown, which: number, idOf: (of: keyof Held) => string): unknown {
  const right = RIGHT[path];
  if (right === undefined || which < 3) return drawn;
  if (which === 3 && typeof drawn === "object") return { ...drawn, ...right };
  if (which === 4 && INFILLING.includes(path)) return { ...right, suffix: " the end" };
  if (path !== "/v1/responses" || which === 7) return right;
  if (which === 4) return { ...right, input: [{ type: "item_reference", id: idOf("items") }] };
  return { ...right, previous_response_id: idOf("responses") };
}

/** An error has the form of the API that the path belongs to, and says something. */
function expectError(body: { error: unknown }, path: string) {
  if (path.startsWith("/api/")) {
    expect(body).toEqual({ error: expect.stringMatching(/./) });
  } else if (path.startsWith("/v1/messages")) {
    const error = { type: expect.stringMatching(/_/), message: expect.stringMatching(/./) };
    expect(body).toEqual({ type: "error", error });
  } else {
    const param = body.error === null ? null : (body.error as { param: unknown }).param;
    const text = expect.stringMatching(/./);
    expect(body).toEqual({ error: { message: text, type: text, param, code: text } });
  }
}

/** Messages are seldom in order where each may have calls and results: with one that is, the rest is seen, too. */
function withPlainMessages(body: unknown): unknown {
  const isChat = typeof body === "object" && body !== null && "messages" in body;
  if (!isChat) return body;
  const messages = [{ role: "user", content: "Once upon a time" }];
  return { ...body, messages, ...("model" in body && { model: "stories" }) };
}

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
      // With many fields at once, hardly a body would be in order.
      const optional = properties.map(([name]) => name).filter((name) => !required.includes(name));
      return fc
        .subarray(optional, { maxLength: Math.min(optional.length, MOST_FIELDS) })
        .chain((some) =>
          fc.record(
            Object.fromEntries(
              properties
                .filter(([name]) => required.includes(name) || some.includes(name))
                .map(([name, of]) => [name, bodyFor(of, depth + 1)]),
            ),
          ),
        );
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
        fc.constantFrom(
          "Once upon a time",
          "stories",
          "user",
          "tool",
          '{"a": 1.0}',
          "<|endoftext|>",
          "a".repeat(3000),
        ),
        fc.string({ unit: anyCharacter, maxLength: 20 }),
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
        fc.string({ unit: anyCharacter, maxLength: 4 }),
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
