/** Answers that are held to a schema, over HTTP: every field that says so, what comes out, and what is refused. */
import { readFile } from "node:fs/promises";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { errorOf, events, type Served, served } from "./served.js";

const SCHEMA = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 6 },
    kind: { enum: ["cat", "dog"] },
    ages: { type: "array", items: { type: "integer", minimum: 0, maximum: 20 }, maxItems: 3 },
  },
  required: ["name", "kind", "ages"],
  additionalProperties: false,
};
const isRight = new Ajv2020().compile(SCHEMA);
const FORMAT = { type: "json_schema", json_schema: { name: "pet", schema: SCHEMA, strict: true } };
const MESSAGES = [{ role: "user", content: "A pet?" }];

let api: Served;
beforeAll(async () => {
  const chatTemplate = await readFile(new URL("./template.jinja", import.meta.url), "utf8");
  api = await served({ chatTemplate });
});
afterAll(() => api[Symbol.asyncDispose]());

const chat = (body: object) =>
  api.post("/v1/chat/completions", {
    messages: MESSAGES,
    seed: 1,
    max_tokens: 100,
    temperature: 1.5,
    ...body,
  });
const complete = (body: object) =>
  api.post("/v1/completions", { prompt: "Once", seed: 1, max_tokens: 100, temperature: 1.5, ...body });
const textOf = async (answer: Response): Promise<string> => {
  expect(answer.status).toBe(200);
  const { choices } = await answer.json();
  expect(choices[0].finish_reason).toBe("stop");
  return choices[0].text ?? choices[0].message.content;
};

test("chats and completions, whole and streamed, several and with log-probabilities, fit the schema", async () => {
  const whole = await textOf(await chat({ response_format: FORMAT }));
  expect(isRight(JSON.parse(whole)), whole).toBe(true);
  const { chunks } = await events(await chat({ response_format: FORMAT, stream: true }));
  const deltas = chunks.map(({ choices: [{ delta }] }) => delta.content ?? "");
  expect(deltas.join("")).toBe(whole);
  expect(deltas.length).toBeGreaterThan(3);
  const several = await (await chat({ response_format: FORMAT, n: 3, logprobs: true, speculate: 4 })).json();
  expect(several.choices).toHaveLength(3);
  for (const { message, logprobs } of several.choices) {
    expect(isRight(JSON.parse(message.content))).toBe(true);
    expect(logprobs.content.map(({ token }: { token: string }) => token).join("")).toBe(message.content);
  }
  expect(several.choices[0].message.content).toBe(whole);
  const ofPrompts = await (await complete({ prompt: ["Once", "The dog"], response_format: FORMAT })).json();
  for (const { text } of ofPrompts.choices) expect(isRight(JSON.parse(text))).toBe(true);
});

