/** How far a model is from another on a text, token by token. */
import { readFile } from "node:fs/promises";
import type { LanguageModel } from "../src/library/language-model.js";

/** Log-probabilities, in f64, and the likeliest token of a row of logits. */
function logSoftmax(logits: Float32Array): { logProbs: Float64Array; likeliest: number } {
  // Loops, because there are millions of them.
  let top = Number.NEGATIVE_INFINITY;
  for (const logit of logits) top = Math.max(top, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - top);
  const logSum = Math.log(sum);
  const logProbs = new Float64Array(logits.length);
  for (let i = 0; i < logits.length; i++) logProbs[i] = logits[i]! - top - logSum;
  return { logProbs, likeliest: logits.indexOf(top) };
}

async function teacherForced(lm: LanguageModel, ids: readonly number[]) {
  const { logits, rows } = await lm.logits(ids, { rows: "all" });
  const width = logits.length / rows;
  return Array.from({ length: rows }, (_, r) => logSoftmax(logits.subarray(r * width, (r + 1) * width)));
}

/** Of the held-out stories, over `positions` of their tokens. */
export async function modelDistance(expected: LanguageModel, found: LanguageModel) {
  const url = new URL("fixtures/held-out.txt", import.meta.url);
  const stories = (await readFile(url, "utf8")).trim().split("\n\n");
  let positions = 0;
  let agreed = 0;
  let divergence = 0;
  let extraLoss = 0;
  for (const story of stories) {
    const ids = expected.promptTokens(story);
    const right = await teacherForced(expected, ids);
    const near = await teacherForced(found, ids);
    for (let t = 0; t + 1 < ids.length; t++) {
      const p = right[t]!;
      const q = near[t]!;
      positions += 1;
      agreed += p.likeliest === q.likeliest ? 1 : 0;
      extraLoss += p.logProbs[ids[t + 1]!]! - q.logProbs[ids[t + 1]!]!;
      for (let id = 0; id < p.logProbs.length; id++) {
        divergence += Math.exp(p.logProbs[id]!) * (p.logProbs[id]! - q.logProbs[id]!);
      }
    }
  }
  return {
    positions,
    agreed: agreed / positions,
    divergence: divergence / positions,
    // Perplexity is the exponential of the mean loss.
    perplexityChange: Math.exp(extraLoss / positions) - 1,
  };
}
