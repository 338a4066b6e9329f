/**
 * Vectors of texts: what is asked for, checked, and what is made of the rows that the engine reads off. What the rows are is
 * the model's to say; that they are cut and have a length of 1 is done here, in f64, so that it is the same everywhere.
 */
import { onAbort } from "../abort-listeners.js";
import type { EngineClient } from "../client/engine-client.js";
import { aborted, invalidArgument, LastrowError } from "../errors.js";
import type { EmbeddingSettings, Pooling } from "../formats/embedding-types.js";
import type { MetadataEntry } from "../formats/gguf/metadata-entries.js";
import type { ModelConfig } from "../model/config.js";
import { checkOptions, oneOf, shown, wholeNumber } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { ReadoutOf, ReadoutOutcome } from "../protocol/readout-request.js";
import type { Prompt, PromptOptions } from "./generate-options.js";

/** What is common to reading vectors and scores off texts. */
export interface ReadoutOptions extends PromptOptions {
  /** See `GenerateOptions`. */
  readonly cachePrompt?: boolean | undefined;
  /** See `GenerateOptions`. */
  readonly salt?: string | undefined;
  /** See `GenerateOptions`. */
  readonly tenant?: string | undefined;
  /** Cancels with the error code `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** How texts become vectors. */
export interface EmbedOptions extends ReadoutOptions {
  /** Values of a vector: its first ones, 1 to the width of the model's rows. Default: all. */
  readonly dimensions?: number | undefined;
  /**
   * Which rows a vector is made of: the `last` token's, or the `mean` of all. Default: as the model's files say; where they
   * say nothing, it must be asked for.
   */
  readonly pooling?: Pooling | undefined;
  /** Text in front of each text: what it is, or what is done with it. Default: the model's own, if it has one. */
  readonly prompt?: string | undefined;
  /** The model's own text for that, by its name: `query`, say. `LanguageModel.info.embedding.prompts` has all of them. */
  readonly promptName?: string | undefined;
}

/** Vectors of texts. */
export interface EmbedResult {
  /** One for each text, in their order; each of length 1, or of zeros where the model gives nothing else. */
  readonly embeddings: readonly Float32Array[];
  /** Tokens of all texts, those that the tokenizer puts around them included. */
  readonly promptTokens: number;
  /** Those of them whose K and V were there already. */
  readonly numCachedTokens: number;
}

export const READOUT_OPTIONS = {
  ...{ parseSpecial: true, cachePrompt: true, salt: true, tenant: true, signal: true },
};
const EMBED_OPTIONS = optionNames<EmbedOptions>()("embed", {
  ...{ ...READOUT_OPTIONS, dimensions: true, pooling: true, prompt: true, promptName: true },
});

/** Texts of one call that are in the engine at once: the others wait here, so that what it plans stays small. */
export const TEXTS_AT_ONCE = 32;

/** What is known of a model: of `ModelInfo`. */
export interface KnownModel {
  readonly label: string;
  readonly config: ModelConfig;
  readonly embedding: EmbeddingSettings;
  readonly metadata: readonly MetadataEntry[];
}

/** What is needed of a model. */
export interface ReadModel {
  readonly engine: EngineClient;
  readonly info: KnownModel;
  /** The checked ids of a text. */
  readonly promptIds: (text: Prompt, options: PromptOptions) => readonly number[];
}

/** See `LanguageModel.embed`. */
export async function embedTexts(
  model: ReadModel,
  texts: string | readonly Prompt[],
  options: EmbedOptions,
): Promise<EmbedResult> {
  const { info } = model;
  checkOptions(options, EMBED_OPTIONS);
  const width = info.config.hiddenSize;
  const dimensions = wholeNumber("dimensions", options.dimensions, width, { from: 1, to: width });
  const kind = poolingOf(info, options.pooling);
  const prompt = promptOf(info, options);
  const list = listOfTexts(texts);
  const prompts = list.map((text, i) => {
    if (typeof text !== "string" && prompt.isAsked)
      throw invalidArgument(
        "A prompt is put in front of texts; token ids are taken as they are, without one.",
      );
    return withPlace(`Text ${i}`, list.length, () =>
      model.promptIds(typeof text === "string" ? prompt.text + text : text, options),
    );
  });
  const outcomes = await readAll(model, prompts, { kind }, options);
  return {
    embeddings: outcomes.map(({ vector }) => unitVector(vector, dimensions)),
    promptTokens: prompts.reduce((sum, { length }) => sum + length, 0),
    numCachedTokens: outcomes.reduce((sum, { numCachedTokens }) => sum + numCachedTokens, 0),
  };
}

/**
 * Reads something off each of some prompts: in their order, some at a time.
 * @throws LastrowError `aborted`, `kv_memory_exhausted`, `numerical_error`; the others are then ended
 */
export async function readAll(
  { engine }: Pick<ReadModel, "engine">,
  prompts: readonly (readonly number[])[],
  of: ReadoutOf,
  { cachePrompt = true, salt = "", tenant = "", signal }: ReadoutOptions,
): Promise<readonly ReadoutOutcome[]> {
  const others = new AbortController();
  const stop = () => others.abort();
  if (signal?.aborted) stop();
  const stopWaiting = onAbort(signal, stop);
  const outcomes: ReadoutOutcome[] = [];
  let next = 0;
  const readOn = async () => {
    while (next < prompts.length) {
      const i = next;
      next += 1;
      const request = { prompt: prompts[i], of, salt: cachePrompt ? salt : null, tenant };
      const outcome = await engine.computeReadout(request, others.signal);
      if (outcome === null) throw aborted("Reading the texts was cancelled.", signal);
      outcomes[i] = outcome;
    }
  };
  const readers = Array.from({ length: Math.min(TEXTS_AT_ONCE, prompts.length) }, readOn);
  try {
    await Promise.all(readers);
    return outcomes;
  } catch (error) {
    stop();
    await Promise.allSettled(readers);
    throw error;
  } finally {
    stopWaiting();
  }
}

/** Says which of several texts is too long. */
export function withPlace<T>(place: string, count: number, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (count === 1 || !(error instanceof LastrowError) || error.code !== "context_length_exceeded")
      throw error;
    throw new LastrowError(error.code, `${place}: ${error.message}`, { cause: error });
  }
}

