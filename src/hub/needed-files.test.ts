import { expect, it } from "vitest";
import { neededFiles, shardNames } from "./needed-files.js";

it("asks for no weights where none are needed", () => {
  const { present, absent, unknown } = neededFiles(() => "absent", { weights: false });
  expect([present, unknown]).toEqual([[], []]);
  expect(absent.filter((name) => name.startsWith("model."))).toEqual([]);
  expect(neededFiles(() => "absent").absent.slice(-2)).toEqual([
    "model.safetensors",
    "model.safetensors.index.json",
  ]);
});

it("asks for vocab.json and merges.txt only without tokenizer.json, for the index only without model.safetensors", () => {
  const all = neededFiles(() => "present");
  expect(all.present).not.toContain("vocab.json");
  expect(all.present).not.toContain("merges.txt");
  expect(all.present).not.toContain("model.safetensors.index.json");
  const fallback = neededFiles((name) =>
    name === "tokenizer.json" || name === "model.safetensors" ? "absent" : "unknown",
  );
  expect(fallback.absent).toEqual(["tokenizer.json", "model.safetensors"]);
  expect(fallback.unknown).toEqual([
    "config.json",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "modules.json",
    "model.safetensors.index.json",
  ]);
});

it("asks for what makes vectors of texts only with modules.json", () => {
  const names = ["config_sentence_transformers.json", "1_Pooling/config.json", "1_LogitScore/config.json"];
  const asked = (has: boolean) => {
    const { unknown } = neededFiles((name) =>
      name === "modules.json" ? (has ? "present" : "absent") : "unknown",
    );
    return unknown.filter((name) => (names as readonly string[]).includes(name));
  };
  expect([asked(false), asked(true)]).toEqual([[], names]);
});

it("names each shard once", async () => {
  const text = JSON.stringify({ weight_map: { a: "2.safetensors", b: "1.safetensors", c: "2.safetensors" } });
  expect(await shardNames(Buffer.from(text), "index")).toEqual(["1.safetensors", "2.safetensors"]);
});

it.each([
  "",
  "[]",
  "{}",
  '{"weight_map": {}}',
  '{"weight_map": []}',
  '{"weight_map": {"a": 1}}',
  '{"weight_map": {"a": "../x.safetensors"}}',
  '{"weight_map": {"a": "x/y.safetensors"}}',
  '{"weight_map": {"a": "x\\\\y.safetensors"}}',
  '{"weight_map": {"a": ".safetensors"}}',
  '{"weight_map": {"a": "C:x.safetensors"}}',
  '{"weight_map": {"a": "model.bin"}}',
  `{"weight_map": {"a": "${"x".repeat(250)}.safetensors"}}`,
  '{"weight_map": {"__proto__": "x.safetensors"}}',
])("refuses the index %j", async (text) => {
  await expect(shardNames(Buffer.from(text), "index")).rejects.toThrow(
    expect.objectContaining({ code: "model_file_invalid" }),
  );
});
