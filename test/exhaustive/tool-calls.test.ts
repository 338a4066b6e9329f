/** Answers that call tools, many of them: `npm test` has a few. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LanguageModel, load } from "../../src/index.js";
import { CALL_FORMATS } from "../../src/tools/call-format.js";
import { expectToolAnswers } from "../grammars/tool-answers.js";

let model: LanguageModel;
beforeAll(async () => {
  model = await load("stories", { kvMemory: "128MiB" });
});
afterAll(() => model.dispose());

const ANSWERS = 280;

test.each(CALL_FORMATS.map((name) => [name]))("%s: nine answers of ten end by themselves", async (format) => {
  const one = await expectToolAnswers(model, format, { answers: ANSWERS, seed: 1000, parallel: false });
  expect(one.whole).toBeGreaterThanOrEqual(0.9 * ANSWERS);
  const several = await expectToolAnswers(model, format, {
    answers: ANSWERS / 4,
    seed: 5000,
    parallel: true,
  });
  expect(several.calls).toBeGreaterThan(0);
});