test("an answer that is cut says length", async () => {
  const { choices } = await (await chat({ response_format: FORMAT, max_tokens: 3 })).json();
  expect(choices[0].finish_reason).toBe("length");
  expect(choices[0].message.content).toMatch(/^\{"n/);
});

test("any JSON object; vLLM's and llama.cpp's names", async () => {
  const { choices } = await (await chat({ response_format: { type: "json_object" } })).json();
  expect(choices[0].message.content).toMatch(/^\{("|\}$)/);
  const digits = { type: "integer", minimum: 10, maximum: 99 };
  for (const body of [
    { response_format: { type: "json_object", schema: digits } },
    { structured_outputs: { json: digits } },
    { structured_outputs: { regex: "[1-9][0-9]" } },
    { guided_json: digits },
    { guided_json: JSON.stringify(digits) },
    { guided_regex: "[1-9][0-9]" },
    { json_schema: digits },
    { grammar: "root ::= [1-9] [0-9]" },
    { guided_grammar: "root ::= [1-9] [0-9]", grammar: "" },
    { structured_outputs: { grammar: "root ::= [1-9] [0-9]" } },
  ]) {
    expect(await textOf(await complete(body)), JSON.stringify(body)).toMatch(/^[1-9][0-9]$/);
  }
  const texts = ["a+b", "(c)", "d|e", "1/2"];
  for (const body of [{ guided_choice: texts }, { structured_outputs: { choice: texts } }]) {
    for (const seed of [1, 2, 3]) expect(texts).toContain(await textOf(await complete({ ...body, seed })));
  }
  const any = await (await complete({ structured_outputs: { json_object: true } })).json();
  expect(any.choices[0].text).toMatch(/^\{("|\}$)/);
});

test("a schema of ten objects within each other is not too deep for a body", async () => {
  let schema: object = { type: "boolean" };
  for (let level = 0; level < 10; level++) {
    const items = { type: "object", properties: { a: schema }, required: ["a"], additionalProperties: false };
    schema = { type: "array", items, minItems: 1, maxItems: 1 };
  }
  const text = await textOf(
    await chat({ response_format: { type: "json_schema", json_schema: { schema } } }),
  );
  expect(text).toMatch(/^(\[\{"a":){10}(true|false)(\}\]){10}$/);
});

test.each<[object, string, string]>([
  [{ response_format: { type: "json_schema" } }, "response_format", "with a schema in it"],
  [{ response_format: { type: "xml" } }, "response_format.type", "json_schema"],
  [
    { response_format: { type: "json_schema", json_schema: { schema: [] } } },
    "response_format.json_schema.schema",
    "a schema is",
  ],
  [
    {
      response_format: {
        type: "json_schema",
        json_schema: { schema: { properties: { a: { type: "strin" } } } },
      },
    },
    "response_format",
    "#/properties/a/type must be one of",
  ],
  [
    { response_format: { type: "json_schema", json_schema: { schema: { patternProperties: {} } } } },
    "response_format",
    "#/patternProperties: the keyword",
  ],
  [{ response_format: { type: "json_object", schema: { $ref: "#/x" } } }, "response_format", "#/x"],
  [{ guided_json: "{" }, "guided_json", "not JSON"],
  [{ guided_regex: "(" }, "guided_regex", "without its"],
  [{ structured_outputs: { regex: "[b-a]" } }, "structured_outputs.regex", "structured_outputs.regex"],
  [{ guided_json: true, guided_regex: "a" }, "guided_regex", "cannot be combined"],
  [{ response_format: FORMAT, stop: "x" }, "stop", "stop cannot be combined"],
  [{ response_format: FORMAT, num_beams: 2 }, "num_beams", "num_beams cannot be combined"],
  [{ guided_grammar: "root ::= x" }, "guided_grammar", "line 1, column 10"],
  [{ grammar: 'root ::= "a' }, "grammar", "grammar: "],
  [{ grammar: 'root ::= "a"', guided_regex: "a" }, "grammar", "cannot be combined"],
  [
    { structured_outputs: { grammar: 'root ::= root "a"' } },
    "structured_outputs.grammar",
    "begins with itself",
  ],
])("%j is refused before anything runs", async (body, param, sentence) => {
  const steps = async () => (await api.server.service.models.loaded[0].engine.model.stats()).steps;
  const before = await steps();
  for (const answer of [await chat(body), await complete({ ...body, stream: true })]) {
    const error = await errorOf(answer);
    expect(error).toMatchObject({ status: 400, type: "invalid_request_error", param });
    expect(error.message).toContain(sentence);
  }
  expect(await steps()).toBe(before);
});

test("texts to choose from that are too many are counted as such, not as a pattern that nobody wrote", async () => {
  const guided_choice = Array.from({ length: 1000 }, (_, i) => `text ${i}`);
  expect(await errorOf(await complete({ guided_choice }))).toMatchObject({
    ...{ status: 400, param: "guided_choice" },
    message: "guided_choice has 1000 texts that take 8893 characters as a pattern; the most are 8192.",
  });
});
