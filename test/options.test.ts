/** Options that a function does not have, and shapes that it does not take: each is refused, and the refusal says what to use. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { explain } from "../src/explain/index.js";
import { type LanguageModel, load } from "../src/index.js";
import { createServer, listen } from "../src/server/index.js";
import { modelFolders } from "./fixture-models.js";

let lm: LanguageModel;
let stories: LanguageModel;
beforeAll(async () => {
  lm = await load(modelFolders.tiny, { threads: 1 });
  stories = await load(undefined, { threads: 1 });
});
afterAll(async () => {
  await lm.dispose();
  await stories.dispose();
});

const TEMPLATE = "{% for message in messages %}{{ message.content }}\n{% endfor %}";

/** Every call that takes options, with those that are given. TypeScript's users cannot; others can. */
// biome-ignore lint/suspicious/noExplicitAny: the options are wrong on purpose.
const calls: Record<string, (options: any) => unknown> = {
  load: (options) => load(modelFolders.tiny, options),
  promptTokens: (options) => lm.promptTokens([1], options),
  generate: (options) => lm.generate([1], options),
  compare: (options) => lm.compare([1], options),
  logits: (options) => lm.logits([1], options),
  logitsRows: (options) => lm.logitsRows([1], options).next(),
  perplexity: (options) => lm.perplexity([1, 2], options),
  sequence: (options) => lm.sequence([1], options),
  restore: (options) => lm.restore("none", options),
  chat: (options) => lm.chat([], options),
  reply: async (options) => {
    await using chat = await stories.chat([], { template: TEMPLATE });
    return chat.reply("Hello", options);
  },
  encode: (options) => stories.tokenizer?.encode("a", options),
  decode: (options) => stories.tokenizer?.decode([1], options),
  stream: (options) => stories.tokenizer?.stream(options),
  explain: (options) => explain(lm, [1], options),
  createServer: (options) => createServer(options),
  // biome-ignore lint/suspicious/noExplicitAny: it is refused before the server is looked at.
  listen: (options) => listen({} as any, options),
  limits: (options) => createServer({ limits: options }),
};

async function refusal(call: () => unknown): Promise<string> {
  const error = await (async () => call())().then(
    () => {
      throw new Error("it was not refused");
    },
    (thrown) => thrown,
  );
  expect(error).toMatchObject({ code: "invalid_argument" });
  return error.message;
}

describe.each(Object.entries(calls))("%s", (name, call) => {
  test("refuses an option that it does not have, whatever its place", async () => {
    expect(await refusal(() => call({ zzzz: 1 }))).toMatch(
      new RegExp(`^${name} has no option zzzz\\. It has `),
    );
  });

  test("refuses what is no object", async () => {
    for (const options of [null, 5, ["a"], () => 1]) {
      expect(await refusal(() => call(options))).toMatch(`The options of ${name} are an object, not `);
    }
  });
});

describe("what was meant", () => {
  test.each([
    ["load", { thread: 1 }, "threads"],
    ["load", { kv_memory: 1 }, "kvMemory"],
    ["generate", { max_tokens: 1 }, "maxTokens"],
    ["generate", { max_new_tokens: 1 }, "maxTokens"],
    ["generate", { temprature: 1 }, "temperature"],
    ["generate", { stopSequences: [] }, "stop"],
    ["generate", { abortSignal: null }, "signal"],
    ["compare", { maxToken: 1 }, "maxTokens"],
    ["createServer", { apiKey: "k" }, "apiKeys"],
    ["limits", { maxTokns: 1 }, "maxTokens"],
  ])("%s %j: %s", async (name, options, meant) => {
    expect(await refusal(() => calls[name](options))).toMatch(new RegExp(`Did you mean ${meant}\\?$`));
  });
});

test("an option without a value is none", async () => {
  expect(lm.promptTokens([1], { zzzz: undefined } as object)).toEqual([1]);
});

describe("a shape that is taken elsewhere", () => {
  // biome-ignore lint/suspicious/noExplicitAny: the shapes are wrong on purpose.
  const wrong = (value: unknown) => value as any;
  test.each<[string, () => unknown, RegExp]>([
    [
      "messages",
      () => lm.generate(wrong([{ role: "user", content: "Hi" }])),
      /chat\(messages\).*reply\(text\)/,
    ],
    ["a body of messages", () => lm.generate(wrong({ messages: [] })), /chat\(messages\)/],
    ["several prompts", () => stories.generate(wrong(["a", "b"])), /one prompt a call/],
    ["several lists of ids", () => lm.logits(wrong([[1], [2]])), /one prompt a call/],
    ["several texts", () => stories.perplexity(wrong(["a", "b"])), /one prompt a call/],
    ["a body with its prompt", () => lm.generate(wrong({ prompt: "a", maxTokens: 1 })), /prompt comes first/],
    ["ids as texts among numbers", () => lm.generate(wrong([1, "2"])), /list of token ids/],
    ["a text as a conversation", () => stories.chat(wrong("Hello"), { template: TEMPLATE }), /reply\(text\)/],
    ["options in the place of a model", () => load(wrong({ threads: 1 })), /model first, then its options/],
    ["a model among options", () => load(wrong({ model: "stories" })), /model first, then its options/],
    ["a model in the place of options", () => createServer(wrong("stories")), /\{ model: "stories" \}/],
  ])("%s", async (_, call, words) => {
    expect(await refusal(call)).toMatch(words);
  });
});

test.each<[unknown, unknown, string]>([
  [{ port: -1 }, "a server", "port is a whole number from 0 to 65535, not -1."],
  [{ port: "80" }, "a server", 'port is a whole number from 0 to 65535, not "80".'],
  [{ host: 5 }, "a server", "host is a name or an address of this machine, not 5."],
  [{}, "a server", 'listen takes the server that createServer gives, not "a server".'],
])("listen refuses %j of %j", async (options, server, sentence) => {
  // biome-ignore lint/suspicious/noExplicitAny: they are wrong on purpose.
  expect(await refusal(() => listen(server as any, options as any))).toBe(sentence);
});
