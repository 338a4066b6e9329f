/** What is wrong with a field is said in words of our own, whatever a schema can find. */
import { z } from "@hono/zod-openapi";
import { expect, test } from "vitest";
import { wrongField } from "./wrong-field.js";

const schema = z.object({
  text: z.string().min(1).max(3).nullish(),
  whole: z.int().min(-2).max(5).nullish(),
  part: z.number().gt(0).lt(1).nullish(),
  flag: z.boolean().nullish(),
  list: z.array(z.string()).min(1).max(2).nullish(),
  one: z.enum(["auto", "low", "high"]).nullish(),
  literal: z.literal("function").nullish(),
  either: z.union([z.boolean(), z.literal("never")]).nullish(),
  inner: z.object({ name: z.string() }).nullish(),
  own: z.string({ error: "own has words of its own" }).nullish(),
});

function said(body: unknown): string | undefined {
  return schema.safeParse(body, { error: wrongField }).error?.issues[0].message;
}

test.each<[object | unknown[], string]>([
  [[], "The body must be an object, not a list."],
  [{ text: 5 }, "text must be a text, not 5."],
  [{ text: "" }, "text must not be empty."],
  [{ text: "long" }, "text must have at most 3 characters."],
  [{ whole: "5" }, "whole must be a number, not a text."],
  [{ whole: 1.5 }, "whole must be a whole number, not 1.5."],
  [{ whole: -3 }, "whole must be at least -2."],
  [{ whole: 6 }, "whole must be at most 5."],
  [{ part: 0 }, "part must be more than 0."],
  [{ part: 1 }, "part must be less than 1."],
  [{ flag: {} }, "flag must be true or false, not an object."],
  [{ list: "a" }, "list must be a list, not a text."],
  [{ list: [] }, "list must have at least 1 element."],
  [{ list: ["a", "b", "c"] }, "list must have at most 2 elements."],
  [{ list: ["a", null] }, "list.1 must be a text, not null."],
  [{ one: "none" }, 'one must be "auto", "low" or "high", not "none".'],
  [{ literal: "tool" }, 'literal must be "function", not "tool".'],
  [{ either: "always" }, "either is not what it may be."],
  [{ inner: {} }, "inner.name is missing."],
  [{ inner: { name: true } }, "inner.name must be a text, not true."],
  [{ own: 1 }, "own has words of its own"],
])("%j: %s", (body, sentence) => {
  expect(said(body)).toBe(sentence);
});

test("no more of a value is told than a line has room for", () => {
  expect(said({ one: "\u001b[31m".repeat(1000) })?.length).toBeLessThan(400);
  expect(said({ one: "\u001b" })).toBe('one must be "auto", "low" or "high", not "\\u001b".');
});
