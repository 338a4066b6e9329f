/** `lastrow perplexity`: how well a model predicts the text of a file. */
import { createReadStream } from "node:fs";
import { LastrowError } from "../../errors.js";
import type { PerplexityResult } from "../../library/perplexity.js";
import { printable } from "../../printable.js";
import { formatCount } from "../format.js";
import { toJson } from "../json.js";
import { loadModel } from "../model.js";
import type { EngineOptions, OutputOptions } from "../options.js";
import { bar } from "../progress.js";
import { type Colours, coloursFor, type Io, joinedLines, lineRoomOf, write } from "../terminal.js";
import { readText } from "../text-input.js";

export interface PerplexityCommandOptions extends EngineOptions, OutputOptions {
  readonly stride?: number | undefined;
}

/** @returns the exit code */
export async function perplexity(
  file: string | undefined,
  options: PerplexityCommandOptions,
  io: Io,
): Promise<number> {
  const text = await readInput(file, io);
  await using model = await loadModel(options, io);
  const progress = bar(io, "scoring", "tokens");
  let result: PerplexityResult;
  try {
    const { stride } = options;
    result = await model.perplexity(text, { stride, onProgress: progress.update, signal: io.signal });
  } finally {
    progress.stop();
  }
  await write(
    io,
    options.json === true
      ? `${toJson({ ...result })}\n`
      : render(result, [printable(model.info.label), `${model.info.dtype} weights`], {
          colours: coloursFor(io.stdout, io.env),
          room: lineRoomOf(io.stdout),
        }),
  );
  return 0;
}

async function readInput(file: string | undefined, io: Io): Promise<string> {
  if (file !== undefined && file !== "-") return readText(createReadStream(file), file, io);
  if (file === undefined && io.stdin.isTTY === true) {
    throw new LastrowError("invalid_argument", "Give a file of text, or pipe one in.");
  }
  return readText(io.stdin, "Standard input", io);
}

function render(
  { perplexity, tokens, nllMean }: PerplexityResult,
  label: readonly string[],
  { colours: { bold, dim }, room }: { readonly colours: Colours; readonly room: number },
): string {
  const facts = [`${formatCount(tokens)} tokens scored`, `${nllMean.toFixed(4)} nats a token`, ...label];
  return `perplexity ${bold(perplexity.toPrecision(5))}\n${joinedLines(facts, room).map(dim).join("\n")}\n`;
}
