/** Answers that are held to a schema or a pattern, of the embedded model: it knows nothing of JSON. */
import { afterAll, beforeAll, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { type GenerationResult, type LanguageModel, load } from "../src/index.js";

let model: LanguageModel;
beforeAll(async () => {
  model = await load("stories", { threads: 1, kvMemory: "16MiB" });
});
afterAll(() => model.dispose());

const person = z.object({
  name: z.string().max(12),
  age: z.int().min(0).max(150),
  colours: z.array(z.enum(["red", "green", "blue"])).max(3),
  born: z.iso
    .date()
    .transform((text) => new Date(text))
    .optional(),
});

test("a schema of Zod: the value is parsed, validated and typed; the text alone and beside others is the same", async () => {
  const options = { schema: person, temperature: 1.5, seed: 3, maxTokens: 120 };
  const alone = await model.generate("Once upon a time", options).result();
  expect(alone.finishReason).toBe("stop");
  expectTypeOf(alone.value).toEqualTypeOf<z.output<typeof person> | undefined>();
  expect(alone.value).toEqual(person.parse(JSON.parse(alone.text)));
  const [beside, , several] = await Promise.all([
    model.generate("Once upon a time", { ...options, speculate: 4 }).result(),
    model.generate("The cat", { maxTokens: 60, seed: 1 }).result(),
    model.generate("Once upon a time", { ...options, seed: 2, n: 2 }).result(),
  ]);
  expect(beside.tokens).toEqual(alone.tokens);
  expect(several.choices[1].tokens).toEqual(alone.tokens);
});

test("the README's example says what it says", async () => {
  const toy = z.object({
    toy: z.enum(["ball", "kite", "doll"]),
    colour: z.enum(["blue", "green", "red"]),
    count: z.int().min(1).max(9),
  });
  const { value } = await model.generate("Tom had a red ball.", { schema: toy, temperature: 0 }).result();
  expect(value).toEqual({ toy: "ball", colour: "red", count: 1 });
});

test("an answer that is cut has no value, and says so", async () => {
  const { finishReason, value } = await model.generate("Once", { schema: person, maxTokens: 3 }).result();
  expect([finishReason, value]).toEqual(["length", undefined]);
});

test("a pattern ends the answer, also where end tokens are ignored", async () => {
  const options = { regex: /[A-Z][a-z]{2,8}( [a-z]+){2}\./, seed: 2, ignoreEos: true };
  const { text, finishReason } = await model.generate("Once upon a time", options).result();
  expect(text).toMatch(/^[A-Z][a-z]{2,8}( [a-z]+){2}\.$/);
  expect(finishReason).toBe("stop");
});

test("a grammar in GBNF", async () => {
  const grammar = 'root ::= "yes" | "no" (", " reason)+\nreason ::= [a-z]{3,5}\n';
  const { text, finishReason, value } = await model.generate("Is it", { grammar, seed: 1 }).result();
  expect(text).toMatch(/^(yes|no(, [a-z]{3,5})+)$/);
  expect([finishReason, value]).toEqual(["stop", undefined]);
});

test("a refinement that refuses the answer is an error with the text", async () => {
  const schema = z.object({ a: z.boolean() }).refine(() => false, "never");
  const failed = model.generate("Once", { schema, seed: 1 }).result();
  await expect(failed).rejects.toMatchObject({
    code: "value_refused",
    text: expect.stringMatching(/^\{"a":/),
    issues: ["never"],
  });
});

test.each<[object, string]>([
  [{ schema: { type: "object", patternProperties: {} } }, "#/patternProperties"],
  [{ schema: { type: "strin" } }, "#/type must be one of"],
  [{ schema: { type: "string", minLength: 3, maxLength: 2 } }, "no text fits"],
  [{ schema: { type: "string", title: "x".repeat(262_144) } }, "schema, as JSON, has over 262144 characters"],
  [{ regex: "a".repeat(8193) }, "regex has over 8192 characters"],
  [{ grammar: "#".repeat(100_001) }, "grammar has over 100000 characters"],
  [{ regex: "(" }, "without its `)`"],
  [{ schema: z.set(z.string()) }, "has no JSON Schema"],
  [{ schema: 5 }, "not 5"],
  [{ schema: true, regex: "a" }, "cannot be combined"],
  [{ grammar: 'root ::= "a' }, "at line 1, column 12"],
  [{ grammar: 1 }, "not 1"],
  [{ grammar: "", regex: "a" }, "regex and grammar cannot be combined"],
  [{ schema: true, stop: "x" }, "stop cannot be combined"],
  [{ schema: true, numBeams: 2 }, "numBeams cannot be combined"],
  [{ regex: /a/i }, 'the flags "i"'],
])("%o is refused before anything runs", async (options, sentence) => {
  const before = (await model.stats()).steps;
  const refused = (async (): Promise<GenerationResult> => model.generate("Once", options).result())();
  await expect(refused).rejects.toMatchObject({
    code: "invalid_argument",
    message: expect.stringContaining(sentence),
  });
  expect((await model.stats()).steps).toBe(before);
});
