import { describe, expect, it } from "vitest";
import { nearestName, wrongOption } from "./option-names.js";

const NAMES = ["maxTokens", "temperature", "topK", "stop", "n", "signal"];

describe("the nearest name", () => {
  it.each([
    ["max_tokens", "maxTokens"],
    ["maxtokens", "maxTokens"],
    ["maxTokns", "maxTokens"],
    ["max_new_tokens", "maxTokens"],
    ["temprature", "temperature"],
    ["top_k", "topK"],
    ["stopSequences", "stop"],
    ["abortSignal", "signal"],
    ["colour", null],
    ["x", null],
    ["", null],
    ["é".repeat(100_000), null],
  ])("to %j is %j", (name, meant) => {
    expect(nearestName(name, NAMES)).toBe(meant);
  });
});

it("a refusal names what was meant, or what there is, and stays on one short line", () => {
  expect(wrongOption("max_tokens", { of: "generate", names: NAMES })).toBe(
    "generate has no option max_tokens. Did you mean maxTokens?",
  );
  expect(wrongOption("colour", { of: "stream", names: ["a", "b"] })).toBe(
    "stream has no option colour. It has a and b.",
  );
  expect(wrongOption("colour", { of: "stream", names: ["a"] })).toBe(
    "stream has no option colour. It has a.",
  );
  expect(wrongOption("\u001b[2J\n", { of: "stream", names: [] })).not.toMatch(/\p{Cc}/u);
  expect(wrongOption("x".repeat(1e6), { of: "stream", names: [] }).length).toBeLessThan(200);
});
