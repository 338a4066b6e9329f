/** Where a prompt comes from: the argument, `--tokens`, or standard input. */
import { LastrowError } from "../errors.js";
import type { Prompt } from "../library/generate-options.js";
import type { PromptOptions } from "./options.js";
import type { Io } from "./terminal.js";
import { readText } from "./text-input.js";

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

async function readStandardInput(io: Io): Promise<string> {
  return (await readText(io.stdin, "Standard input", io)).replace(/\r?\n$/, "");
}
