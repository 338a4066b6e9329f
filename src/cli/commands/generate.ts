/** `lastrow generate`: continues a prompt, and streams the text as it comes. */
import { dirname } from "node:path";
import type { Sequence } from "../../client/sequence.js";
import type { Prompt } from "../../library/generate-options.js";
import type { LanguageModel } from "../../library/language-model.js";
import type { GenerationResult, Mode } from "../../protocol/generation-request.js";
import type { GeneratedLogprobs } from "../../sampling/logprobs.js";
import { requestedStop } from "../exit.js";
import { formatCount, formatDuration, formatProbability } from "../format.js";
import { type Json, toJson } from "../json.js";
import { loadModel } from "../model.js";
import {
  type ContinuationOptions,
  type EngineOptions,
  type OutputOptions,
  type PromptOptions,
  type SamplingOptions,
  samplingFor,
} from "../options.js";
import { bar, spinner } from "../progress.js";
import { choosePrompt } from "../prompt.js";
import { ShownPieces } from "../streamed-text.js";
import { type StructureCommandOptions, structureFor } from "../structure.js";
import { expectFolder } from "../svg-file.js";
import { renderTable } from "../table.js";
import { coloursFor, type Io, storyWrap, textFor, write } from "../terminal.js";
import { tokenLabel } from "../token-label.js";

export interface GenerateCommandOptions
  extends EngineOptions,
    PromptOptions,
    SamplingOptions,
    ContinuationOptions,
    StructureCommandOptions,
    OutputOptions {
  readonly logprobs?: number | undefined;
  readonly mode?: Mode | undefined;
  readonly quiet?: boolean | undefined;
  /** File that the whole sequence is saved to in the end. */
  readonly save?: string | undefined;
  /** File of a saved sequence that the prompt is added to. */
  readonly restore?: string | undefined;
}

/** @returns the exit code */
export async function generate(
  argument: string | undefined,
  options: GenerateCommandOptions,
  io: Io,
): Promise<number> {
  const sampling = samplingFor(options);
  const structure = await structureFor(options);
  if (options.save !== undefined) {
    await expectFolder(dirname(options.save), "The sequence", { makes: false });
  }
  const added = await choosePrompt(argument, options, "standard input", io);
  await using model = await loadModel(options, io);
  // Held to the end: its blocks stay findable.
  await using restored = options.restore === undefined ? null : await restoreWith(model, added, options, io);
  const prompt = restored === null ? added : restored.tokens;
  const mode = options.mode ?? "cached";
  const { n, bestOf, numBeams, lengthPenalty, earlyStopping, speculate } = options;
  const generation = model.generate(prompt, {
    ...sampling,
    ...structure,
    n,
    bestOf,
    numBeams,
    lengthPenalty,
    earlyStopping,
    speculate,
    mode,
    parseSpecial: options.parseSpecial,
    signal: io.signal,
  });

  const json = options.json === true;
  const isMultiple = n !== undefined && n > 1;
  const pieces = new ShownPieces(model);
  const colours = coloursFor(io.stdout, io.env);
  const wrap = storyWrap(io.stdout);
  const show = (text: string, style?: (text: string) => string) =>
    write(io, wrap === null ? text : wrap.push(textFor(io, text), style));
  // The text itself is the progress; an object comes at the end, and there is a measure when the length is known.
  const progress = json && options.maxTokens !== undefined ? bar(io, "generating", "tokens") : null;
  let stopWaiting = spinner(io, json ? "generating" : "reading the prompt");
  let generated = 0;
  let isMidLine = false;
  try {
    for await (const piece of generation) {
      if (!json || progress !== null) {
        stopWaiting();
        stopWaiting = () => undefined;
      }
      generated += piece.tokens.length;
      progress?.update(generated, options.maxTokens ?? generated);
      // Several continuations come mixed: they are shown in the end, one after another, an empty line between them.
      if (json || isMultiple) continue;
      // On a screen the text is read from its beginning; a pipe gets what was generated.
      if (!isMidLine && wrap !== null) await show(pieces.prompt(prompt), colours.bold);
      isMidLine = true;
      await show(pieces.show(piece));
    }
  } catch (error) {
    if (isMidLine) await write(io, `${wrap?.flush() ?? ""}\n`);
    throw error;
  } finally {
    stopWaiting();
    progress?.stop();
  }
  const result = await generation.result();
  if (json) {
    await write(io, `${toJson(resultObject(model, mode, result))}\n`);
    await saveWhole(model, prompt, result, options);
    return 0;
  }
  if (isMultiple) {
    for (const [i, choice] of result.choices.entries()) {
      if (i > 0) await show("\n\n");
      if (wrap !== null) await show(pieces.prompt(prompt), colours.bold);
      await show(pieces.show(choice));
    }
  }
  await write(io, `${wrap?.flush() ?? ""}\n`);
  if (requestedStop(io.signal) !== null) return 1;
  await saveWhole(model, prompt, result, options);
  if (result.logprobs !== undefined) await write(io, `\n${logprobsTable(model, result.logprobs, io)}\n`);
  if (options.quiet !== true && io.stderr.isTTY === true) {
    io.stderr.write(`${coloursFor(io.stderr, io.env).dim(summary(result))}\n`);
  }
  return 0;
}

