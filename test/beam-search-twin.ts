/**
 * Beam search written from its definition: whole lists, sorted whole, every sum added up anew. Slow, for small
 * vocabularies. The twin of `BeamSearch`, which must find the same beams.
 */
import type { BeamHypothesis, BeamSearchOptions } from "../src/sampling/beam-search.js";

/** Log-probabilities (V) of the token after the generated ones. */
export type TransitionTable = (generated: readonly number[]) => readonly number[];

interface Continuation {
  readonly tokens: readonly number[];
  readonly sum: number;
}

export interface TwinResult {
  readonly hypotheses: readonly BeamHypothesis[];
  /** The live beams after each step but the last. */
  readonly steps: readonly (readonly number[][])[];
}

export function beamSearchTwin(table: TransitionTable, options: BeamSearchOptions): TwinResult {
  const { numBeams, maxNewTokens, eosTokenIds, earlyStopping, lengthPenalty, numReturnSequences } = options;
  const scoreAt = (sum: number, length: number) =>
    // Multiplied instead of divided by the inverse, which is rounded.
    lengthPenalty < 0 ? sum * length ** -lengthPenalty : sum / length ** lengthPenalty;

  const everFinished: BeamHypothesis[] = [];
  const bestFinished = () => everFinished.toSorted((a, b) => b.score - a.score).slice(0, numBeams);
  const steps: (readonly number[][])[] = [];
  let live: readonly number[][] = [[]];
  for (let length = 1; length <= maxNewTokens; length++) {
    const candidates = live
      .flatMap((prefix) => table(prefix).map((_, token) => [...prefix, token]))
      .map((tokens): Continuation => ({ tokens, sum: sumOf(tokens, table) }))
      .filter(({ sum }) => sum > Number.NEGATIVE_INFINITY)
      .toSorted((a, b) => b.sum - a.sum)
      .slice(0, numBeams * Math.max(2, 1 + eosTokenIds.size));

    const endsText = ({ tokens }: Continuation) => eosTokenIds.has(tokens[tokens.length - 1]!);
    const hasEnded = (candidate: Continuation) => endsText(candidate) || length === maxNewTokens;
    for (const candidate of candidates.slice(0, numBeams).filter(hasEnded)) {
      everFinished.push({
        tokens: candidate.tokens,
        score: scoreAt(candidate.sum, length),
        finishedBy: endsText(candidate) ? "eos" : "length",
      });
    }
    const goingOn = candidates.filter((candidate) => !hasEnded(candidate)).slice(0, numBeams);
    if (goingOn.length === 0) break;

    if (everFinished.length >= numBeams) {
      if (earlyStopping === true) break;
      const longest = earlyStopping === "never" && lengthPenalty > 0 ? maxNewTokens : length;
      if (scoreAt(goingOn[0]!.sum, longest) <= bestFinished().at(-1)!.score) break;
    }
    live = goingOn.map(({ tokens }) => [...tokens]);
    steps.push(live);
  }
  return { hypotheses: bestFinished().slice(0, numReturnSequences), steps };
}

/** First token to last. */
function sumOf(tokens: readonly number[], table: TransitionTable): number {
  return tokens.reduce((sum, token, i) => sum + table(tokens.slice(0, i))[token]!, 0);
}
