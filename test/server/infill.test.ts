/**
 * The middle of a text, by the library and over HTTP: what is asked is exactly the tokens of the model's form, no text becomes
 * one of them, tokens of the form end the answer, and what cannot be asked is refused.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LanguageModel } from "../../src/index.js";
import { chatModelFiles } from "../chat-model.js";
import { errorOf, events, type Served, served } from "./served.js";

// As in Qwen's files, these are added tokens that are no special ones.
const CODER = chatModelFiles({
  template: "{{ messages[0].content }}",
  specials: ["<|im_end|>"],
  added: ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"],
});
/** Without such tokens. */
const PLAIN = chatModelFiles({ template: "", specials: [] });
const [PRE, MID, SUF, PAD] = ["prefix", "middle", "suffix", "pad"].map((part) =>
  CODER.idOf(`<|fim_${part}|>`),
);
/** What the tokenizer puts in front of every text. */
const START = 0;
const ENDS = [PRE, MID, SUF, PAD, CODER.idOf("<|im_end|>")];

let folder: string;
let api: Served;
let lm: LanguageModel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-infill-"));
  for (const [file, bytes] of Object.entries(CODER.files)) await writeFile(join(folder, file), bytes);
  const plain = join(folder, "plain");
  await mkdir(plain);
  for (const [file, bytes] of Object.entries(PLAIN.files)) await writeFile(join(plain, file), bytes);
  api = await served({ models: { coder: folder, stories: "stories", plain } });
  await (await api.post("/v1/completions", { model: "coder", prompt: "a", max_tokens: 1 })).json();
  lm = api.server.service.models.peek("coder")!.engine.model;
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

test("Ollama's clients are told which of the models can be asked, whether it is loaded or not", async () => {
  const shown = async (model: string) => (await (await api.post("/api/show", { model })).json()).capabilities;
  expect(api.server.service.models.peek("stories")).toBeNull();
  expect(await shown("stories")).toEqual(["completion"]);
  expect(await shown("coder")).toEqual(["completion", "insert"]);
  await using one = await served({ model: folder, servedModelName: "coder" });
  expect((await (await one.post("/api/show", { model: "coder" })).json()).capabilities).toContain("insert");
});

/** As a text that holds the tokens' names is when nothing is made of them. */
const BEFORE = "a <|fim_middle|> b";
const AFTER = " the end<|fim_suffix|>";
const SAMPLED = { seed: 3, temperature: 1.2 };

const idsOf = (text: string) => lm.tokenizer!.encode(text.replaceAll("|>", ""), { addSpecialTokens: false });
const prompt = () => lm.promptTokens(BEFORE, { suffix: AFTER });

test("the library asks for it as the model wants to be asked", async () => {
  const plain = { before: "Once upon", after: " the end." };
  expect(lm.promptTokens(plain.before, { suffix: plain.after })).toEqual([
    ...[START, PRE, ...idsOf(plain.before), SUF, ...idsOf(plain.after), MID],
  ]);
  expect(lm.promptTokens("", { suffix: "x" })).toEqual([START, PRE, SUF, ...idsOf("x"), MID]);
  // An empty one is none.
  expect(lm.promptTokens("Once", { suffix: "" })).toEqual(lm.promptTokens("Once"));
  // The form's tokens, and the names in the texts are none of them.
  expect(prompt().filter((id) => id > 2047)).toEqual([PRE, SUF, MID]);
  const options = { ...SAMPLED, maxTokens: 12 };
  const asked = await lm.generate(BEFORE, { ...options, suffix: AFTER }).result();
  const given = await lm.generate(prompt(), { ...options, stopTokenIds: ENDS }).result();
  expect([asked.tokens, asked.promptTokens]).toEqual([given.tokens, prompt().length]);
  const compared = await lm.compare(BEFORE, { maxTokens: 2, suffix: AFTER });
  expect(compared.promptTokens).toBe(prompt().length);
});

test("tokens of the form end the answer, unless ends are ignored", async () => {
  for (const id of ENDS) {
    const options = { suffix: AFTER, temperature: 0, maxTokens: 3, logitBias: { [id]: 100 } };
    expect(await lm.generate(BEFORE, options).result()).toMatchObject({ finishReason: "stop", tokens: [] });
    const on = await lm.generate(BEFORE, { ...options, ignoreEos: true }).result();
    expect([on.finishReason, on.tokens]).toEqual(["length", [id, id, id]]);
    // What is not asked for as a middle goes on.
    const other = await lm.generate(BEFORE, { ...options, suffix: undefined }).result();
    expect(other.finishReason).toBe("length");
  }
});

