import { describe, expect, it } from "vitest";
import { type MemoryFile, memoryFile, memoryFiles } from "../../test/memory-files.js";
import { safetensorsBytes } from "../../test/safetensors-bytes.js";
import { readModelConfig } from "../architectures/read-config.js";
import { readChatTemplate } from "../chat/chat-template.js";
import { LastrowError } from "../errors.js";
import { shardNames } from "../hub/needed-files.js";
import { loadTokenizer } from "../tokenizer/load-tokenizer.js";
import { openCheckpoint } from "./checkpoint.js";
import { readGenerationConfig } from "./generation-config.js";
import { JSON_LIMITS, type JsonLimits, jsonObjectOf, readJsonObject, readJsonText } from "./json-file.js";
import type { ModelFiles } from "./model-files.js";
import { readSafetensorsHeader } from "./safetensors.js";

const TINY: JsonLimits = { bytes: 100, depth: 3, containers: 5, elements: 10 };

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** Every way by which JSON of a model comes in: the file, its limits, and who reads it. */
const READERS: readonly [string, JsonLimits, (name: string, text: string) => unknown][] = [
  ["config.json", JSON_LIMITS.config, (name, text) => readModelConfig(memoryFiles("m", { [name]: text }))],
  [
    "generation_config.json",
    JSON_LIMITS.config,
    (name, text) => readGenerationConfig(memoryFiles("m", { [name]: text }), 10),
  ],
  [
    "model.safetensors.index.json",
    JSON_LIMITS.tensors,
    (name, text) => openCheckpoint(memoryFiles("m", { [name]: text })),
  ],
  [
    "the Hub's model.safetensors.index.json",
    JSON_LIMITS.tensors,
    async (name, text) => shardNames(bytesOf(text), name),
  ],
  [
    "model.safetensors",
    JSON_LIMITS.tensors,
    (name, text) => readSafetensorsHeader(memoryFile(name, safetensorsBytes(text, 0))),
  ],
  [
    "tokenizer_config.json",
    JSON_LIMITS.tokenizerSettings,
    (name, text) => readChatTemplate(memoryFiles("m", { [name]: text })),
  ],
  [
    "tokenizer_config.json",
    JSON_LIMITS.tokenizerSettings,
    (name, text) => loadTokenizer(memoryFiles("m", { "tokenizer.json": "{}", [name]: text }), 10),
  ],
  [
    "tokenizer.json",
    JSON_LIMITS.tokenizer,
    (name, text) => loadTokenizer(memoryFiles("m", { [name]: text }), 10),
  ],
  [
    "vocab.json",
    JSON_LIMITS.tokenizer,
    (name, text) => loadTokenizer(memoryFiles("m", { [name]: text, "merges.txt": "" }), 10),
  ],
];

async function refusal(read: () => unknown): Promise<string> {
  try {
    await read();
  } catch (error) {
    expect(error).toBeInstanceOf(LastrowError);
    expect((error as LastrowError).code).toMatch(/^(model_file|tokenizer)_invalid$/);
    return (error as LastrowError).message;
  }
  throw new Error("accepted");
}

describe.each(READERS)("%s", (name, limits, read) => {
  // Each begins with a fault of syntax: whoever parsed it first would name that.
  it.each([
    ["nesting", `{x${"[".repeat(limits.depth)}`, `is nested deeper than ${limits.depth} levels`],
    [
      "objects",
      `{x${"{}".repeat(limits.containers)}`,
      `has more than ${limits.containers} objects and lists.`,
    ],
    [
      "elements",
      `{x${",".repeat(limits.elements)}`,
      `has more than ${limits.elements} elements in its objects and lists.`,
    ],
  ])("is refused for its %s before it is parsed", async (_, text, message) => {
    expect(text.length).toBeLessThan(limits.bytes);
    expect(await refusal(() => read(name, text))).toContain(message);
  });
});

it.each([
  ["config.json", JSON_LIMITS.config, readModelConfig],
  ["generation_config.json", JSON_LIMITS.config, (files: ModelFiles) => readGenerationConfig(files, 10)],
  ["model.safetensors.index.json", JSON_LIMITS.tensors, openCheckpoint],
  ["tokenizer_config.json", JSON_LIMITS.tokenizerSettings, readChatTemplate],
  ["tokenizer.json", JSON_LIMITS.tokenizer, (files: ModelFiles) => loadTokenizer(files, 10)],
  ["vocab.json", JSON_LIMITS.tokenizer, (files: ModelFiles) => loadTokenizer(files, 10)],
  ["merges.txt", JSON_LIMITS.tokenizer, (files: ModelFiles) => loadTokenizer(files, 10)],
])("%s of another size than it may have is not read", async (name, { bytes }, read) => {
  const opened: MemoryFile[] = [];
  const files: ModelFiles = {
    label: "m",
    async open(asked) {
      if (asked !== name) return null;
      const file = { ...memoryFile(name, ""), size: bytes + 1, async close() {} };
      opened.push(file);
      return file;
    },
  };
  const message = await refusal(() => read(files));
  expect(message).toBe(`${name} has ${bytes + 1} bytes; at most ${bytes} are read.`);
  expect(opened.every(({ readCalls }) => readCalls === 0)).toBe(true);
});

describe("the limits", () => {
  it("take what the largest published files have", async () => {
    // Half a million merges as lists of two and a quarter of a million pieces, as 35 MB of tokenizer.json have them;
    // over 900,000 pieces with their scores.
    const merges = `"merges":[${Array.from({ length: 515_000 }, () => '["a","b"]').join()}]`;
    const pieces = `"vocab":{${Array.from({ length: 262_144 }, (_, i) => `"${i}":${i}`).join()}}`;
    const scored = `"vocab":[${Array.from({ length: 902_000 }, () => '["a",-1.5]').join()}]`;
    const tensors = Array.from(
      { length: 100_000 },
      (_, i) => `"t${i}":{"dtype":"F32","shape":[0,1],"data_offsets":[0,0]}`,
    );
    for (const [text, limits] of [
      [`{${merges},${pieces}}`, JSON_LIMITS.tokenizer],
      [`{${scored}}`, JSON_LIMITS.tokenizer],
      [`{${tensors.join()}}`, JSON_LIMITS.tensors],
    ] as const) {
      expect(text.length).toBeLessThan(limits.bytes);
      // Nothing but its end is wrong, so it was taken as a whole.
      await expect(jsonObjectOf(bytesOf(`\u0000${text}`), "f", limits)).rejects.toThrow(/is not valid JSON/);
    }
  });
});

describe("readJsonText and readJsonObject", () => {
  it("give the text, or the object, of what keeps to the limits", async () => {
    const files = memoryFiles("m", { "a.json": '{"a":[{"b":["é"]}]}', "b.json": '{"a":{"b":{}}}' });
    await expect(readJsonObject(files, "a.json", TINY)).rejects.toThrow(
      "a.json is nested deeper than 3 levels.",
    );
    expect(await readJsonText(files, "b.json", TINY)).toEqual({
      text: '{"a":{"b":{}}}',
      members: 2,
      name: "b.json",
    });
    const object = await readJsonObject(files, "b.json", TINY);
    expect(JSON.stringify(object)).toBe('{"json":{"a":{"b":{}}},"name":"b.json"}');
    expect(await readJsonObject(files, "c.json", TINY)).toBeNull();
    expect(files.openFiles).toEqual([]);
  });

  it("refuse what is not UTF-8", async () => {
    const bytes = new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]);
    await expect(jsonObjectOf(bytes, "f", TINY)).rejects.toThrow("f is not valid UTF-8 text.");
  });
});
