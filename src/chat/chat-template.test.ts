/** Which of a model's files holds its chat template. */
import { expect, test } from "vitest";
import { memoryFiles } from "../../test/memory-files.js";
import { MAX_TEMPLATE_BYTES, readChatTemplate } from "./chat-template.js";

const read = (files: Record<string, unknown>) =>
  readChatTemplate(
    memoryFiles(
      "m",
      Object.fromEntries(
        Object.entries(files).map(([name, content]) => [
          name,
          name.endsWith(".json") ? JSON.stringify(content) : (content as string),
        ]),
      ),
    ),
  );
const named = (...names: string[]) => names.map((name) => ({ name, template: `of ${name}` }));

test("a file of its own wins over tokenizer_config.json, and that over the processor's", async () => {
  const jinja = { "chat_template.jinja": "own" };
  const config = { "tokenizer_config.json": { chat_template: "config" } };
  const processor = { "chat_template.json": { chat_template: "processor" } };
  expect(await read({ ...jinja, ...config, ...processor })).toEqual({ source: "own" });
  expect(await read({ ...config, ...processor })).toEqual({ source: "config" });
  expect(await read({ "tokenizer_config.json": {}, ...processor })).toEqual({ source: "processor" });
  expect(await read({ ...jinja, "tokenizer_config.json": { chat_template: 7 } })).toEqual({ source: "own" });
});

test("of several the one called default is taken; without it none, and the reason names them", async () => {
  const list = (chat_template: unknown) => read({ "tokenizer_config.json": { chat_template } });
  expect(await list(named("tool_use", "default"))).toEqual({ source: "of default" });
  expect(await list(named("tool_use", "rag"))).toEqual({
    missing: 'has chat templates named "tool_use", "rag" and none named "default"',
  });
  for (const none of [[], null, undefined]) {
    expect(await list(none)).toEqual({ missing: "has no chat template" });
  }
  expect(await read({})).toEqual({ missing: "has no chat template" });
});

test.each([[7], [{ default: "x" }], [["x"]], [[{ name: "default" }]], [[null]]])(
  "a chat_template that is %j is refused",
  async (chat_template) => {
    await expect(read({ "tokenizer_config.json": { chat_template } })).rejects.toMatchObject({
      code: "tokenizer_invalid",
      message: expect.stringMatching(
        /^tokenizer_config.json: chat_template is .*, but must be a text or a list/,
      ),
    });
  },
);

test("one that is too long is refused wherever it stands", async () => {
  const long = "x".repeat(MAX_TEMPLATE_BYTES + 1);
  const stated: unknown[] = [long, [{ name: "default", template: long }]];
  for (const chat_template of stated) {
    await expect(read({ "tokenizer_config.json": { chat_template } })).rejects.toMatchObject({
      code: "tokenizer_invalid",
      message: "tokenizer_config.json has a chat_template of 1048577 characters; at most 1048576 are read.",
    });
  }
  expect(await read({ "tokenizer_config.json": { chat_template: long.slice(1) } })).toEqual({
    source: long.slice(1),
  });
});