test("the library refuses what does not go with it", () => {
  expect(() => lm.generate([1], { suffix: "x" })).toThrow(/^suffix belongs to a prompt that is a text, not /);
  expect(() => lm.generate("a", { suffix: 5 as never })).toThrow(/^suffix is a text, not 5\.$/);
  expect(() => lm.generate("a", { suffix: "x", parseSpecial: true })).toThrow(
    /^parseSpecial cannot be combined with suffix\.$/,
  );
  expect(() => lm.generate("a", { suffix: "x".repeat(9000) })).toThrow(/context/);
});

const SAID = { model: "coder", prompt: BEFORE, suffix: AFTER, ...SAMPLED, max_tokens: 12 };

test("/v1/completions gives the library's middle, whole, streamed, and of several prompts", async () => {
  const own = await lm.generate(BEFORE, { suffix: AFTER, ...SAMPLED, maxTokens: 12 }).result();
  const one = await (await api.post("/v1/completions", { ...SAID, logprobs: 0 })).json();
  expect(one.choices[0]).toMatchObject({ text: own.text, finish_reason: own.finishReason });
  expect(one.usage.prompt_tokens).toBe(prompt().length);
  const streamed = await events(await api.post("/v1/completions", { ...SAID, stream: true }));
  expect(streamed.chunks.map(({ choices }) => choices[0]?.text ?? "").join("")).toBe(own.text);
  const other = await lm.generate("Tom", { suffix: AFTER, ...SAMPLED, maxTokens: 12 }).result();
  const two = await (await api.post("/v1/completions", { ...SAID, prompt: [BEFORE, "Tom"] })).json();
  expect(two.choices.map(({ text }: { text: string }) => text)).toEqual([own.text, other.text]);

  const ended = { ...SAID, stop_token_ids: [5], logit_bias: { [PAD]: 100 } };
  const end = await (await api.post("/v1/completions", ended)).json();
  expect(end.choices[0]).toMatchObject({ text: "", finish_reason: "stop" });
  const on = await (await api.post("/v1/completions", { ...ended, ignore_eos: true })).json();
  expect(on.choices[0].finish_reason).toBe("length");
  const empty = await (await api.post("/v1/completions", { ...SAID, suffix: "" })).json();
  expect(empty.usage.prompt_tokens).toBe(lm.promptTokens(BEFORE).length);
});

test("/v1/completions refuses what does not go with it", async () => {
  const refusal = async (body: object) => errorOf(await api.post("/v1/completions", { ...SAID, ...body }));
  expect(await refusal({ model: "stories" })).toMatchObject({
    ...{ status: 400, param: "suffix", code: "model_unsupported" },
    message:
      "stories cannot fill in the middle of a text (suffix): its tokenizer has no tokens for that, such as <|fim_prefix|>, <|fim_suffix|> and <|fim_middle|>.",
  });
  // A model from a folder, too, goes by its name: where it lies is not told.
  expect((await refusal({ model: "plain" })).message).toMatch(/^plain cannot fill in the middle of a text/);
  expect(await refusal({ prompt: [1, 2] })).toMatchObject({ status: 400, param: "suffix" });
  expect(await refusal({ prompt: ["a", [1]] })).toMatchObject({ status: 400 });
  expect(await refusal({ echo: true })).toMatchObject({ status: 400, param: "echo" });
  expect(await refusal({ suffix: 5 })).toMatchObject({ status: 400, param: "suffix" });
  expect(await refusal({ suffix: "x".repeat(50_000) })).toMatchObject({
    ...{ status: 400, param: "suffix", code: "context_length_exceeded" },
  });
  expect(await refusal({ suffix: "x ".repeat(600) })).toMatchObject({ code: "context_length_exceeded" });
});

test("/api/generate has it, without the chat template", async () => {
  const options = { seed: 3, temperature: 1.2, num_predict: 12 };
  const ask = { model: "coder", prompt: BEFORE, suffix: AFTER, stream: false, options };
  const post = async (body: object) => {
    const answer = await api.post("/api/generate", { ...ask, ...body });
    return { status: answer.status, ...(await answer.json()) };
  };
  const own = await lm.generate(BEFORE, { suffix: AFTER, ...SAMPLED, maxTokens: 12 }).result();
  expect(await post({})).toMatchObject({ response: own.text, prompt_eval_count: prompt().length });
  const empty = await lm.generate("", { suffix: AFTER, ...SAMPLED, maxTokens: 12 }).result();
  expect(await post({ prompt: "" })).toMatchObject({ response: empty.text, eval_count: empty.tokens.length });
  expect(await post({ model: "stories" })).toMatchObject({
    status: 400,
    error: expect.stringMatching(/^stories cannot fill in the middle of a text/),
  });
  for (const [body, error] of [
    [{ raw: true }, "suffix cannot be had where the prompt is raw."],
    [{ system: "Be brief." }, "system cannot be had where there is a suffix."],
    [{ think: true }, "think cannot be had where there is a suffix."],
    [{ suffix: 5 }, expect.stringMatching(/suffix/)],
  ] as const) {
    expect(await post(body)).toMatchObject({ status: 400, error });
  }
});
