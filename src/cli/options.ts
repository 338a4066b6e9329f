/**
 * The options that commands share: how they are written, what they accept, and what they become in the library.
 * A value that cannot be read is an error here; its range is checked by the library, before any model is loaded.
 */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { AskedVectors } from "../kernels/kernels.js";
import { KV_DTYPES, type KvDtype } from "../kernels/kv-types.js";
import type { GenerateOptions } from "../library/generate-options.js";
import { parseMemorySize } from "../memory-size.js";
import { ASKED_DTYPES, type AskedDtype } from "../model/weight-dtypes.js";
import { resolveSampling } from "../sampling/options.js";

export interface OutputOptions {
  readonly json?: boolean | undefined;
}

export interface ModelOptions {
  readonly model?: string | undefined;
}

export interface EngineOptions extends ModelOptions {
  readonly kernels?: "wasm" | "reference" | undefined;
  readonly context?: number | undefined;
  readonly kvMemory?: string | undefined;
  readonly kvDtype?: KvDtype | undefined;
  readonly threads?: number | undefined;
  readonly vectors?: "auto" | "128" | "256" | undefined;
  readonly tokenBudget?: number | undefined;
  readonly dtype?: AskedDtype | undefined;
}

export interface PromptOptions {
  readonly tokens?: readonly number[] | undefined;
  readonly parseSpecial?: boolean | undefined;
}

export interface ContinuationOptions {
  readonly n?: number | undefined;
  readonly bestOf?: number | undefined;
  readonly numBeams?: number | undefined;
  readonly lengthPenalty?: number | undefined;
  readonly earlyStopping?: boolean | "never" | undefined;
  readonly speculate?: number | undefined;
}

export interface SamplingOptions {
  readonly maxTokens?: number | undefined;
  readonly temperature?: number | undefined;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
  readonly minP?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  readonly frequencyPenalty?: number | undefined;
  readonly presencePenalty?: number | undefined;
  readonly logitBias?: ReadonlyMap<number, number> | undefined;
  readonly seed?: number | undefined;
  readonly stop?: readonly string[] | undefined;
  readonly ignoreEos?: boolean | undefined;
}

export function addModelOption(command: Command): Command {
  return command
    .optionsGroup("Model:")
    .option(
      "--model <model>",
      "a folder, a .gguf file, a Hugging Face name (org/repo, the type of a GGUF file after a colon: org/repo:Q8_0, a revision after @), or a URL (default: stories); docs/models.md lists what runs",
    );
}

/** @param addModel adds the option that says which model */
export function addEngineOptions(command: Command, addModel = addModelOption): Command {
  return addModel(command)
    .addOption(
      new Option(
        "--kernels <name>",
        "wasm, or reference: plain TypeScript, the same bits, far slower",
      ).choices(["wasm", "reference"]),
    )
    .addOption(
      new Option(
        "--dtype <type>",
        "how weights are kept: auto (16 bits as they are stored), f32, bf16 or f16 (same bits, if none is rounded), int8 or int4: a quarter or a seventh of f32's memory, and faster (default: auto)",
      ).choices(ASKED_DTYPES),
    )
    .option(
      "--threads <count>",
      "threads that share the work (default: all cores); the same bits",
      atLeastOne,
    )
    .addOption(
      new Option(
        "--vectors <bits>",
        "128, or 256: faster where Node and the processor have them; the same bits (default: auto, 256 where tested)",
      ).choices(["auto", "128", "256"]),
    )
    .option(
      "--context <tokens>",
      "most tokens of a text, prompt included (default: what the model was made for; longrope: its shorter length)",
      atLeastOne,
    )
    .option(
      "--kv-memory <size>",
      "memory for keys and values, such as 64MiB (default: up to four full contexts, by what is free)",
      checkedSize,
    )
    .addOption(
      new Option(
        "--kv-dtype <type>",
        "how keys and values are kept: f32, f16 in half of the memory, or int8 in about a quarter",
      ).choices(KV_DTYPES),
    )
    .option(
      "--token-budget <count>",
      "most rows of one step, of all sequences together (default: 512)",
      atLeastOne,
    );
}

/** What `--vectors` is in the library: the process is this program's own, so V8's flags may be set where that was tested. */
export function askedVectors({ vectors = "auto" }: Pick<EngineOptions, "vectors">): AskedVectors {
  return vectors === "auto" ? "tested" : vectors === "128" ? 128 : 256;
}

export function addPromptOptions(command: Command): Command {
  return command
    .optionsGroup("Prompt:")
    .option("--tokens <ids>", "token ids instead of text: 1,2,3", tokenIds)
    .option("--parse-special", "special tokens written in the text count as such");
}

/** @param defaultTokens what `--max-tokens` is when neither the user nor the model says */
export function addSamplingOptions(command: Command, defaultTokens: number | string): Command {
  return command
    .optionsGroup("Sampling (default: as the model's generation_config.json says):")
    .option(
      "--max-tokens <count>",
      `most tokens to generate (default: the model's, or ${defaultTokens})`,
      wholeNumber,
    )
    .option("--temperature <number>", "0 is greedy, 1 the model's own distribution", decimal)
    .option("--top-k <count>", "keep the k likeliest tokens; 0 is off", wholeNumber)
    .option("--top-p <number>", "keep the likeliest tokens that make up this probability; 1 is off", decimal)
    .option(
      "--min-p <number>",
      "keep tokens with this share of the best one's probability; 0 is off",
      decimal,
    )
    .option("--repetition-penalty <number>", "above 1 makes tokens that were seen less likely", decimal)
    .option("--frequency-penalty <number>", "lowers a generated token's logit for each time it came", decimal)
    .option("--presence-penalty <number>", "lowers a generated token's logit once", decimal)
    .option("--logit-bias <id=value>", "added to a token's logit; repeatable, or 1=2,3=-inf", logitBias)
    .option("--seed <number>", "the same seed gives the same text, on every machine", wholeNumber)
    .option(
      "--stop <text>",
      "end before this text; repeatable; \\n, \\t, \\r and \\\\ are understood",
      stopTexts,
    )
    .option("--ignore-eos", "go on after an end token");
}

