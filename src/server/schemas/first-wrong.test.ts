/** How many elements of a body are looked at: never more than up to the first wrong one, none of a list that is too long. */
import { describe, expect, test } from "vitest";
import { settleLimits } from "../limits.js";
import { chatRequest } from "./chat.js";
import { completionRequest } from "./completions.js";
import { createSequenceRequest } from "./sequences.js";
import { detokenizeRequest } from "./tokenize.js";

const limits = { ...settleLimits(), promptTokens: 5000 };
const completion = completionRequest(limits);
const chat = chatRequest(limits);

/** Elements that anything looks at; everything else about the list is its own. */
function watched<T extends object>(target: T): { readonly value: T; readonly seen: Set<string> } {
  const seen = new Set<string>();
  const note = (key: string | symbol) => {
    if (typeof key === "string" && /^\d+$/.test(key)) seen.add(key);
  };
  const value = new Proxy(target, {
    get(from, key) {
      note(key);
      return Reflect.get(from, key);
    },
  });
  return { value, seen };
}

const many = <T>(one: T, count = 100_000): T[] => Array(count).fill(one);

describe("a list that is wrong", () => {
  test.each([
    ["prompt of numbers", completion, (list: unknown[]) => ({ prompt: list }), many<unknown>(-1, 5000)],
    ["prompt of texts", completion, (list: unknown[]) => ({ prompt: list }), many<unknown>({}, 64)],
    ["prompt of lists", completion, (list: unknown[]) => ({ prompt: [list] }), many<unknown>(1.5, 5000)],
    ["stop", completion, (list: unknown[]) => ({ prompt: "a", stop: list }), many<unknown>(0, 16)],
    ["messages", chat, (list: unknown[]) => ({ messages: list }), many<unknown>({}, 1024)],
    [
      "parts",
      chat,
      (list: unknown[]) => ({ messages: [{ role: "user", content: list }] }),
      many<unknown>({}),
    ],
    ["tokens", detokenizeRequest(5000), (list: unknown[]) => ({ tokens: list }), many<unknown>(null, 5000)],
    [
      "sequence",
      createSequenceRequest(limits),
      (list: unknown[]) => ({ prompt: list }),
      many<unknown>(-1, 5000),
    ],
  ])("is looked at up to its first wrong element: %s", (_, schema, body, elements) => {
    const { value, seen } = watched(elements);
    const { success, error } = schema.safeParse(body(value));
    expect(success).toBe(false);
    expect([...seen].every((key) => key === "0")).toBe(true);
    // Two for an element that lacks two fields.
    expect(error!.issues.length).toBeLessThanOrEqual(2);
  });

  test.each([
    ["ids", completion, (list: unknown[]) => ({ prompt: list }), many<unknown>(1)],
    ["stop", completion, (list: unknown[]) => ({ prompt: "a", stop: list }), many<unknown>("a")],
    [
      "messages",
      chat,
      (list: unknown[]) => ({ messages: list }),
      many<unknown>({ role: "user", content: "a" }),
    ],
    ["tokens", detokenizeRequest(5000), (list: unknown[]) => ({ tokens: list }), many<unknown>(1)],
  ])("is not looked into where it is too long: %s", (_, schema, body, elements) => {
    const { value, seen } = watched(elements);
    expect(schema.safeParse(body(value)).success).toBe(false);
    expect(seen.size).toBe(0);
  });

  test("after right elements says which one it was", () => {
    const prompt = [...many(1, 4000), -1, ...many(1, 900)];
    const { value, seen } = watched(prompt);
    const { error } = detokenizeRequest(5000).safeParse({ tokens: value });
    expect(seen.size).toBe(4001);
    expect(error!.issues[0].path).toEqual(["tokens", 4000]);
  });
});

describe("a map that is wrong", () => {
  test("is not looked into where it has too many entries, else up to the first wrong one", () => {
    const of = (count: number, bias: number) =>
      watched(Object.fromEntries(many(bias, count).map((x, i) => [i, x])));
    const long = of(70_000, 1);
    expect(completion.safeParse({ prompt: "a", logit_bias: long.value }).error!.issues[0]).toMatchObject({
      path: ["logit_bias"],
      message: "logit_bias may have 1024 entries",
    });
    expect(long.seen.size).toBe(0);
    const wrong = completion.safeParse({ prompt: "a", logit_bias: { 5: 1, 6: 101, 7: 102 } });
    expect(wrong.error!.issues.map(({ path }) => path)).toEqual([["logit_bias", "6"]]);
    const right = completion.parse({ prompt: "a", logit_bias: { 5: 1, 6: -100 } });
    expect(right.logit_bias).toEqual({ 5: 1, 6: -100 });
  });
});

test("what is right comes out as it came in", () => {
  const prompts = ["a", ["a", "b"], [1, 2], [[1], [2, 3]], []];
  for (const prompt of prompts) expect(completion.parse({ prompt }).prompt).toEqual(prompt);
  const messages = [{ role: "user" as const, content: [{ type: "text" as const, text: "a" }] }];
  expect(chat.parse({ messages }).messages).toEqual(messages);
});
