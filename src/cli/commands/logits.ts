/** `lastrow logits`: what the model expects after a prompt; a table of the likeliest tokens, or every logit as JSON. */
import type { LanguageModel } from "../../library/language-model.js";
import { logNormalizer, logSoftmaxAt, topLogprobs } from "../../sampling/logprobs.js";
import { formatProbability } from "../format.js";
import { toJson } from "../json.js";
import { loadModel } from "../model.js";
import type { EngineOptions, OutputOptions, PromptOptions } from "../options.js";
import { bar, spinner } from "../progress.js";
import { choosePrompt } from "../prompt.js";
import { narrowedTable } from "../table.js";
import { coloursFor, type Io, lineRoomOf, write } from "../terminal.js";
import { tokenLabel } from "../token-label.js";

export interface LogitsCommandOptions extends EngineOptions, PromptOptions, OutputOptions {
  readonly top?: number | undefined;
  readonly all?: boolean | undefined;
}

const DEFAULT_TOP = 10;
/** Characters of the longest bar. */
const BAR_LENGTH = 24;

/** @returns the exit code */
export async function logits(
  argument: string | undefined,
  options: LogitsCommandOptions,
  io: Io,
): Promise<number> {
  const prompt = await choosePrompt(argument, options, "standard input", io);
  await using model = await loadModel(options, io);
  const tokens = model.promptTokens(prompt, { parseSpecial: options.parseSpecial });
  if (options.all === true) {
    if (options.json === true) await writeAllRows(model, tokens, io);
    else await write(io, `${await allRowsTable(model, tokens, io)}\n`);
    return 0;
  }
  const row = await lastRow(model, tokens, io);
  if (options.json === true) {
    await write(io, `${toJson({ tokens, rows: [{ position: tokens.length - 1, logits: row }] })}\n`);
  } else {
    await write(io, `${likeliestTable(model, row, options.top ?? DEFAULT_TOP, io)}\n`);
  }
  return 0;
}

async function lastRow(model: LanguageModel, tokens: readonly number[], io: Io): Promise<Float32Array> {
  const stopWaiting = spinner(io, "reading the prompt");
  try {
    return (await model.logits(tokens, { signal: io.signal })).logits;
  } finally {
    stopWaiting();
  }
}

/** Every row as it is computed, so that memory holds a few of them only. */
async function writeAllRows(model: LanguageModel, tokens: readonly number[], io: Io): Promise<void> {
  let before = `{"tokens":${toJson(tokens)},"rows":[`;
  for await (const row of rowsOf(model, tokens, io)) {
    await write(io, before + toJson({ position: row.position, logits: row.logits }));
    before = ",";
  }
  await write(io, "]}\n");
}

async function* rowsOf(model: LanguageModel, tokens: readonly number[], io: Io) {
  // Output that comes to the screen while it is computed leaves no place for a bar.
  const progress = io.stdout.isTTY === true ? null : bar(io, "computing", "rows");
  try {
    for await (const row of model.logitsRows(tokens, { signal: io.signal })) {
      progress?.update(row.position + 1, tokens.length);
      yield row;
    }
  } finally {
    progress?.stop();
  }
}

function likeliestTable(model: LanguageModel, row: Float32Array, top: number, io: Io): string {
  const colours = coloursFor(io.stdout, io.env);
  const likeliest = topLogprobs(row, top);
  const rows = likeliest.map(({ token, logprob }) => [
    tokenLabel(model.tokenizer, token),
    String(token),
    formatProbability(Math.exp(logprob)),
    colours.cyan(blockBar(Math.exp(logprob - likeliest[0].logprob), BAR_LENGTH)),
    logprob.toFixed(4),
    row[token].toFixed(4),
  ]);
  const hasText = model.tokenizer !== null;
  // Without a tokenizer a token's label is its id.
  const shown = (columns: readonly number[]) => (hasText ? columns : columns.map((column) => column - 1));
  return narrowedTable(
    colours,
    {
      head: [...(hasText ? ["token"] : []), "id", "probability", "", "logprob", "logit"],
      rows: hasText ? rows : rows.map((cells) => cells.slice(1)),
      rightAligned: shown([1, 2, 4, 5]),
    },
    { width: lineRoomOf(io.stdout), dispensable: shown([3, 5, 4]) },
  );
}

/** One line a position: the token there, what the model expects next, and what it gives to the token that follows. */
async function allRowsTable(model: LanguageModel, tokens: readonly number[], io: Io): Promise<string> {
  const rows: string[][] = [];
  for await (const { position, logits: row } of rowsOf(model, tokens, io)) {
    const normalizer = logNormalizer(row);
    const [best] = topLogprobs(row, 1, normalizer);
    const next = tokens.at(position + 1);
    rows.push([
      String(position),
      tokenLabel(model.tokenizer, tokens[position]),
      tokenLabel(model.tokenizer, best.token),
      formatProbability(Math.exp(best.logprob)),
      next === undefined ? "" : formatProbability(Math.exp(logSoftmaxAt(row, next, normalizer))),
    ]);
  }
  return narrowedTable(
    coloursFor(io.stdout, io.env),
    {
      head: ["position", "token", "likeliest next", "probability", "of the actual next"],
      rows,
      rightAligned: [0, 3, 4],
    },
    { width: lineRoomOf(io.stdout), dispensable: [4, 3, 0] },
  );
}

const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** A bar of `share` (0 … 1) times `length` characters, to an eighth of one. */
export function blockBar(share: number, length: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * length * 8);
  return "█".repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8];
}