/** More than one continuation, and how they are found. */
export function addContinuationOptions(command: Command): Command {
  return command
    .optionsGroup("Continuations:")
    .option("--n <count>", "continuations; number i is what seed + i gives alone", atLeastOne)
    .option("--best-of <count>", "generate this many, show the n likeliest", atLeastOne)
    .option("--num-beams <count>", "beam search with this many beams instead of sampling", atLeastOne)
    .option("--length-penalty <number>", "beams: scores are divided by length ^ this (default: 1)", decimal)
    .addOption(
      new Option("--early-stopping <when>", "beams: stop looking for better ones (default: false)")
        .choices(["true", "false", "never"])
        .argParser((when) => (when === "never" ? when : when === "true")),
    )
    .option(
      "--speculate <count>",
      "most tokens to propose from the text itself, where that pays; the same text",
      wholeNumber,
    );
}

export function addOutputOptions(command: Command): Command {
  return command
    .optionsGroup("Output:")
    .option("--json", "one JSON object on standard output, and nothing else")
    .option("--debug", "show the stack and the causes of an error")
    .helpOption("-h, --help", "show this help");
}

/**
 * The library's options, their ranges checked.
 * @throws LastrowError `invalid_argument`
 */
export function samplingFor(
  options: SamplingOptions & { readonly logprobs?: number | undefined },
): Omit<GenerateOptions, "mode" | "signal"> {
  const { maxTokens, temperature, topK, topP, minP, logitBias, seed, stop, ignoreEos, logprobs } = options;
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = options;
  const sampling = {
    ...{ temperature, topK, topP, minP, logitBias, seed, logprobs },
    ...{ repetitionPenalty, frequencyPenalty, presencePenalty },
  };
  // Which ids there are is known only when the model is loaded; everything else can be refused before.
  resolveSampling(sampling, {}, Number.MAX_SAFE_INTEGER);
  return { ...sampling, maxTokens, stop, ignoreEos };
}

export function wholeNumber(text: string): number {
  const number = Number(text);
  if (/^\s*\d+\s*$/.test(text) && Number.isSafeInteger(number)) return number;
  throw new InvalidArgumentError(
    /^\s*\d+\s*$/.test(text)
      ? "It must be at most 9007199254740991."
      : "It must be a whole number of at least 0.",
  );
}

export const atLeastOne = (text: string): number => atLeast(1, text);
export const atLeastTwo = (text: string): number => atLeast(2, text);

function atLeast(least: number, text: string): number {
  const number = wholeNumber(text);
  if (number >= least) return number;
  throw new InvalidArgumentError(`It must be a whole number of at least ${least}.`);
}

export function decimal(text: string): number {
  if (/^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a number, such as 0.8.");
}

export function tokenIds(text: string): number[] {
  const parts = text
    .trim()
    .split(/\s*,\s*|\s+/)
    .map(Number);
  if (/^[\d,\s]+$/.test(text) && parts.every(Number.isSafeInteger) && !/,\s*(,|$)|^\s*,/.test(text))
    return parts;
  throw new InvalidArgumentError("It must be token ids with commas between them, such as 1,2,3.");
}

/** A variable of a template: JSON where it is JSON (`false`, `3`, `"3"`), a text otherwise. */
export function templateVariable(
  text: string,
  before: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  const match = /^\s*([A-Za-z_]\w*)\s*=(.*)$/s.exec(text);
  if (match === null) {
    throw new InvalidArgumentError("It must be a name and a value, such as enable_thinking=false.");
  }
  const [, name, value] = match;
  return { ...before, [name]: jsonOrText(value) };
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function logitBias(
  text: string,
  before: ReadonlyMap<number, number> = new Map(),
): Map<number, number> {
  const biases = new Map(before);
  for (const part of text.split(",")) {
    const match = /^\s*(\d+)\s*[=:]\s*(\S+)\s*$/.exec(part);
    const value = match === null ? null : biasValue(match[2]);
    if (match === null || value === null) {
      throw new InvalidArgumentError(
        "It must be a token id and a number, such as 42=-1.5, or 42=-inf to forbid it.",
      );
    }
    biases.set(Number(match[1]), value);
  }
  return biases;
}

function biasValue(text: string): number | null {
  if (/^-inf(inity)?$/i.test(text)) return Number.NEGATIVE_INFINITY;
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : null;
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", "\\": "\\" };

export function stopTexts(text: string, before: readonly string[] = []): string[] {
  if (text === "") throw new InvalidArgumentError("It must have at least one character.");
  return [...before, text.replace(/\\([ntr\\])/g, (_, letter: string) => ESCAPES[letter])];
}

function checkedSize(text: string): string {
  parseMemorySize(text, "kvMemory");
  return text;
}