/** The first values, made a vector of length 1: squares are added in order, in f64, and each value is rounded once. */
function unitVector(vector: Float64Array, dimensions: number): Float32Array {
  const cut = vector.subarray(0, dimensions);
  let squares = 0;
  for (const value of cut) squares += value * value;
  const length = Math.sqrt(squares);
  return Float32Array.from(cut, (value) => (length === 0 ? 0 : value / length));
}

/**
 * Which rows make a vector.
 * @throws LastrowError `model_unsupported` for a model of which no vectors are made; `invalid_argument`
 */
export function poolingOf({ label, embedding }: KnownModel, asked: Pooling | undefined): Pooling {
  const { pooling, refused } = embedding;
  if (asked !== undefined) oneOf("pooling", asked, ["last", "mean"]);
  if (refused !== null) throw new LastrowError("model_unsupported", `${label} ${refused}.`);
  const chosen = asked ?? pooling;
  if (chosen !== null) return chosen;
  throw invalidArgument(
    `${label} does not say how vectors are made of its rows, as models for embeddings do (modules.json, or pooling_type of a GGUF file); ask for it with pooling: "last" or "mean".`,
  );
}

/**
 * What is put in front of a text.
 * @throws LastrowError `invalid_argument` for a name that the model has not
 */
export function promptOf(
  { label, embedding }: Pick<KnownModel, "label" | "embedding">,
  { prompt, promptName }: Pick<EmbedOptions, "prompt" | "promptName">,
): { readonly text: string; readonly isAsked: boolean } {
  const { prompts, defaultPrompt }: EmbeddingSettings = embedding;
  if (prompt !== undefined && typeof prompt !== "string")
    throw invalidArgument(`prompt is a text, not ${shown(prompt)}.`);
  if (prompt !== undefined && promptName !== undefined)
    throw invalidArgument("prompt and promptName exclude each other; give one of them.");
  if (prompt !== undefined) return { text: prompt, isAsked: prompt !== "" };
  const name = promptName ?? defaultPrompt;
  if (name === null) return { text: "", isAsked: false };
  if (typeof name === "string" && Object.hasOwn(prompts, name)) {
    return { text: prompts[name]!, isAsked: promptName !== undefined && prompts[name] !== "" };
  }
  const names = Object.keys(prompts);
  throw invalidArgument(
    `promptName is ${shown(name)}; ${label} has ${names.length === 0 ? "no prompts" : names.map(shown).join(", ")}.`,
  );
}

function listOfTexts(texts: unknown): readonly Prompt[] {
  if (typeof texts === "string") return [texts];
  if (!Array.isArray(texts))
    throw invalidArgument(`embed takes a text or a list of texts, not ${shown(texts)}.`);
  const strange = texts.find((text) => typeof text === "number");
  if (strange === undefined) return texts;
  throw invalidArgument(
    "embed takes a list of texts; the token ids of one text are a list in it: [[1, 2, 3]].",
  );
}
