/** `lastrow tokenize`: text as the model sees it. Reads the tokenizer only, no weights. */
import { platform } from "#platform";
import { readModelConfig } from "../../architectures/read-config.js";
import { LastrowError } from "../../errors.js";
import { readGgufHeader } from "../../formats/gguf/gguf-header.js";
import { withRate } from "../../formats/load-progress.js";
import type { ModelFiles } from "../../formats/model-files.js";
import { printable } from "../../printable.js";
import { ggufTokenizerFiles } from "../../tokenizer/gguf-tokenizer.js";
import { loadTokenizer } from "../../tokenizer/load-tokenizer.js";
import { tokenizerOf } from "../../tokenizer/make-tokenizer.js";
import type { Tokenizer } from "../../tokenizer/tokenizer.js";
import { toJson } from "../json.js";
import type { ModelOptions, OutputOptions, PromptOptions } from "../options.js";
import { loadingDisplay } from "../progress.js";
import { choosePrompt } from "../prompt.js";
import { renderTable } from "../table.js";
import { coloursFor, type Io, write } from "../terminal.js";
import { quoted } from "../token-label.js";

export interface TokenizeCommandOptions extends ModelOptions, PromptOptions, OutputOptions {
  readonly ids?: boolean | undefined;
  /** False leaves out the tokens that the post-processor adds. */
  readonly special: boolean;
}

/** @returns the exit code */
export async function tokenize(
  argument: string | undefined,
  options: TokenizeCommandOptions,
  io: Io,
): Promise<number> {
  const prompt = await choosePrompt(argument, options, "standard input", io);
  const tokenizer = await openTokenizer(options, io);
  const ids =
    typeof prompt === "string"
      ? tokenizer.encode(prompt, { addSpecialTokens: options.special, parseSpecial: options.parseSpecial })
      : checkedIds(prompt, tokenizer);
  if (options.json === true) {
    const tokens = ids.map((id) => ({ id, text: tokenizer.tokenText(id) }));
    await write(io, `${toJson({ tokens, count: ids.length })}\n`);
  } else if (options.ids === true) {
    await write(io, `${ids.join(",")}\n`);
  } else {
    await write(io, pieceTable(tokenizer, ids, io));
  }
  return 0;
}

async function openTokenizer({ model }: ModelOptions, io: Io): Promise<Tokenizer> {
  const display = loadingDisplay(io, printable(model ?? "stories"));
  let found: { readonly tokenizer: Tokenizer; readonly notices: readonly string[] };
  try {
    const onProgress = withRate(display.onProgress);
    const files = await platform.openModel(model, { onProgress, signal: io.signal, weights: false });
    found = await (files.gguf === undefined ? folderTokenizer(files) : ggufTokenizer(files, files.gguf[0]));
  } finally {
    display.stop();
  }
  for (const notice of found.notices)
    io.stderr.write(`${coloursFor(io.stderr, io.env).dim(printable(notice))}\n`);
  return found.tokenizer;
}

async function folderTokenizer(files: ModelFiles) {
  const { vocabSize } = await readModelConfig(files);
  const tokenizer = await loadTokenizer(files, vocabSize);
  if (tokenizer !== null) return { tokenizer, notices: [] };
  throw noTokenizer(files, "tokenizer.json, or vocab.json with merges.txt");
}

/**
 * Of the first file's header alone: a vocabulary without weights will do, of whatever architecture.
 * @param name the first of the shards
 */
async function ggufTokenizer(files: ModelFiles, name: string) {
  const file = await files.open(name);
  if (file === null) throw new LastrowError("model_not_found", `${files.label} has no ${name}.`);
  try {
    const { metadata, tensors } = await readGgufHeader(file);
    const { files: read, numTokens, notice } = ggufTokenizerFiles(metadata);
    if (read === null) throw noTokenizer(files, "tokenizer.ggml.model");
    const vocabSize = tensors.get("token_embd.weight")?.shape[0] ?? numTokens;
    const notices = [...(files.notices ?? []), ...(notice === null ? [] : [notice])];
    return { tokenizer: tokenizerOf(read, vocabSize), notices };
  } finally {
    await file.close();
  }
}

function noTokenizer({ label }: ModelFiles, what: string): LastrowError {
  return new LastrowError("tokenizer_missing", `${label} has no tokenizer (${what}).`);
}

function checkedIds(ids: readonly number[], { vocabSize }: Tokenizer): readonly number[] {
  const outside = ids.find((id) => id >= vocabSize);
  if (outside === undefined) return ids;
  throw new LastrowError(
    "token_out_of_range",
    `--tokens has ${outside}; this tokenizer's ids are 0 to ${vocabSize - 1}.`,
  );
}

function pieceTable(tokenizer: Tokenizer, ids: readonly number[], io: Io): string {
  const colours = coloursFor(io.stdout, io.env);
  const count = colours.dim(`${ids.length} ${ids.length === 1 ? "token" : "tokens"}`);
  if (ids.length === 0) return `${count}\n`;
  const rows = ids.map((id, position) => {
    const text = quoted(tokenizer.tokenText(id));
    const shown = tokenizer.isSpecial(id) ? `${colours.cyan(text)} ${colours.dim("special")}` : text;
    return [String(position), String(id), shown];
  });
  const table = renderTable(colours, { head: ["position", "id", "text"], rows, rightAligned: [0, 1] });
  return `${table}\n\n${count}\n`;
}
