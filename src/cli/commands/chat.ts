/** `lastrow chat`: a conversation, with a person at a terminal or with what comes out of a pipe. */
import { readFile } from "node:fs/promises";
import { onAbort } from "../../abort-listeners.js";
import type { ChatMessage } from "../../chat/chat-template.js";
import { isSystem } from "../../chat/oldest-turns.js";
import { LastrowError } from "../../errors.js";
import type { ChatOptions } from "../../library/chat-options.js";
import type { Conversation, ReplyOptions, ReplyResult } from "../../library/conversation.js";
import type { LanguageModel } from "../../library/language-model.js";
import { printable } from "../../printable.js";
import { AnswerDisplay } from "../chat/answer-display.js";
import { ChatInput } from "../chat/chat-input.js";
import { loadChat, saveChat } from "../chat/saved-chat.js";
import { reportFailure, requestedStop } from "../exit.js";
import { loadModel } from "../model.js";
import { type EngineOptions, type OutputOptions, type SamplingOptions, samplingFor } from "../options.js";
import { type StructureCommandOptions, structureFor } from "../structure.js";
import { type Io, tellAside, write } from "../terminal.js";

export interface ChatCommandOptions
  extends EngineOptions,
    SamplingOptions,
    StructureCommandOptions,
    OutputOptions {
  readonly system?: string | undefined;
  readonly chatTemplate?: string | undefined;
  readonly var?: Readonly<Record<string, unknown>> | undefined;
  readonly dropOldest?: boolean | undefined;
  readonly keepSystem?: boolean | undefined;
  readonly debug?: boolean | undefined;
}

/** Lines that are for the command and not for the model. */
const COMMANDS = {
  "/system": ["TEXT", 'set the system message; "" removes it, nothing shows it'],
  "/reset": ["", "begin a new conversation"],
  "/retry": ["", "answer the last message once more"],
  "/save": ["FILE", "save the conversation, and its keys and values beside it"],
  "/load": ["FILE", "go on with a saved one"],
  "/help": ["", "show this"],
  "/quit": ["", "end; /exit, /bye and ctrl-D, too"],
} as const;
/** Other words for two of them. */
const SYNONYMS: Readonly<Record<string, keyof typeof COMMANDS>> = {
  ...{ "/exit": "/quit", "/bye": "/quit", "/?": "/help" },
};

const HELP = [
  ...Object.entries(COMMANDS).map(
    ([name, [argument, text]]) => `${`${name} ${argument}`.padEnd(13)} ${text}`,
  ),
  "",
  'A line that ends with \\ goes on, and lines between """ are one message.',
  "Ctrl-C stops an answer; twice, it ends the chat.",
].join("\n");

/** Ctrl-C as a person at a terminal means it: so often in a row ends the chat. */
const INTERRUPTS_TO_END = 2;
const INTERRUPTED = 130;

/** The number of seeds. */
const NUM_SEEDS = Number.MAX_SAFE_INTEGER + 1;

/** @returns the exit code */
export async function chat(options: ChatCommandOptions, io: Io): Promise<number> {
  const sampling = { ...samplingFor(options), ...(await structureFor(options)) };
  const { system, dropOldest, keepSystem, var: templateVariables } = options;
  if (keepSystem === true && dropOldest !== true) {
    throw new LastrowError("invalid_argument", "--keep-system belongs to --drop-oldest; give it, too.");
  }
  const template = options.chatTemplate === undefined ? undefined : await readTemplate(options.chatTemplate);
  await using model = await loadModel(options, io);
  const begin: ChatOptions = { template, templateVariables, dropOldest, keepSystem };
  const first: ChatMessage[] = system === undefined ? [] : [{ role: "system", content: system }];
  await using session = new ChatSession(io, model, begin, { ...options, sampling });
  await session.begin(first);
  // Awaited here: it is disposed of behind it.
  return await session.run();
}

interface SessionOptions extends OutputOptions {
  readonly sampling: ReplyOptions;
  readonly maxTokens?: number | undefined;
  readonly debug?: boolean | undefined;
}

