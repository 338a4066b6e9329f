/** Which template of a GGUF file is taken. */
import { expect, test } from "vitest";
import { ggufValue as value } from "../../scripts/gguf-writer.js";
import { metadataOf } from "../../test/gguf-vocabulary.js";
import type { GgufValue } from "../formats/gguf/gguf-metadata.js";
import { ggufChatTemplate } from "./gguf-chat-template.js";

const read = (values: Record<string, GgufValue>) =>
  ggufChatTemplate(metadataOf(new Map(Object.entries(values))));
const KEY = "tokenizer.chat_template";

test("the one without a name, else the one called default", () => {
  const named = {
    [`${KEY}s`]: value.texts(["tool_use", "default"]),
    [`${KEY}.tool_use`]: value.text("tools"),
  };
  expect(read({ [KEY]: value.text("own"), ...named })).toEqual({ source: "own" });
  expect(read({ ...named, [`${KEY}.default`]: value.text("of default") })).toEqual({ source: "of default" });
});

test("without either there is none, and the reason names the others", () => {
  const none = { missing: "has no chat template" };
  expect(read({})).toEqual(none);
  expect(read({ [KEY]: value.text("") })).toEqual(none);
  expect(read({ [`${KEY}s`]: value.texts([]) })).toEqual(none);
  expect(read({ [`${KEY}s`]: value.texts(["rag", "tool\u0000use"]) })).toEqual({
    missing: 'has chat templates named "rag", "tool\\u0000use" and none named "default"',
  });
});

test.each<[string, GgufValue, string]>([
  ["a number", value.u32(7), 'key "tokenizer.chat_template" is 7 (u32), but must be text'],
  [
    "a text of over a million characters",
    value.text("x".repeat(2 ** 20 + 1)),
    "model.gguf has a chat template (tokenizer.chat_template) of 1048577 characters; at most 1048576 are read.",
  ],
])("%s is refused", (_, template, message) => {
  expect(() => read({ [KEY]: template })).toThrow(message);
});
