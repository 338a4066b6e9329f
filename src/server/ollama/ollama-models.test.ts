/** Names of models as Ollama's clients write them, and counts as they read them. */
import { expect, test } from "vitest";
import type { Service } from "../service.js";
import { ollamaName, ollamaRunning, servedId, shortCount } from "./ollama-models.js";

test("a name has a tag; it is found with and without, and a model of just that name comes first", () => {
  expect(ollamaName("stories")).toBe("stories:latest");
  expect(ollamaName("openai-community/gpt2")).toBe("openai-community/gpt2:latest");
  expect(ollamaName("qwen3:0.6b")).toBe("qwen3:0.6b");
  expect(ollamaName("host:8080/model")).toBe("host:8080/model:latest");
  const ids = ["stories", "qwen3:0.6b", "tagged:latest"];
  for (const id of ids) {
    expect(servedId(id, ids)).toBe(id);
    expect(servedId(ollamaName(id), ids)).toBe(id);
  }
  expect(servedId("tagged", ids)).toBe("tagged");
  expect(servedId("stories:7b", ids)).toBe("stories:7b");
});

test("counts are short", () => {
  expect(
    [999, 1234, 3_150_000, 124_439_808, 596_049_920, 7_615_616_512, 70_553_706_496].map(shortCount),
  ).toEqual([...["999", "1.2K", "3.1M", "124M", "596M", "7.6B", "71B"]]);
});

test("when an unused model is unloaded is told, but not where keys are asked for", () => {
  const info = { config: { modelType: "gpt2", contextLength: 8 }, parameters: 1, files: [], dtype: "f32" };
  const expiry = (unloadsAt: number | null, areRequired: boolean) => {
    const models = { loaded: [{ served: { id: "a", info } }], unloadsAt: () => unloadsAt };
    return ollamaRunning({ models, keys: { areRequired } } as unknown as Service)[0].expires_at;
  };
  expect(expiry(0, false)).toBe("1970-01-01T00:00:00.000Z");
  expect([expiry(null, false), expiry(0, true)]).toEqual(Array(2).fill("9999-12-31T23:59:59Z"));
});
