/** Generations with all their options: `npm test` has a part of them, `npm run test:soak` far more. */
import { test } from "vitest";
import { expectGenerations } from "../engine/expect-generations.js";

test("what is asked for together, with all options that meet, is what each gives alone", async () => {
  await expectGenerations({ scenarios: 5, share: 1 });
});
