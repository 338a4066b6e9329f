/**
 * What sampling makes of a row of logits, for people to see: the library's own candidates, filtered as its sampler
 * filters them.
 */
import { argmax, Candidates } from "lastrow/sampling";

export interface SamplingChoice {
  /** 0: the best token alone. */
  readonly temperature: number;
  /** 0 is off. */
  readonly topK: number;
  /** 1 is off. */
  readonly topP: number;
}

interface CandidateToken {
  readonly token: number;
  /** In the model's own distribution. */
  readonly modelProbability: number;
  /** After temperature and filters; 0 for a token that cannot be chosen. */
  readonly probability: number;
}

export interface Distribution {
  /** The likeliest tokens of the model, best first. */
  readonly best: readonly CandidateToken[];
  /** Tokens that can be chosen. */
  readonly kept: number;
  /** Their share of the model's own distribution. */
  readonly keptProbability: number;
}

export function distribution(
  logits: Float32Array,
  { temperature, topK, topP }: SamplingChoice,
  count: number,
): Distribution {
  const own = weightsOf(logits, { temperature: 1, topK: 0, topP: 1 });
  const chosen =
    temperature === 0 ? new Map([[argmax(logits).token, 1]]) : weightsOf(logits, { temperature, topK, topP });
  let keptProbability = 0;
  for (const token of chosen.keys()) keptProbability += own.get(token) ?? 0;
  const best = [...own]
    .sort(([a, p], [b, q]) => q - p || a - b)
    .slice(0, count)
    .map(([token, modelProbability]) => ({ token, modelProbability, probability: chosen.get(token) ?? 0 }));
  return { best, kept: chosen.size, keptProbability: Math.min(1, keptProbability) };
}

/** Probability of every token that is left, by id. */
function weightsOf(logits: Float32Array, { temperature, topK, topP }: SamplingChoice): Map<number, number> {
  const candidates = new Candidates(logits.length);
  if (topK === 0) candidates.fill(logits, Math.fround(temperature));
  else candidates.fillTopK(logits, Math.fround(temperature), topK);
  candidates.weigh();
  if (topP !== 1) candidates.keepTopP(Math.max(topP, Number.MIN_VALUE));
  const { ids, weights } = candidates;
  let total = 0;
  for (const weight of weights) total += weight;
  return new Map(Array.from(ids, (token, i) => [token, weights[i] / total]));
}