/** A chat under way. Owns its conversation, and what ctrl-C is for. */
class ChatSession implements AsyncDisposable {
  readonly #io: Io;
  readonly #model: LanguageModel;
  readonly #begin: ChatOptions;
  readonly #options: SessionOptions;
  readonly #isTerminal: boolean;
  #conversation: Conversation | null = null;
  /** The messages of a new conversation. */
  #first: readonly ChatMessage[] = [];
  #input: ChatInput | null = null;
  /** Stops the answer that is under way. */
  #answering: AbortController | null = null;
  #numInterrupts = 0;
  #numRetries = 0;

  constructor(io: Io, model: LanguageModel, begin: ChatOptions, options: SessionOptions) {
    this.#io = io;
    this.#model = model;
    this.#begin = begin;
    this.#options = options;
    this.#isTerminal = io.stdin.isTTY === true && io.stdout.isTTY === true && options.json !== true;
  }

  async begin(first: readonly ChatMessage[]): Promise<void> {
    this.#conversation = await this.#model.chat(first, this.#begin);
    this.#first = first;
  }

  /** @returns the exit code */
  async run(): Promise<number> {
    const words = Object.keys(COMMANDS);
    const onInterrupt = () => this.#interrupt();
    this.#tell(`${this.#model.info.label} · /help lists the commands, ctrl-D ends`);
    const input = new ChatInput(this.#io, { isTerminal: this.#isTerminal, words, onInterrupt });
    this.#input = input;
    try {
      for (;;) {
        const message = await input.next();
        if (message === null) break;
        if (this.#answering === null) this.#numInterrupts = 0;
        const command = message.isQuoted ? null : /^\/(\w+|\?)(?:\s+(.*))?$/s.exec(message.text.trim());
        if (command !== null && isQuit(command[0])) return 0;
        await this.#orTell(() =>
          command === null ? this.#answer(message.text) : this.#obey(`/${command[1]}`, command[2] ?? ""),
        );
        if (requestedStop(this.#io.signal) !== null) break;
        if (this.#numInterrupts >= INTERRUPTS_TO_END) break;
      }
    } finally {
      input.close();
    }
    if (this.#isTerminal) await write(this.#io, "\n");
    return this.#numInterrupts >= INTERRUPTS_TO_END ? INTERRUPTED : 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#conversation?.dispose();
  }

  get #now(): Conversation {
    return this.#conversation!;
  }

  /** On a terminal a failure is told, and the chat goes on; elsewhere it would not be read. */
  async #orTell(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      const isOver = !(error instanceof LastrowError) || error.code === "disposed";
      if (!this.#isTerminal || isOver || this.#io.signal.aborted) throw error;
      reportFailure(error, this.#io, this.#options.debug === true);
    }
  }

  async #obey(name: string, argument: string): Promise<void> {
    switch (SYNONYMS[name] ?? name) {
      case "/help":
        return this.#say(HELP);
      case "/reset":
        await this.#now.setMessages(this.#first);
        return this.#tell("A new conversation.");
      case "/system":
        return this.#setSystem(argument);
      case "/retry":
        return this.#retry();
      case "/save":
        return this.#save(argument);
      case "/load":
        return this.#load(argument);
    }
    throw new LastrowError(
      "invalid_argument",
      `${name} is no command; /help lists them. A message that begins with / goes between """.`,
    );
  }

  async #setSystem(argument: string): Promise<void> {
    const isOf = ({ role }: ChatMessage) => isSystem(role);
    if (argument === "") {
      const said = this.#now.messages.filter(isOf).map(({ content }) => String(content));
      return this.#say(said.length === 0 ? "There is no system message." : printable(said.join("\n")));
    }
    const system: ChatMessage[] = argument === '""' ? [] : [{ role: "system", content: argument }];
    await this.#now.setMessages([...system, ...this.#now.messages.filter((message) => !isOf(message))]);
    this.#first = system;
    this.#tell(system.length === 0 ? "No system message from here on." : "That is the system message now.");
  }

  async #retry(): Promise<void> {
    const { messages } = this.#now;
    const last = messages.findLastIndex(({ role }) => role === "user");
    if (last === -1) throw new LastrowError("invalid_argument", "Nothing was said yet.");
    await this.#now.setMessages(messages.slice(0, last));
    this.#numRetries++;
    try {
      await this.#answer(messages[last].content);
    } catch (error) {
      await this.#now.setMessages(messages);
      throw error;
    }
  }

  async #save(path: string): Promise<void> {
    const hasRows = await saveChat(named(path, "/save"), this.#now, this.#model);
    const { length } = this.#now.messages;
    this.#tell(`Saved: ${count(length)}${hasRows ? ", and their keys and values beside them" : ""}.`);
  }

  async #load(path: string): Promise<void> {
    const { messages, sequence, notice } = await loadChat(named(path, "/load"), this.#model, this.#io.signal);
    let loaded: Conversation;
    try {
      const more = sequence === null ? {} : { sequence };
      loaded = await this.#model.chat(messages, { ...this.#begin, ...more });
    } catch (error) {
      await sequence?.dispose();
      throw error;
    }
    await this.#conversation?.dispose();
    this.#conversation = loaded;
    const rows = sequence === null ? "" : `; ${sequence.length} tokens of it are in the cache`;
    this.#tell(`Loaded: ${count(messages.length)}${rows}.`);
    if (notice !== null) this.#tell(`Its keys and values are computed again: ${printable(notice)}`);
  }

  async #answer(content: ChatMessage["content"]): Promise<void> {
    const { sampling, json = false, maxTokens = null } = this.#options;
    const stop = new AbortController();
    const unlisten = onAbort(this.#io.signal, () => stop.abort());
    if (this.#io.signal.aborted) stop.abort();
    const before = this.#now.messages;
    const seed = sampling.seed === undefined ? {} : { seed: (sampling.seed + this.#numRetries) % NUM_SEEDS };
    const display = new AnswerDisplay(this.#io, { isTerminal: this.#isTerminal, json, maxTokens });
    this.#answering = stop;
    try {
      const reply = this.#now.reply(content, { ...sampling, ...seed, signal: stop.signal });
      for await (const piece of reply) await display.piece(piece);
      const result: ReplyResult = await reply.result();
      await display.end(result);
      if (result.finishReason === "abort" && result.tokens.length === 0) {
        await this.#now.setMessages(before);
        this.#tell("What was said last is forgotten.");
      }
    } catch (error) {
      await display.failed();
      throw error;
    } finally {
      this.#answering = null;
      unlisten();
    }
  }

  #interrupt(): void {
    const answering = this.#answering;
    if (answering !== null && !answering.signal.aborted) {
      answering.abort();
      this.#numInterrupts = 1;
      return;
    }
    if (answering === null && this.#input?.clear() === true) {
      this.#numInterrupts = 0;
      return;
    }
    this.#numInterrupts++;
    if (this.#numInterrupts >= INTERRUPTS_TO_END) this.#input?.close();
    else {
      this.#io.stdout.write("\n");
      this.#tell("Ctrl-C again, or ctrl-D, ends the chat.");
      this.#input?.showAgain();
    }
  }

  /** What was asked for. */
  #say(text: string): Promise<void> {
    const stream = this.#options.json === true ? this.#io.stderr : this.#io.stdout;
    if (stream === this.#io.stderr) stream.write(`${text}\n`);
    return stream === this.#io.stderr ? Promise.resolve() : write(this.#io, `${text}\n`);
  }

  /** What a person should know, on a terminal. */
  #tell(line: string): void {
    if (this.#isTerminal) tellAside(this.#io, line);
  }
}

function isQuit(text: string): boolean {
  return (SYNONYMS[text] ?? text) === "/quit";
}

function named(path: string, command: string): string {
  if (path.trim() !== "") return path.trim();
  throw new LastrowError("invalid_argument", `${command} needs a file: ${command} talk.json, say.`);
}

function count(messages: number): string {
  return messages === 1 ? "1 message" : `${messages} messages`;
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
