import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anyCharacter } from "../test/any-text.js";
import { quoteValue } from "./quote-value.js";

describe("quoteValue", () => {
  it("shows values as JSON does, and large ones by kind and size", () => {
    expect(quoteValue("wte.weight")).toBe('"wte.weight"');
    expect(quoteValue(1.5)).toBe("1.5");
    expect(quoteValue(-0)).toBe("-0");
    expect(quoteValue(Number.POSITIVE_INFINITY)).toBe("Infinity");
    expect(quoteValue(undefined)).toBe("undefined");
    expect(quoteValue(null)).toBe("null");
    expect(quoteValue(true)).toBe("true");
    expect(quoteValue([2, 3])).toBe("[2, 3]");
    expect(quoteValue([])).toBe("[]");
    expect(quoteValue(new Array(9).fill(1))).toBe("a list of 9");
    expect(quoteValue(["a"])).toBe("a list of 1");
    expect(quoteValue({})).toBe("an object");
    expect(quoteValue("x".repeat(81))).toBe(`"${"x".repeat(80)}"… (81 characters)`);
  });

  it("escapes what a terminal would act on", () => {
    expect(quoteValue("\x1b[2J\n\x9b\u202e")).toBe('"\\u001b[2J\\n\\u009b\\u202e"');
  });

  it("stays short and on one line for any JSON value", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string({ unit: anyCharacter, maxLength: 300 }), (value, text) => {
        for (const quoted of [quoteValue(value), quoteValue(text)]) {
          expect(quoted.length).toBeLessThan(600);
          expect(quoted).not.toMatch(/\p{Cc}/u);
        }
      }),
    );
  });
});
