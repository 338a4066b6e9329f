/** The attention probe in a worker, so that the page never waits for it. Answers each question in turn. */

import { type ErrorCode, LastrowError } from "lastrow";
import { AttentionProbe, type AttentionWeights, type ProbeOptions } from "lastrow/explain";
import { receivedSource, type SentSource } from "../model/page-source.ts";

export interface ProbeQuestion {
  readonly id: number;
  readonly source: SentSource;
  readonly options: ProbeOptions;
  readonly tokens: readonly number[];
  readonly numCachedTokens: number;
  readonly layer: number;
}

export type ProbeAnswer =
  | { readonly id: number; readonly weights: AttentionWeights }
  | { readonly id: number; readonly error: ProbeError };

/** An error as it crosses: a structured clone would lose its class. */
export interface ProbeError {
  /** Null for what is not a `LastrowError`. */
  readonly code: ErrorCode | null;
  readonly message: string;
}

let probe: Promise<AttentionProbe> | null = null;

addEventListener("message", async ({ data }: MessageEvent<ProbeQuestion>) => {
  const { id, source, options, tokens, numCachedTokens, layer } = data;
  let answer: ProbeAnswer;
  try {
    probe ??= AttentionProbe.load(receivedSource(source), options);
    answer = { id, weights: (await probe).run(tokens, numCachedTokens, layer) };
  } catch (error) {
    answer = { id, error: probeError(error) };
  }
  postMessage(answer);
});

function probeError(error: unknown): ProbeError {
  const message = error instanceof Error ? error.message : String(error);
  return { code: error instanceof LastrowError ? error.code : null, message };
}
