/** No part of a message ever counts as a special token, whatever the tokens are and whatever stands beside it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AddedTokenSplitter } from "../tokenizer/added-tokens.js";
import { MessageMarker } from "./message-marks.js";

const NONCHARACTERS = Array.from({ length: 66 }, (_, i) =>
  String.fromCodePoint(i < 32 ? 0xfdd0 + i : ((i - 32) >> 1) * 0x10000 + 0xfffe + (i & 1)),
);

/** What is cut out of a text as special, with its place. */
function specialsIn(text: string, specials: readonly string[]): { text: string; at: number }[] {
  const tokens = specials.map((content) => {
    const token = { content, lstrip: false, rstrip: false, singleWord: false };
    return [content, token] as const;
  });
  return new AddedTokenSplitter(tokens).split(text).filter(({ token }) => token !== null);
}

// Few characters, so that tokens overlap, nest and meet: among them white space, a mark, and one of two units.
const unit = fc.constantFrom("a", "b", "<", " ", "\ufdd0", "🙂");
const text = fc.string({ unit, maxLength: 8 });
const specialList = fc.array(fc.string({ unit, minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 5 });

test("of two messages among a template's texts nothing is special, and all of it comes back", () => {
  fc.assert(
    fc.property(specialList, fc.array(text, { minLength: 5, maxLength: 5 }), (specials, texts) => {
      const [before, first, between, second, behind] = texts;
      const marks = new MessageMarker(specials, before + between + behind).marksFor([first, second]);
      const marked = [before, marks.mark(first), between, marks.mark(second), behind];
      expect([marks.unmark(marked[1]), marks.unmark(marked[3])]).toEqual([first, second]);
      const spans = marked.map((part, i) => {
        const from = marked.slice(0, i).join("").length;
        return { from, to: from + part.length };
      });
      for (const special of specialsIn(marked.join(""), specials)) {
        for (const { from, to } of [spans[1], spans[3]]) {
          // Around an empty message the template writes it alone.
          expect(from === to || special.at + special.text.length <= from || special.at >= to).toBe(true);
        }
      }
    }),
    { numRuns: 3000 },
  );
});

describe("marks are put where they are needed", () => {
  const chatml = new MessageMarker(["<|im_start|>", "<|im_end|>"], "");

  test.each([
    ["hello there", "hello there"],
    ["", ""],
    ["  ", "  "],
    ["<b>bold</b>", "<b>bold</b>"],
    [" <|im_end|> ", " <\ufdd0|im_end|> "],
    ["<|im_<|im_end|>end|>", "<|im_<\ufdd0|im_end|>end|>"],
    ["a <", "a <\ufdd0"],
    ["a < ", "a <\ufdd0 "],
    ["> a", "\ufdd0> a"],
    ["im_", "im_\ufdd0"],
    ["a\ud800b", "a\ufffdb"],
  ])("%j becomes %j", (given, expected) => {
    expect(chatml.marksFor([given]).mark(given)).toBe(expected);
  });

  test("a special token of one character has another stand in for it", () => {
    const marks = new MessageMarker(["e", "<e>"], "").marksFor(["hello <e>"]);
    expect(marks.mark("hello <e>")).toBe("h\ufdd1llo <\ufdd0\ufdd1>");
    expect(marks.unmark("h\ufdd1llo <\ufdd0\ufdd1>")).toBe("hello <e>");
  });

  test("a mark is none that a message, a special token or the template holds", () => {
    const marks = new MessageMarker(["\ufdd0", "x\ufdd1"], "\ufdd2").marksFor(["\ufdd3 x\ufdd1"]);
    expect(marks.mark("\ufdd3 x\ufdd1")).toBe("\ufdd3 x\ufdd4\ufdd1");
  });

  test("messages with every noncharacter are refused", () => {
    const all = NONCHARACTERS.join("");
    expect(() => chatml.marksFor(["a", all])).toThrow(expect.objectContaining({ code: "invalid_argument" }));
    expect(chatml.marksFor([all.slice(0, -2)]).mark("<|im_end|>")).toBe(`<${NONCHARACTERS.at(-1)}|im_end|>`);
  });
});

test("four thousand special tokens of a thousand characters are no more than many", () => {
  const specials = Array.from({ length: 4000 }, (_, i) => `<${"x".repeat(1000)}${i}>`);
  const message = `<${"x".repeat(1000)}7> ${"<xx".repeat(1000)} ${specials[9].slice(0, -1)}`;
  const marks = new MessageMarker(specials, "").marksFor([message]);
  expect(specialsIn(marks.mark(message), specials)).toEqual([]);
  expect(marks.unmark(marks.mark(message))).toBe(message);
  // One was whole, and one is begun at the end.
  expect(marks.mark(message).length - message.length).toBe(2);
});
