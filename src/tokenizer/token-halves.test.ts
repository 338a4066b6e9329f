import fc from "fast-check";
import { expect, test } from "vitest";
import { TokenHalves } from "./token-halves.js";

test("finds every way to cut a token into two others, in the order of where it is cut", () => {
  const token = fc.string({ unit: fc.constantFrom("a", "b", "▁", "😀"), minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(fc.uniqueArray(token, { minLength: 1, maxLength: 40 }), fc.nat(), (texts, left) => {
      const parts = texts.map((_, id) => id).filter((id) => (id * 7 + left) % 5 !== 0);
      const idOf = new Map(parts.map((id) => [texts[id], id]));
      const halves = new TokenHalves(texts, parts, () => undefined);
      for (const [id, text] of texts.entries()) {
        const cuts = Array.from({ length: text.length - 1 }, (_, i) => i + 1);
        const pairs = cuts.map((at) => [idOf.get(text.slice(0, at)), idOf.get(text.slice(at))]);
        expect(halves.of(id)).toEqual(pairs.filter((pair) => !pair.includes(undefined)));
      }
    }),
  );
});

test("counts what it looks at, so that tokens that collide can be refused", () => {
  const count = (texts: readonly string[]) => {
    let steps = 0;
    const halves = new TokenHalves(
      texts,
      texts.map((_, id) => id),
      (more) => {
        steps += more;
      },
    );
    for (const id of texts.keys()) halves.of(id);
    return steps;
  };
  // Each character is looked at when it is hashed, twice, and then once for each place where its token is cut.
  const apart = count(["ab", "cdef", "g"]);
  expect(apart).toBeGreaterThanOrEqual(14);
  expect(apart).toBeLessThan(40);
  // Beginnings that are found are compared, too.
  expect(count(["a", "aa", "aaa", "aaaa"])).toBeGreaterThan(30);
});
