/** `lastrow chat`: a conversation, a line of standard input for each message. */
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { LastrowError } from "../../errors.js";
import type { Conversation } from "../../library/conversation.js";
import { requestedStop } from "../exit.js";
import { loadModel } from "../model.js";
import { type EngineOptions, type SamplingOptions, samplingFor } from "../options.js";
import { coloursFor, type Io, textFor, write } from "../terminal.js";

export interface ChatCommandOptions extends EngineOptions, SamplingOptions {
  readonly system?: string | undefined;
  readonly chatTemplate?: string | undefined;
  readonly templateVariables?: Readonly<Record<string, unknown>> | undefined;
}

/** Lines that are for the command and not for the model. */
const HELP = [
  "/reset  begin a new conversation",
  "/help   show this",
  "/exit   end; /quit and ctrl-D, too",
].join("\n");

/** @returns the exit code */
export async function chat(options: ChatCommandOptions, io: Io): Promise<number> {
  const sampling = samplingFor(options);
  const template = options.chatTemplate === undefined ? undefined : await readTemplate(options.chatTemplate);
  await using model = await loadModel(options, io);
  const begin = () =>
    model.chat(options.system === undefined ? [] : [{ role: "system", content: options.system }], {
      template,
      templateVariables: options.templateVariables,
    });
  let conversation = await begin();
  const { stdin, stdout, stderr, env } = io;
  const isTerminal = stdin.isTTY === true && stdout.isTTY === true;
  const colours = coloursFor(stdout, env);
  if (isTerminal) {
    stderr.write(
      coloursFor(stderr, env).dim(`${model.info.label} · /help lists what there is, /exit ends\n`),
    );
  }
  const lines = createInterface({
    input: stdin,
    ...(isTerminal && { output: stdout, prompt: colours.bold("> ") }),
    signal: io.signal,
  });
  try {
    if (isTerminal) lines.prompt();
    for await (const line of lines) {
      const word = line.trim();
      if (word === "/exit" || word === "/quit") return 0;
      if (word === "/help") await write(io, `${HELP}\n`);
      else if (word === "/reset") {
        await conversation.dispose();
        conversation = await begin();
      } else if (line.trim() !== "") {
        await answer(conversation, line, { ...sampling, signal: io.signal }, io);
      }
      if (requestedStop(io.signal) !== null) break;
      if (isTerminal) lines.prompt();
    }
  } finally {
    lines.close();
    await conversation.dispose();
  }
  if (isTerminal) await write(io, "\n");
  return 0;
}

/** Streams one answer. What no longer fits the context is forgotten from the beginning on, and said so. */
async function answer(
  conversation: Conversation,
  message: string,
  options: Parameters<Conversation["reply"]>[1],
  io: Io,
): Promise<void> {
  for (;;) {
    try {
      for await (const { text } of conversation.reply(message, options)) await write(io, textFor(io, text));
      await write(io, "\n");
      return;
    } catch (error) {
      const isTooLong = error instanceof LastrowError && error.code === "context_length_exceeded";
      if (!isTooLong || !conversation.forgetOldest()) throw error;
      io.stderr.write(
        coloursFor(io.stderr, io.env).dim("The context is full; the oldest message is forgotten.\n"),
      );
    }
  }
}

async function readTemplate(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new LastrowError(
      "invalid_argument",
      `--chat-template: ${path} cannot be read: ${(cause as Error).message}.`,
      { cause },
    );
  }
}
