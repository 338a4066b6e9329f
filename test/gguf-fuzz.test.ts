/** The golden GGUF files, changed at random with their structure in mind; `npm run test:gguf` has more of them. */
import { expect, test } from "vitest";
import { describeMutated } from "./gguf-fuzz.js";
import { mutatedGguf } from "./mutated-gguf.js";

const CASES = 5000;

test("whatever a GGUF file says, it is read to the end or refused in one sentence", async () => {
  const tally: Record<string, number> = {};
  for (let number = 0; number < CASES; number++) {
    try {
      const refused = (await describeMutated(mutatedGguf(number))) ?? "accepted";
      tally[refused] = (tally[refused] ?? 0) + 1;
    } catch (cause) {
      throw new Error(`mutation ${number}`, { cause });
    }
  }
  // None of the ways out is rare.
  expect(tally.accepted).toBeGreaterThan(CASES / 20);
  expect(tally.model_file_invalid).toBeGreaterThan(CASES / 4);
  expect(tally.model_unsupported).toBeGreaterThan(CASES / 100);
});
