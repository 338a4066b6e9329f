/** `lastrow embed`: vectors of the lines of a text, a line of JSON for each. */
import { createReadStream } from "node:fs";
import { LastrowError } from "../../errors.js";
import type { Pooling } from "../../formats/embedding-types.js";
import { loadModel } from "../model.js";
import type { EngineOptions } from "../options.js";
import { type Io, write } from "../terminal.js";
import { readText } from "../text-input.js";

export interface EmbedCommandOptions extends EngineOptions {
  readonly dimensions?: number | undefined;
  readonly pooling?: Pooling | undefined;
  readonly prompt?: string | undefined;
  readonly promptName?: string | undefined;
}

/** Lines that are embedded together: what was made of them is written before the next ones. */
const LINES = 256;

/** @returns the exit code */
export async function embed(file: string | undefined, options: EmbedCommandOptions, io: Io): Promise<number> {
  const lines = (await readInput(file, io)).split(/\r?\n/);
  // The end of the last line begins no other.
  if (lines.at(-1) === "") lines.pop();
  await using model = await loadModel(options, io);
  const { dimensions, pooling, prompt, promptName } = options;
  const asked = { dimensions, pooling, prompt, promptName, signal: io.signal };
  // What is wrong with the options is wrong without a line, too.
  await model.embed([], asked);
  for (let from = 0; from < lines.length; from += LINES) {
    const texts = lines.slice(from, from + LINES);
    const { embeddings } = await model.embed(texts, asked).catch((error) => {
      throw ofLine(error, from);
    });
    const rows = embeddings.map((embedding, i) =>
      JSON.stringify({ text: texts[i], embedding: [...embedding] }),
    );
    await write(io, `${rows.join("\n")}\n`);
  }
  return 0;
}

/** Says which line of all is too long, counted from 1. */
function ofLine(error: unknown, from: number): unknown {
  if (!(error instanceof LastrowError)) return error;
  const message = error.message.replace(/^Text (\d+):/, (_, i) => `Line ${from + Number(i) + 1}:`);
  return new LastrowError(error.code, message, { cause: error });
}

async function readInput(file: string | undefined, io: Io): Promise<string> {
  if (file !== undefined && file !== "-") return readText(createReadStream(file), file, io);
  if (file === undefined && io.stdin.isTTY === true) {
    throw new LastrowError("invalid_argument", "Give a file of texts, one a line, or pipe one in.");
  }
  return readText(io.stdin, "Standard input", io);
}
