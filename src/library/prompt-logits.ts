/** What a prompt's logits are read for: those after its last token, or after each of its tokens; how well the model foretold it. */
import type { EngineClient } from "../client/engine-client.js";
import { type LogitsRow, readLogits } from "../client/logits-reader.js";
import { aborted, type LastrowError } from "../errors.js";
import type { ModelConfig } from "../model/config.js";
import { checkOptions, oneOf } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import { checkTokenIds } from "../protocol/generation-request.js";
import type { Prompt, PromptOptions } from "./generate-options.js";
import { computePerplexity, type PerplexityOptions, type PerplexityResult } from "./perplexity.js";

/** How a prompt is read for its logits. */
export interface LogitsOptions extends PromptOptions {
  /** See `GenerateOptions`. */
  readonly tenant?: string | undefined;
  /** Cancels with the error code `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** Which rows of logits are given. */
export interface RowsOptions extends LogitsOptions {
  /** `last` (the default): the row after the last token; `all`: a row after each token, n times the vocabulary in memory. */
  readonly rows?: "last" | "all" | undefined;
}

const ROWS_OPTIONS = optionNames<LogitsOptions>()("logitsRows", {
  parseSpecial: true,
  tenant: true,
  signal: true,
});
const LOGITS_OPTIONS = optionNames<RowsOptions>()("logits", {
  ...{ parseSpecial: true, tenant: true, signal: true, rows: true },
});
const PERPLEXITY_OPTIONS = optionNames<PerplexityOptions & PromptOptions>()("perplexity", {
  ...{ parseSpecial: true, tenant: true, stride: true, onProgress: true, signal: true },
});

/** Logits after a prompt. */
export interface LogitsResult {
  /** The ids that were fed, a start token included. */
  readonly tokens: readonly number[];
  /** Tokens whose K and V were there already, computed for an earlier prompt that begins alike; 0 for all rows. */
  readonly numCachedTokens: number;
  /** Rows of `logits`: 1, or one for each token. */
  readonly rows: number;
  /** (rows, vocabulary), row-major; your own copy. */
  readonly logits: Float32Array;
}

/** What is needed of a model. */
export interface LogitsModel {
  readonly engine: EngineClient;
  readonly info: { readonly config: ModelConfig };
  /** The checked ids of a prompt. */
  readonly promptIds: (prompt: Prompt, options: PromptOptions) => readonly number[];
}

/** See `LanguageModel.logits`. */
export async function promptLogits(
  { engine, info, promptIds }: LogitsModel,
  prompt: Prompt,
  options: RowsOptions,
): Promise<LogitsResult> {
  checkOptions(options, LOGITS_OPTIONS);
  const rows = oneOf("rows", options.rows ?? "last", ["last", "all"]);
  const tokens = promptIds(prompt, options);
  const width = info.config.vocabSize;
  const logitsFrom = rows === "all" ? 0 : tokens.length - 1;
  const logits = new Float32Array((tokens.length - logitsFrom) * width);
  const computed = await engine.computeLogits(
    tokens,
    { logitsFrom, salt: "", tenant: options.tenant, signal: options.signal },
    ({ firstPosition, count, row }) => {
      for (let i = 0; i < count; i++) logits.set(row(i), (firstPosition + i - logitsFrom) * width);
    },
  );
  if (computed === null) throw cancelled(options.signal);
  const { numCachedTokens } = computed;
  return { tokens, numCachedTokens, rows: tokens.length - logitsFrom, logits };
}

/** See `LanguageModel.logitsRows`. */
export async function* promptLogitsRows(
  { engine, info, promptIds }: LogitsModel,
  prompt: Prompt,
  options: LogitsOptions,
): AsyncGenerator<LogitsRow, void> {
  checkOptions(options, ROWS_OPTIONS);
  yield* readLogits(engine, promptIds(prompt, options), info.config.vocabSize, options);
  if (options.signal?.aborted) throw cancelled(options.signal);
}

/** See `LanguageModel.perplexity`. @param textIds the ids of a text of any length, unchecked */
export async function promptPerplexity(
  { engine, info }: Pick<LogitsModel, "engine" | "info">,
  textIds: (options: PromptOptions) => readonly number[],
  options: PerplexityOptions & PromptOptions,
): Promise<PerplexityResult> {
  checkOptions(options, PERPLEXITY_OPTIONS);
  const { signal, tenant } = options;
  const { contextLength, vocabSize } = info.config;
  const tokens = textIds(options);
  checkTokenIds(tokens, vocabSize);
  return computePerplexity(tokens, { ...options, contextLength }, async (window, logitsFrom, use) => {
    const computed = await engine.computeLogits(
      window,
      { logitsFrom, salt: null, tenant, signal },
      ({ firstPosition, count, row }) => {
        for (let i = 0; i < count; i++) use(firstPosition + i, row(i));
      },
    );
    if (computed === null) throw cancelled(signal);
  });
}

function cancelled(signal: AbortSignal | undefined): LastrowError {
  return aborted("The forward pass was cancelled.", signal);
}
