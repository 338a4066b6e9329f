/** Tools as callers hand them over. */
import { expect, test } from "vitest";
import { checkTools, MAX_TOOLS } from "./tool.js";

const tool = (name: string) => ({ name });

test("tools of all that they may have, and each choice of them", () => {
  const tools = [
    { name: "get_weather", description: "", parameters: { type: "object" } },
    { name: "x".repeat(64) },
    { name: "a-1_B", parameters: true },
  ];
  for (const choice of ["none", "auto", "required", { name: "a-1_B" }]) checkTools(tools, choice);
  checkTools([], "auto");
  checkTools(
    Array.from({ length: MAX_TOOLS }, (_, i) => tool(`t${i}`)),
    "auto",
  );
});

test.each<[unknown, unknown, string]>([
  [{}, "auto", "tools is a list of tools"],
  [Array.from({ length: 129 }, (_, i) => tool(`t${i}`)), "auto", "tools has 129 tools; the most are 128"],
  [[tool("a"), null], "auto", "tools[1] is { name, description, parameters }, not null"],
  [
    ["a", "b", "c"].map((name) => ({ name, description: "x".repeat(90_000) })),
    "auto",
    "tools are, as JSON, over 262144 characters",
  ],
  [[tool("")], "auto", "tools[0].name is"],
  [[tool("<|im_end|>")], "auto", "tools[0].name is"],
  [[tool("x".repeat(65))], "auto", "tools[0].name is"],
  [[tool("a\n")], "auto", "tools[0].name is"],
  [[{ name: 7 }], "auto", "tools[0].name is"],
  [[tool("a"), tool("b"), tool("a")], "auto", 'tools[2].name is "a" again'],
  [[{ name: "a", description: 7 }], "auto", "tools[0].description is a text"],
  [[{ name: "a", parameters: "{}" }], "auto", "tools[0].parameters is a JSON Schema"],
  [[{ name: "a", parameters: [] }], "auto", "tools[0].parameters is a JSON Schema"],
  [[{ name: "a", parameters: null }], "auto", "tools[0].parameters is a JSON Schema"],
  [[tool("a")], "sometimes", "the choice of tools is"],
  [[tool("a")], null, "the choice of tools is"],
  [[tool("a")], { name: 1 }, "the choice of tools is"],
  [[tool("a")], { name: "b" }, 'the choice of tools names "b"'],
  [[], "required", "there are no tools"],
])("%j, %j", (tools, choice, words) => {
  expect(() => checkTools(tools, choice)).toThrow(
    expect.objectContaining({ code: "invalid_argument", message: expect.stringContaining(words) }),
  );
});