/** Does what `--save` asks for: keeps the prompt and its first continuation. What was shown is not lost when it fails. */
async function saveWhole(
  model: LanguageModel,
  prompt: Prompt,
  { tokens }: GenerationResult,
  { save, parseSpecial }: GenerateCommandOptions,
): Promise<void> {
  if (save === undefined) return;
  await using whole = await model.sequence([...model.promptTokens(prompt, { parseSpecial }), ...tokens]);
  await whole.save(save);
}

/** The sequence of `--restore`, with the prompt behind it. */
async function restoreWith(
  model: LanguageModel,
  added: Prompt,
  { restore = "", parseSpecial }: GenerateCommandOptions,
  io: Io,
): Promise<Sequence> {
  const sequence = await model.restore(restore, { parseSpecial, signal: io.signal });
  if (added.length > 0) await sequence.append(added);
  return sequence;
}

function resultObject({ info }: LanguageModel, mode: Mode, result: GenerationResult): Json {
  const { loadMs, prefillMs, decodeMs } = result.timings;
  return {
    model: info.label,
    mode,
    kernels: info.kernels,
    text: result.text,
    promptTokens: result.promptTokens,
    tokens: result.tokens,
    ...(result.logprobs !== undefined && {
      logprobs: result.logprobs.map(({ token, logprob, top }) => ({
        token,
        logprob,
        top: top.map((alternative) => ({ token: alternative.token, logprob: alternative.logprob })),
      })),
    }),
    finishReason: result.finishReason,
    ...(result.choices.length > 1 && {
      choices: result.choices.map(({ text, tokens, finishReason, score }) => ({
        text,
        tokens,
        finishReason,
        score,
      })),
    }),
    numCachedTokens: result.numCachedTokens,
    seed: result.seed,
    inferences: result.inferences,
    passes: result.passes,
    proposed: result.proposed,
    accepted: result.accepted,
    rowsComputed: result.rowsComputed,
    timings: { loadMs, prefillMs, decodeMs },
    kv: { bytes: info.kv.bytes, blocks: info.kv.blocks, blockSize: info.kv.blockSize },
  };
}

/** `64 tokens · 512 tokens/s · prompt of 5 in 4.2 ms · 12 of 20 proposals accepted · length · seed 7` */
function summary({
  choices,
  promptTokens,
  inferences,
  proposed,
  accepted,
  timings,
  finishReason,
  seed,
}: GenerationResult): string {
  const count = choices.reduce((sum, { tokens }) => sum + tokens.length, 0);
  // The first token of each comes out of the prompt.
  const decoded = choices.length === 1 ? inferences - 1 : count - choices.length;
  return [
    `${formatCount(count)} ${count === 1 ? "token" : "tokens"}`,
    ...(decoded > 0 && timings.decodeMs > 0
      ? [`${formatCount(Math.round((decoded / timings.decodeMs) * 1000))} tokens/s`]
      : []),
    `prompt of ${promptTokens} in ${formatDuration(timings.prefillMs)}`,
    ...(proposed > 0 ? [`${formatCount(accepted)} of ${formatCount(proposed)} proposals accepted`] : []),
    finishReason,
    `seed ${seed}`,
  ].join(" · ");
}

function logprobsTable({ tokenizer }: LanguageModel, entries: readonly GeneratedLogprobs[], io: Io): string {
  const withTop = entries.some(({ top }) => top.length > 0);
  const rows = entries.map(({ token, logprob, top }) => {
    const alternatives = top.map(
      (other) => `${tokenLabel(tokenizer, other.token)} ${formatProbability(Math.exp(other.logprob))}`,
    );
    return [
      tokenLabel(tokenizer, token),
      formatProbability(Math.exp(logprob)),
      logprob.toFixed(4),
      ...(withTop ? [alternatives.join("  ")] : []),
    ];
  });
  return renderTable(coloursFor(io.stdout, io.env), {
    head: ["token", "probability", "logprob", ...(withTop ? ["likeliest"] : [])],
    rows,
    rightAligned: [1, 2],
  });
}
