/** Where a prompt comes from: the argument, `--tokens`, or standard input. */
import { addAbortSignal } from "node:stream";
import { LastrowError } from "../errors.js";
import type { Prompt } from "../language-model.js";
import type { PromptOptions } from "./options.js";
import type { Io } from "./terminal.js";

/**
 * The prompt of a command. `-` as the argument means standard input; one newline at its end is not part of the prompt,
 * so that `echo text | lastrow …` is the same as `lastrow … text`.
 * @param fallback when there is neither argument nor `--tokens`: a text, or what standard input holds unless it is a
 *   terminal (then an empty prompt)
 * @throws LastrowError `invalid_argument` for an argument together with `--tokens`, and what reading throws
 */
export async function choosePrompt(
  argument: string | undefined,
  options: PromptOptions,
  fallback: { readonly text: string } | "standard input",
  io: Io,
): Promise<Prompt> {
  if (options.tokens !== undefined) {
    if (argument === undefined) return options.tokens;
    throw new LastrowError("invalid_argument", "Give a prompt or --tokens, not both.");
  }
  if (argument === "-") return readStandardInput(io);
  if (argument !== undefined) return argument;
  if (fallback !== "standard input") return fallback.text;
  return io.stdin.isTTY === true ? "" : readStandardInput(io);
}

/** Far more than any model's context. */
const MAX_BYTES = 64 * 1024 * 1024;

async function readStandardInput({ stdin, signal }: Io): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  addAbortSignal(signal, stdin);
  try {
    for await (const chunk of stdin as AsyncIterable<Uint8Array | string>) {
      const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
      chunks.push(bytes);
      size += bytes.length;
      if (size > MAX_BYTES) break;
    }
  } catch (cause) {
    if (signal.aborted) throw new LastrowError("aborted", "Reading standard input was cancelled.", { cause });
    throw new LastrowError(
      "invalid_argument",
      `Standard input cannot be read: ${(cause as Error).message}.`,
      {
        cause,
      },
    );
  }
  if (size > MAX_BYTES) {
    throw new LastrowError(
      "invalid_argument",
      `Standard input has more than ${MAX_BYTES} bytes; it is no prompt.`,
    );
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
  } catch (cause) {
    throw new LastrowError("invalid_argument", "Standard input is not valid UTF-8 text.", { cause });
  }
  return text.replace(/\r?\n$/, "");
}
