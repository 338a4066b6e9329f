/** What is asked of the cache view's engine, and which of the engine's sequences belongs to which request. */
import type { LanguageModel } from "lastrow";
import type { CacheState, SequenceState } from "./cache-state.ts";

export interface CacheBatch {
  readonly prompts: readonly string[];
  /** Continuations of each prompt. */
  readonly forks: number;
  readonly maxTokens: number;
}

/**
 * Asks for continuations of prompts as people do who come one after the other: each when the one before has its first
 * token.
 */
export async function generateBatch(
  lm: LanguageModel,
  prompts: readonly (readonly number[])[],
  options: {
    readonly forks: number;
    readonly maxTokens: number;
    readonly firstSeed: number;
    readonly signal?: AbortSignal;
  },
  onTokens: (prompt: number, index: number, tokens: readonly number[]) => void,
): Promise<void> {
  const { forks: n, maxTokens, firstSeed, signal } = options;
  const asked: Promise<void>[] = [];
  for (const [i, prompt] of prompts.entries()) {
    await new Promise<void>((hasBegun) => {
      const generation = lm.generate(prompt, {
        n,
        maxTokens,
        temperature: 0.8,
        topK: 40,
        seed: firstSeed + i,
        ignoreEos: true,
        signal,
      });
      const reading = (async () => {
        try {
          for await (const { index, tokens } of generation) {
            onTokens(i, index, tokens);
            hasBegun();
          }
        } finally {
          hasBegun();
        }
      })();
      reading.catch(() => undefined);
      asked.push(reading);
    });
  }
  await Promise.all(asked);
}

/** One request: a prompt and so many continuations. */
export interface CacheRequest {
  readonly prompt: readonly number[];
  /** Generated so far, by continuation. */
  readonly continuations: readonly (readonly number[])[];
}

export interface NamedSequence {
  readonly state: SequenceState;
  /** A, B, C … in the order of the requests; A2, A3 … for forks. */
  readonly name: string;
  /** Which of eight colours it has: by its place among the sequences. */
  readonly colour: number;
  /** Its tokens as far as their rows are in the cache. */
  readonly tokens: readonly number[];
  readonly promptTokens: number;
}

/**
 * The sequences of a state with their names. Requests get numbers in their order and forks when they are forked, so a
 * request's sequence has as many numbers before it as there are requests and forks before it.
 */
export function namedSequences(state: CacheState, requests: readonly CacheRequest[]): NamedSequence[] {
  const sequences = [...state.sequences.values()].sort((a, b) => a.sequence - b.sequence);
  const forks = sequences.filter(({ parent }) => parent !== null);
  const forksSeen = new Map<number, number>();
  const requestOf = ({ sequence, parent }: SequenceState): number => {
    const known = parent === null ? undefined : state.sequences.get(parent);
    if (known !== undefined) return requestOf(known);
    return sequence - 1 - forks.filter((fork) => fork.sequence < sequence).length;
  };
  return sequences.map((sequence, place) => {
    const number = requestOf(sequence);
    const continuation = sequence.parent === null ? 0 : (forksSeen.get(number) ?? 0) + 1;
    if (sequence.parent !== null) forksSeen.set(number, continuation);
    const request = requests[number];
    const tokens =
      request === undefined ? [] : [...request.prompt, ...(request.continuations[continuation] ?? [])];
    return {
      state: sequence,
      name: requestName(number) + (continuation === 0 ? "" : String(continuation + 1)),
      colour: place % 8,
      tokens: tokens.slice(0, Math.max(sequence.rows, request?.prompt.length ?? 0)),
      promptTokens: request?.prompt.length ?? 0,
    };
  });
}

/** A … Z, then AA, AB … */
function requestName(number: number): string {
  const letter = String.fromCharCode(65 + (number % 26));
  return number < 26 ? letter : requestName(Math.floor(number / 26) - 1) + letter;
}
