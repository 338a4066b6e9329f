/** Answers of a model that knows nothing of tools, of random sets of them: shared by the quick and the exhaustive tests. */
import { expect } from "vitest";
import type { LanguageModel } from "../../src/index.js";
import { answerParts } from "../../src/library/answer-parts.js";
import type { AnswerTools } from "../../src/tools/answer-tools.js";
import { type CallFormatName, callFormat } from "../../src/tools/call-format.js";
import { seededRandom } from "../seeded-random.js";
import { argumentsValidator, BOUNDED } from "./random-calls.js";

/** What became of the answers. */
export interface ToolAnswers {
  readonly whole: number;
  readonly cut: number;
  readonly calls: number;
}

/**
 * So many answers that must call, each of another set of tools, at temperature 1.5: those that are whole hold nothing but calls
 * whose arguments fit, and each answer is the same alone, among the others, as one of several, and with guesses.
 */
export async function expectToolAnswers(
  model: LanguageModel,
  format: CallFormatName,
  {
    answers,
    seed,
    parallel,
  }: { readonly answers: number; readonly seed: number; readonly parallel: boolean },
): Promise<ToolAnswers> {
  const random = seededRandom(seed);
  const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)];
  const validator = argumentsValidator();
  const asked = Array.from({ length: answers }, (_, i) => {
    const tools = Array.from({ length: 1 + Math.floor(random() * 4) }, (_, j) => ({
      name: `${pick(["get", "now", "a-b_C", "name"])}${j}`,
      description: "<|endoftext|>",
      parameters: pick(BOUNDED),
    }));
    const choice = random() < 0.3 ? { name: pick(tools).name } : ("required" as const);
    return {
      tools: { format: callFormat(format, model.tokenizer!), tools, choice, parallel },
      seed: seed + i,
    };
  });
  const ask = (one: { tools: AnswerTools; seed: number }, more: object = {}) =>
    model
      .answer(
        "Once upon a time",
        { temperature: 1.5, seed: one.seed, maxTokens: 220, ...more },
        answerParts({ thoughts: null, tools: one.tools }),
      )
      .result();
  const results = await Promise.all(asked.map((one) => ask(one, random() < 0.5 ? { speculate: 4 } : {})));
  let calls = 0;
  let cut = 0;
  for (const [i, { finishReason, text, toolCalls }] of results.entries()) {
    const { tools, choice } = asked[i].tools;
    const isCut = finishReason === "length";
    if (isCut) cut += 1;
    else {
      expect([text, finishReason]).toEqual(["", "tool_calls"]);
      expect(toolCalls!.length).toBeGreaterThan(0);
    }
    // Where it was cut, the last one may be unfinished.
    for (const call of isCut ? toolCalls!.slice(0, -1) : toolCalls!) {
      calls += 1;
      const tool = tools.find(({ name }) => name === call.name)!;
      if (typeof choice === "object") expect(call.name).toBe(choice.name);
      const validate = validator(tool.parameters);
      expect([call.arguments, validate(JSON.parse(call.arguments))]).toEqual([call.arguments, true]);
    }
  }
  // Some again, alone and as one of several.
  for (let i = 0; i < answers; i += 7) {
    expect((await ask(asked[i])).tokens).toEqual(results[i].tokens);
    const several = await ask({ ...asked[i], seed: asked[i].seed - 1 }, { n: 2 });
    expect(several.choices[1].tokens).toEqual(results[i].tokens);
  }
  return { whole: answers - cut, cut, calls };
}
