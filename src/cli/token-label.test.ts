import { expect, it } from "vitest";
import { quoted } from "./token-label.js";

it("a token is quoted on one line, harmless, and its raw bytes stay readable", () => {
  expect([" a", 'say "no"', "\n\t\r", "\\n", "\\xE4", "\u001b[2J"].map(quoted)).toEqual([
    ...['" a"', '"say \\"no\\""', '"\\n\\t\\r"', '"\\\\n"', '"\\xE4"', '"␛[2J"'],
  ]);
});
