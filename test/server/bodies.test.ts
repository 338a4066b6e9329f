/**
 * Bodies that are wrong in every element: each is refused as a 400 that says what is wrong, on every route. And one that is
 * right in many.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { requestSchemas } from "../../src/server/schemas/requests.js";
import { errorOf, type Served, served } from "./served.js";

let api: Served;
beforeAll(async () => {
  api = await served();
});
afterAll(() => api[Symbol.asyncDispose]());

const MIB = 1024 * 1024;
/** As many of them as a body has room for. */
const fill = (one: string) =>
  Array(Math.floor((MIB - 200) / (one.length + 1)))
    .fill(one)
    .join(",");
const keys = (count: number, value: number) =>
  Array.from({ length: count }, (_, i) => `"${i}":${value}`).join(",");
const parts = (list: string) => `{"messages":[{"role":"user","content":[${list}]}]}`;

describe("a mebibyte of", () => {
  test.each([
    ["/v1/completions", `{"prompt":[${fill('""')}]}`],
    ["/v1/completions", `{"prompt":[${fill("-1")}]}`],
    ["/v1/completions", `{"prompt":[${fill("[]")}]}`],
    ["/v1/completions", `{"prompt":[${fill("{}")}]}`],
    ["/v1/completions", `{"prompt":[[${fill("-1")}]]}`],
    ["/v1/completions", `{"prompt":[${fill("1")}]}`],
    ["/v1/completions", `{"prompt":"a","stop":[${fill("0")}]}`],
    ["/v1/completions", `{"prompt":"a","logit_bias":{${keys(70_000, 999)}}}`],
    ["/v1/completions", `{"prompt":"a","logit_bias":{${keys(70_000, 9)}}}`],
    ["/v1/chat/completions", `{"messages":[${fill("0")}]}`],
    ["/v1/chat/completions", `{"messages":[${fill("{}")}]}`],
    ["/v1/chat/completions", parts(fill("{}"))],
    ["/v1/chat/completions", parts(fill('{"type":"text","text":0}'))],
    ["/tokenize", `{"messages":[${fill("{}")}]}`],
    ["/detokenize", `{"tokens":[${fill("-1")}]}`],
    ["/detokenize", `{"tokens":[${fill("null")}]}`],
    ["/v1/sequences", `{"prompt":[${fill("-1")}]}`],
    ["/v1/sequences", `{"prompt":"a","any":[${fill("[[[[[[[[[[]]]]]]]]]]")}]}`],
  ])("%s %.30s", async (path, body) => {
    const error = await errorOf(await api.post(path, body));
    expect(error).toMatchObject({ status: 400, type: "invalid_request_error" });
    expect(error.message.length).toBeLessThan(200);
    expect(api.failures).toEqual([]);
  });
});

describe("what a body holds", () => {
  test("is bounded by its objects and lists, by its elements, and by its nesting, each to the last one", async () => {
    const small = await served({ limits: { jsonContainers: 4, jsonElements: 6, jsonDepth: 3 } });
    const status = async (any: string) =>
      (await small.post("/v1/completions", `{"prompt":"a","max_tokens":0,"any":${any}}`)).status;
    expect(await status("[[],[]]")).toBe(200);
    expect(await status("[[],[],[]]")).toBe(400);
    expect(await status("[1,2,3]")).toBe(200);
    expect(await status("[1,2,3,4]")).toBe(400);
    expect(await status("[[1]]")).toBe(200);
    expect(await status("[[[]]]")).toBe(400);
    const told = await errorOf(await small.post("/v1/completions", `{"any":[1,2,3,4,5,6]}`));
    expect(told).toMatchObject({
      code: "invalid_json",
      message: expect.stringContaining("more than 6 elements"),
    });
    await small[Symbol.asyncDispose]();
  });

  test("of token ids is told by their number where they do not fit", async () => {
    for (const [path, body] of [
      ["/v1/completions", { prompt: Array(513).fill(1) }],
      ["/v1/completions", { prompt: [[1], Array(513).fill(1)] }],
      ["/v1/sequences", { prompt: Array(513).fill(1) }],
      ["/detokenize", { tokens: Array(513).fill(1) }],
    ] as const) {
      const error = await errorOf(await api.post(path, body));
      expect(error).toMatchObject({ status: 400, code: "context_length_exceeded" });
      expect(error.message).toMatch(/513 tokens.* 512 /);
    }
    expect((await api.post("/detokenize", { tokens: Array(512).fill(1) })).status).toBe(200);
  });
});

describe("a body that would hold the event loop", () => {
  test("is checked beside it, with the same answers", async () => {
    await using large = await served({
      limits: { bodyBytes: 8 * MIB, jsonElements: 2_000_000, jsonContainers: 400_000 },
    });
    const post = (path: string, body: object) => large.post(path, body);
    const padding = { padding: [Array(300_000).fill({})] };
    const text = { prompt: "Once upon a time", seed: 3, max_tokens: 8 };
    const alone = await (await api.post("/v1/completions", text)).json();
    const padded = await (await post("/v1/completions", { ...text, ...padding })).json();
    expect(padded.choices[0].text).toBe(alone.choices[0].text);
    expect(await errorOf(await post("/v1/completions", { ...text, ...padding, prompt: [-1] }))).toMatchObject(
      {
        ...{ status: 400, code: "invalid_request", param: "prompt.0" },
      },
    );
    expect(await errorOf(await post("/detokenize", { tokens: Array(1_500_000).fill(1) }))).toMatchObject({
      ...{ status: 400, code: "context_length_exceeded", param: "tokens" },
    });
    const broken = await large.post("/v1/completions", `{"prompt":"${"a".repeat(3 * MIB)}"`);
    expect(await errorOf(broken)).toMatchObject({ status: 400, code: "invalid_json" });
    expect(large.failures).toEqual([]);
  });

  test("can come to any route that takes one", async () => {
    const { paths } = await (await api.get("/openapi.json")).json();
    const taking = Object.entries(paths as Record<string, Record<string, { requestBody?: unknown }>>)
      .filter(([, { post }]) => post?.requestBody !== undefined)
      .map(([path]) => path);
    const schemas = requestSchemas({ limits: api.server.limits, contextLength: 512 });
    expect([...schemas.keys()].toSorted()).toEqual(taking.toSorted());
  });
});

test("the API's document says with which status each route answers, also those that have nothing to say", async () => {
  const { paths } = await (await api.get("/openapi.json")).json();
  const statuses = (path: string, method: string) =>
    Object.keys(paths[path][method].responses).filter((status) => /^\d+$/.test(status));
  const { id } = await (await api.post("/v1/sequences", { prompt: "Once" })).json();
  expect(statuses("/v1/sequences", "post")).toEqual(["200"]);
  expect(String((await api.delete(`/v1/sequences/${id}`)).status)).toBe(
    statuses("/v1/sequences/{id}", "delete")[0],
  );
  expect(statuses("/v1/saved-sequences/{name}", "delete")).toEqual(["204"]);
});

test("many prompts and continuations of one request bring no warning about listeners", async () => {
  const warnings: string[] = [];
  const listen = ({ name }: Error) => warnings.push(name);
  process.on("warning", listen);
  const prompt = Array.from({ length: 16 }, (_, i) => `Once upon a time ${i}`);
  const answer = await api.post("/v1/completions", { prompt, n: 2, temperature: 1, max_tokens: 2 });
  expect((await answer.json()).choices).toHaveLength(32);
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", listen);
  expect(warnings).toEqual([]);
});
