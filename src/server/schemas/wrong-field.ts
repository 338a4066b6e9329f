/** What is wrong with a field, in a sentence about it, where its schema has no words of its own. */
import type { z } from "@hono/zod-openapi";
import { quoteValue } from "../../quote-value.js";

/** Types as messages call them, by Zod's names. */
const TYPES: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

/** @returns a sentence that begins with the field's name */
export function wrongField(issue: z.core.$ZodRawIssue): string {
  const field = issue.path?.map(String).join(".") || "The body";
  return issue.code === "invalid_type" && issue.input === undefined
    ? `${field} is missing.`
    : `${field} ${whatItMustBe(issue)}.`;
}

function whatItMustBe(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case "invalid_type": {
      const expected = TYPES[issue.expected] ?? issue.expected;
      return `must be ${expected}, not ${kindOf(issue.input)}`;
    }
    case "invalid_value":
      return `must be ${either(issue.values.map(quoteValue))}, not ${quoteValue(issue.input)}`;
    case "too_big":
      return bound(issue.origin, issue.maximum, "most", issue.inclusive === false ? "less than" : "at most");
    case "too_small":
      return issue.origin === "string" && Number(issue.minimum) === 1
        ? "must not be empty"
        : bound(issue.origin, issue.minimum, "least", issue.inclusive === false ? "more than" : "at least");
    default:
      return "is not what it may be";
  }
}

function bound(origin: string, limit: number | bigint, end: "most" | "least", compared: string): string {
  if (origin === "string") return `must have at ${end} ${plural(limit, "character")}`;
  if (origin === "array") return `must have at ${end} ${plural(limit, "element")}`;
  return `must be ${compared} ${limit}`;
}

function plural(count: number | bigint, what: string): string {
  return `${count} ${what}${Number(count) === 1 ? "" : "s"}`;
}

function either(values: readonly string[]): string {
  return values.length < 2 ? values.join() : `${values.slice(0, -1).join(", ")} or ${values.at(-1)}`;
}

/** What a value is, without what is in it. */
function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  return typeof value === "string" ? "a text" : quoteValue(value);
}
