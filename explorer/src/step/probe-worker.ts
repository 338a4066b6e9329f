/** The attention probe in a worker, so that the page never waits for it. Answers each question in turn. */
import { type RemoteError, toRemoteError } from "lastrow/engine/remote-error";
import { platform } from "lastrow/platform/browser";
import { AttentionProbe, type AttentionWeights } from "./attention-probe.ts";

export interface ProbeQuestion {
  readonly id: number;
  /** Addresses of the model's files, by name. */
  readonly files: Readonly<Record<string, string>>;
  readonly tokens: readonly number[];
  readonly numCachedTokens: number;
  readonly layer: number;
}

export type ProbeAnswer =
  | { readonly id: number; readonly weights: AttentionWeights }
  | { readonly id: number; readonly error: RemoteError };

let probe: Promise<AttentionProbe> | null = null;

addEventListener("message", async ({ data }: MessageEvent<ProbeQuestion>) => {
  const { id, files, tokens, numCachedTokens, layer } = data;
  let answer: ProbeAnswer;
  try {
    probe ??= AttentionProbe.load(platform, files);
    answer = { id, weights: (await probe).run(tokens, numCachedTokens, layer) };
  } catch (error) {
    answer = { id, error: toRemoteError(error) };
  }
  postMessage(answer);
});
