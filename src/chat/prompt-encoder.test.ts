/** No part of a message ever counts as a special token, whatever the tokens are and whatever stands beside it. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { familyTokenizer, texts } from "../../test/family-tokenizers.js";
import { textTokenizer } from "../../test/text-tokenizer.js";
import type { Run } from "./jinja/text.js";
import { PromptEncoder } from "./prompt-encoder.js";

// Few characters, so that tokens overlap, nest and meet; among them white space, a mark, and one of two units.
const unit = fc.constantFrom("a", "b", "<", " ", "\ufdd0", "🙂");
const specialList = fc.uniqueArray(fc.string({ unit, minLength: 1, maxLength: 4 }), {
  minLength: 1,
  maxLength: 5,
});
const runList = fc.array(fc.record({ text: fc.string({ unit, maxLength: 8 }), origin: fc.nat(2) }), {
  maxLength: 7,
});

/** Tokens as they stand in a prompt: specials by their text, all else a character each. */
function encoded(specials: readonly string[], runs: readonly Run[], flags = {}): (string | [string])[] {
  const tokenizer = textTokenizer(specials, flags);
  return new PromptEncoder(tokenizer, 1000)
    .encode(runs, [])
    .map((id) => (id < specials.length ? [specials[id]] : String.fromCodePoint(id - specials.length)));
}

test("all of a prompt comes back, specials are the template's alone, and none of those is missed", () => {
  fc.assert(
    fc.property(specialList, runList, (specials, runs) => {
      const parts = encoded(specials, runs);
      expect(parts.flat().join("")).toBe(runs.map(({ text }) => text).join(""));
      const origins = runs.flatMap(({ text, origin }) => Array.from({ length: text.length }, () => origin));
      let at = 0;
      for (const part of parts) {
        const length = Array.isArray(part) ? part[0].length : part.length;
        if (Array.isArray(part)) {
          expect(origins.slice(at, at + length).every((origin) => origin === 0)).toBe(true);
        } else if (origins[at] === 0) {
          // Plain text of the template begins no special token that is the template's as a whole.
          const rest = runs
            .map(({ text }) => text)
            .join("")
            .slice(at);
          const own = specials.filter(
            (special) =>
              rest.startsWith(special) &&
              origins.slice(at, at + special.length).every((origin) => origin === 0),
          );
          expect(own).toEqual([]);
        }
        at += length;
      }
    }),
    { numRuns: 3000 },
  );
});

test("white space and words beside a token count as they would, also those of a message", () => {
  const said = (text: string): Run => ({ text, origin: 1 });
  const written = (text: string): Run => ({ text, origin: 0 });
  const specials = ["<x>"];
  const shown = (runs: Run[], flags: object) =>
    encoded(specials, runs, flags)
      .map((part) => (Array.isArray(part) ? `[${part[0]}]` : part))
      .join("");
  const between = [said("a \u00a0\u0085"), written("<x>"), said("\u3000 <x> b")];
  expect(shown(between, { lstrip: true })).toBe("a[<x>]\u3000 <x> b");
  expect(shown(between, { rstrip: true })).toBe("a \u00a0\u0085[<x>]<x> b");
  expect(shown([said("a"), written("<x>")], { singleWord: true })).toBe("a<x>");
  expect(shown([said("-"), written("<x>"), said(" b")], { singleWord: true })).toBe("-[<x>] b");
  expect(shown([said("🙂"), written("<x>"), said("𠮷")], { singleWord: true })).toBe("🙂<x>𠮷");
});

test.each([
  "Llama 2, TinyLlama, Mistral",
  "Llama 2 as newer files have it",
  "Phi-3",
  "Gemma",
  "Llama 3, SmolLM3",
])("%s: a text of the template alone has the ids that the tokenizer gives it", async (name) => {
  const tokenizer = await familyTokenizer(name);
  const encoder = new PromptEncoder(tokenizer, 1000);
  for (const text of [
    ...texts,
    "<s>[INST] Hi [/INST] Yes</s><s>a",
    "<s><|user|>\n Hi<|end|>\n<|assistant|>",
  ]) {
    const want = tokenizer.encode(text, { parseSpecial: true, addSpecialTokens: false });
    expect([text, encoder.encode([{ text, origin: 0 }], [])]).toEqual([text, want]);
  }
});

test("a tokenizer whose special tokens hold all white space is refused, not the process ended", () => {
  const spaces = Array.from({ length: 0xd800 }, (_, code) => String.fromCharCode(code)).filter((character) =>
    /\p{White_Space}/u.test(character),
  );
  expect(() => new PromptEncoder(textTokenizer([spaces.join("")]), 1000)).toThrow(
    expect.objectContaining({ name: "LastrowError", code: "tokenizer_invalid" }),
  );
});
