/**
 * Tokenising and rendering of chats, beside the event loop and with a deadline: a thread does one task at a time, and one
 * that overruns is ended and replaced. Owns the thread and the tasks that wait for it; one of them that is cut off never
 * takes another with it.
 */
import { Worker } from "node:worker_threads";
import type { ChatMessage } from "../chat/chat-template.js";
import type { ChatPromptOptions } from "../chat/chat-template-engine.js";
import type { TemplateAbilities } from "../chat/template-abilities.js";
import { type ErrorCode, LastrowError } from "../errors.js";
import { type Caller, FairQueue } from "../platform/fair-queue.js";
import { HEAP_MIB } from "../platform/limited-thread.js";
import { threadScript } from "../platform/package-files.js";
import { ApiError, clientGone } from "./api-error.js";
import type { ChatPrompt, TextAnswer, TextTask, TextThreadData } from "./text-messages.js";

interface Waiting {
  readonly task: TextTask;
  readonly caller: Caller;
  resolve(answer: TextAnswer): void;
  reject(error: unknown): void;
}

export interface EncodeTask {
  /** Whether the post-processor's tokens are added. Default true. */
  readonly addSpecialTokens?: boolean;
  /** Whether special tokens written in the text count as such. Default false. */
  readonly parseSpecial?: boolean;
  /** What follows the middle that is asked for; default: the text is continued. */
  readonly suffix?: string | null;
  readonly caller: Caller;
}

/** Milliseconds that a thread may take to read its tokenizer. */
const START_MS = 60_000;

const YOUNG_HEAP_MIB = 32;
/** Bytes of heap that a tokenizer takes for each of its pieces, with room to spare: 300 are measured of byte pairs. */
const HEAP_PER_PIECE = 2048;

/** The compiled thread; the sources cannot run as a thread, so tests use the build's. */
const SCRIPT = "dist/server/text-thread-main.js";

export class TextThread {
  readonly #data: TextThreadData;
  readonly #script: string;
  readonly #deadlineMs: number;
  readonly #waiting = new FairQueue<Waiting>();
  #worker: Worker | null = null;
  #isReady = false;
  #noTemplate: string | null = null;
  #abilities: TemplateAbilities | null = null;
  #current: Waiting | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isDisposed = false;
  /** The caller that waits for the very first start. */
  #onStarted: { resolve: () => void; reject: (error: unknown) => void } | null = null;

  private constructor(data: TextThreadData, deadlineMs: number, script: string) {
    this.#data = data;
    this.#script = script;
    this.#deadlineMs = deadlineMs;
  }

  /**
   * @param deadlineMs of one task
   * @throws LastrowError as `loadTokenizer`, and for a chat template that cannot be parsed; `runtime_unsupported`
   */
  static async start(data: TextThreadData, deadlineMs: number): Promise<TextThread> {
    const thread = new TextThread(data, deadlineMs, threadScript(SCRIPT));
    await new Promise<void>((resolve, reject) => {
      thread.#onStarted = { resolve, reject };
      thread.#start();
    });
    return thread;
  }

