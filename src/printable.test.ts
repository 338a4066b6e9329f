import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { printable, printableJson } from "./printable.js";

describe("printable", () => {
  it.each([
    ["a\nb\tc", "a\nb\tc"],
    ["\u001b[2J\u0007\r\0", "␛[2J␇␍␀"],
    ["\u007f", "␡"],
    ["\u009b31m\u0085", "\\u009b31m\\u0085"],
    ["gpt2\u202etxt.exe\u2066x\u2069\u2028", "gpt2\\u202etxt.exe\\u2066x\\u2069\\u2028"],
    ["שלום \u200f👩‍👩‍👧 نمی‌خواهم \ufeff", "שלום \u200f👩‍👩‍👧 نمی‌خواهم \ufeff"],
  ])("shows %j as %j", (text, shown) => {
    expect(printable(text)).toBe(shown);
  });
});

describe("printableJson", () => {
  it("leaves the meaning and nothing that is obeyed", () => {
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.oneof(fc.constantFrom(...'\u202e\u009b\u2028\u2069\u007f\\"\u001b'), fc.string()),
        }),
        (text) => {
          const json = printableJson(JSON.stringify({ [text]: text }));
          expect(JSON.parse(json)).toEqual({ [text]: text });
          expect(json).not.toMatch(/[\p{Cc}\u2028-\u202e\u2066-\u206f]/u);
        },
      ),
    );
  });
});