  /** MiB of heap that the thread may take. */
  get #heapMib(): number {
    const { vocab } = this.#data.tokenizer.json.model as { readonly vocab: object };
    const pieces = vocab instanceof Map ? vocab.size : Object.keys(vocab).length;
    // As much for a template and a text as a template has in the library.
    return HEAP_MIB.template + Math.ceil((pieces * HEAP_PER_PIECE) / 2 ** 20);
  }

  /** Why there is no chat template, in words that follow the model's name; null where there is one. */
  get noTemplate(): string | null {
    return this.#noTemplate;
  }

  /** What the chat template lets the model do; null without one. */
  get abilities(): TemplateAbilities | null {
    return this.#abilities;
  }

  /** Token ids of a text. @throws ApiError `text_timeout`; LastrowError as `Tokenizer.encode`, `Tokenizer.encodeInfill` */
  async encode(text: string, options: EncodeTask): Promise<number[]> {
    const { addSpecialTokens = true, parseSpecial = false, suffix = null, caller } = options;
    const task: TextTask = { kind: "encode", text, suffix, addSpecialTokens, parseSpecial };
    return tokensOf(await this.#run(task, caller));
  }

  /** @throws ApiError `text_timeout`; LastrowError as `ChatTemplate.encode` */
  async encodeChat(
    messages: readonly ChatMessage[],
    options: ChatPromptOptions,
    caller: Caller,
  ): Promise<ChatPrompt> {
    const { addGenerationPrompt = true, continueLast = false, tools = [], variables = {} } = options;
    const task: TextTask = { kind: "chat", messages, addGenerationPrompt, continueLast, tools, variables };
    const answer = await this.#run(task, caller);
    if (answer.kind === "chat-prompt") return answer.prompt;
    throw unexpected(answer);
  }

  /** Text of token ids. @throws LastrowError `token_out_of_range` */
  async decode(
    tokens: readonly number[],
    { skipSpecialTokens, caller }: { readonly skipSpecialTokens: boolean; readonly caller: Caller },
  ): Promise<string> {
    const answer = await this.#run({ kind: "decode", tokens, skipSpecialTokens }, caller);
    if (answer.kind === "text") return answer.text;
    throw unexpected(answer);
  }

  async dispose(): Promise<void> {
    this.#isDisposed = true;
    clearTimeout(this.#timer);
    const gone = new LastrowError("disposed", "The server has been shut down.");
    this.#current?.reject(gone);
    for (const { reject } of this.#waiting.clear()) reject(gone);
    await this.#worker?.terminate();
  }

  #run(task: TextTask, caller: Caller): Promise<TextAnswer> {
    if (this.#isDisposed) {
      return Promise.reject(new LastrowError("disposed", "The server has been shut down."));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.add(caller.key, { task, caller, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (!this.#isReady || this.#current !== null) return;
    let next = this.#waiting.take();
    // The client of the request has gone.
    while (next?.caller.signal.aborted) {
      next.reject(clientGone());
      next = this.#waiting.take();
    }
    if (next === null) return;
    this.#current = next;
    this.#timer = setTimeout(() => this.#overrun(), this.#deadlineMs);
    this.#worker?.postMessage(next.task);
  }

  #overrun(): void {
    const current = this.#current;
    this.#current = null;
    current?.reject(
      new ApiError(
        400,
        "text_timeout",
        `Turning this ${current.task.kind === "chat" ? "conversation" : "text"} into tokens took more than ${this.#deadlineMs / 1000} s.`,
      ),
    );
    this.#restart();
  }

  #restart(): void {
    this.#isReady = false;
    const worker = this.#worker;
    this.#worker = null;
    worker?.removeAllListeners();
    // An error that arrives while it ends concerns no caller.
    worker?.on("error", () => undefined);
    void worker?.terminate();
    if (!this.#isDisposed) this.#start();
  }

  #start(): void {
    const worker = new Worker(this.#script, {
      workerData: this.#data,
      name: "lastrow text",
      resourceLimits: { maxOldGenerationSizeMb: this.#heapMib, maxYoungGenerationSizeMb: YOUNG_HEAP_MIB },
    });
    this.#worker = worker;
    worker.unref();
    this.#timer = setTimeout(() => this.#lost(new Error("it did not start in time")), START_MS);
    this.#timer.unref?.();
    worker.on("message", (answer: TextAnswer) => this.#take(answer));
    worker.on("error", (error) => this.#lost(error));
    worker.on("exit", (code) => this.#lost(new Error(`it exited with code ${code}`)));
  }

  #take(answer: TextAnswer): void {
    clearTimeout(this.#timer);
    if (answer.kind === "ready") {
      this.#isReady = true;
      this.#noTemplate = answer.noTemplate;
      this.#abilities = answer.abilities;
      this.#onStarted?.resolve();
      this.#onStarted = null;
    } else if (this.#onStarted !== null) {
      this.#isDisposed = true;
      this.#onStarted.reject(unexpected(answer));
    } else {
      const current = this.#current;
      this.#current = null;
      current?.resolve(answer);
    }
    this.#next();
  }

  /** The thread has ended by itself: what it was at is its victim, or its reason. */
  #lost(cause: Error): void {
    if (this.#isDisposed) return;
    clearTimeout(this.#timer);
    if (this.#onStarted !== null) {
      this.#isDisposed = true;
      this.#onStarted.reject(cause);
      return;
    }
    const current = this.#current;
    this.#current = null;
    const isTemplate =
      current?.task.kind === "chat" && (cause as NodeJS.ErrnoException).code === "ERR_WORKER_OUT_OF_MEMORY";
    const error = isTemplate
      ? new ApiError(
          500,
          "chat_template_failed",
          `The chat template failed: it took more than ${HEAP_MIB.template} MiB of memory.`,
          { cause },
        )
      : new ApiError(503, "text_thread_lost", "The thread that tokenises was lost; try again.", {
          cause,
          retryAfter: 1,
        });
    current?.reject(error);
    if (!this.#isReady) {
      // It cannot start: trying again at once would go on for ever.
      for (const { reject } of this.#waiting.clear()) reject(error);
      setTimeout(() => this.#restart(), 1000).unref?.();
      return;
    }
    this.#restart();
  }
}

function tokensOf(answer: TextAnswer): number[] {
  if (answer.kind === "tokens") return answer.tokens;
  throw unexpected(answer);
}

function unexpected(answer: TextAnswer): Error {
  if (answer.kind !== "error") return new Error(`a text thread answered with ${answer.kind}`);
  const { code, message } = answer;
  return code === null ? new Error(message) : new LastrowError(code as ErrorCode, message);
}
