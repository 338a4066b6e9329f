/**
 * What is said in a chat, message by message, from a terminal or a pipe. On a terminal Node's line editor has the line, its
 * history and ctrl-C; while an answer is shown what is typed is taken, and not shown until it is the user's turn. Several
 * lines are one message where each but the last ends with a backslash, between lines of """, and when they are pasted at once.
 *
 * Owns the line editor and the lines that wait; `close` gives the terminal back as it was.
 */
import { createInterface, type Interface } from "node:readline";
import { Writable } from "node:stream";
import { coloursFor, type Io } from "../terminal.js";

/** A fence, as ollama has it. */
const FENCE = '"""';
/** A terminal that has pasted text between markers of its own. */
const PASTE_ON = "\u001b[?2004h";
const PASTE_OFF = "\u001b[?2004l";

export interface ChatMessageText {
  readonly text: string;
  /** It came as it is, and so is no command: from between fences, or of several lines. */
  readonly isQuoted: boolean;
}

/** A line as it came. */
interface Line {
  readonly text: string;
  /** It was shown while it was typed. */
  readonly wasShown: boolean;
  /** More of what was pasted follows. */
  readonly isPasted: boolean;
}

export interface ChatInputOptions {
  /** Both sides are a terminal. */
  readonly isTerminal: boolean;
  /** Words that the tabulator completes. */
  readonly words: readonly string[];
  /** Ctrl-C on a terminal. */
  readonly onInterrupt: () => void;
}

export class ChatInput {
  readonly #io: Io;
  readonly #isTerminal: boolean;
  readonly #editor: Interface;
  /** The terminal, as the line editor sees it: nothing is shown while an answer is. */
  readonly #screen: Writable;
  readonly #prompts: { readonly first: string; readonly next: string };
  /** Lines that have not been asked for yet. */
  readonly #waiting: Line[] = [];
  #onLine: ((line: Line | null) => void) | null = null;
  /** Lines of a message that goes on. */
  #begun: string[] = [];
  #isFenced = false;
  #isPasting = false;
  #isShown = true;
  #hasEnded = false;
  #isClosed = false;

  constructor(io: Io, { isTerminal, words, onInterrupt }: ChatInputOptions) {
    const { stdin, stdout, signal, env } = io;
    const colours = coloursFor(stdout, env);
    this.#io = io;
    this.#screen = new Writable({
      decodeStrings: false,
      write: (chunk, _, done) => {
        if (this.#isShown) stdout.write(chunk);
        done();
      },
    });
    Object.defineProperty(this.#screen, "columns", { get: () => stdout.columns });
    this.#isTerminal = isTerminal;
    this.#prompts = { first: colours.bold("> "), next: colours.dim(". ") };
    this.#editor = createInterface({
      input: stdin,
      signal,
      ...(isTerminal && {
        output: this.#screen,
        terminal: true,
        historySize: 1000,
        removeHistoryDuplicates: true,
        completer: (line: string) => [words.filter((word) => line !== "" && word.startsWith(line)), line],
      }),
    });
    this.#editor.on("line", (line) => this.#take(line));
    this.#editor.on("close", () => {
      this.#hasEnded = true;
      this.#onLine?.(null);
    });
    if (!isTerminal) return;
    this.#editor.on("SIGINT", onInterrupt);
    if (env.TERM !== "dumb") stdout.write(PASTE_ON);
    stdin.on("keypress", this.#onKey);
    stdout.on("resize", this.#onResize);
  }

  /** The next message; null when there is none any more. Empty lines are none. */
  async next(): Promise<ChatMessageText | null> {
    this.#begun = [];
    this.#isFenced = false;
    for (;;) {
      const line = await this.#nextLine();
      if (line === null) {
        // The end of a pipe ends what goes on, too; a person who leaves does not send it.
        if (this.#isTerminal) return null;
        const text = this.#begun.join("\n");
        this.#begun = [];
        return text.trim() === "" ? null : { text, isQuoted: true };
      }
      const message = this.#add(line);
      if (message !== null) return message;
    }
  }

  /** Forgets what is on the line, and the lines before it that belong to it. @returns false when there is nothing */
  clear(): boolean {
    const isAny = this.#editor.line !== "" || this.#begun.length > 0 || this.#isFenced;
    if (!isAny) return false;
    this.#begun = [];
    this.#isFenced = false;
    this.#editor.write(null, { ctrl: true, name: "e" });
    this.#editor.write(null, { ctrl: true, name: "u" });
    this.#io.stdout.write("\n");
    this.#prompt();
    return true;
  }

  /** Shows the line again, below what was written meanwhile. */
  showAgain(): void {
    this.#prompt();
  }

  /** Calling it twice is fine. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { stdin, stdout, env } = this.#io;
    stdin.off("keypress", this.#onKey);
    stdout.off("resize", this.#onResize);
    if (this.#isTerminal && env.TERM !== "dumb") stdout.write(PASTE_OFF);
    this.#editor.close();
  }

  /** @returns the message, when it is complete */
  #add({ text: line, isPasted }: Line): ChatMessageText | null {
    const begun = this.#begun;
    const trimmed = line.trim();
    if (this.#isFenced) {
      begun.push(trimmed.endsWith(FENCE) ? line.trimEnd().slice(0, -FENCE.length) : line);
      return trimmed.endsWith(FENCE) ? this.#quoted() : null;
    }
    if (begun.length === 0 && trimmed.startsWith(FENCE)) {
      const first = line.trimStart().slice(FENCE.length);
      const isWhole = trimmed.length >= 2 * FENCE.length && trimmed.endsWith(FENCE);
      begun.push(isWhole ? first.trimEnd().slice(0, -FENCE.length) : first);
      this.#isFenced = !isWhole;
      return isWhole ? this.#quoted() : null;
    }
    if (isPasted || line.endsWith("\\")) {
      begun.push(isPasted ? line : line.slice(0, -1));
      return null;
    }
    if (begun.length > 0) {
      begun.push(line);
      return this.#quoted();
    }
    return trimmed === "" ? null : { text: line, isQuoted: false };
  }

  #quoted(): ChatMessageText | null {
    // Lines that only hold a fence are none of the message's.
    const lines = this.#begun;
    if (this.#isFenced && lines.length > 1 && lines.at(-1)?.trim() === "") lines.pop();
    if (this.#isFenced && lines.length > 1 && lines[0].trim() === "") lines.shift();
    this.#begun = [];
    this.#isFenced = false;
    const text = lines.join("\n");
    return text.trim() === "" ? null : { text, isQuoted: true };
  }

  async #nextLine(): Promise<Line | null> {
    const early = this.#waiting.shift();
    if (early !== undefined) {
      if (!early.wasShown) this.#io.stdout.write(`${this.#promptNow}${early.text}\n`);
      return early;
    }
    if (this.#hasEnded) return null;
    if (this.#isTerminal) this.#prompt();
    else this.#editor.resume();
    return new Promise((resolve) => {
      this.#onLine = resolve;
    });
  }

  #take(text: string): void {
    const line = { text, wasShown: !this.#isTerminal || this.#isShown, isPasted: this.#isPasting };
    const onLine = this.#onLine;
    this.#onLine = null;
    if (onLine === null) this.#waiting.push(line);
    else onLine(line);
    if (!this.#isPasting) this.#isShown = false;
    // A pipe may hold more than memory does.
    if (!this.#isTerminal) this.#editor.pause();
  }

  #prompt(): void {
    this.#isShown = true;
    this.#editor.setPrompt(this.#promptNow);
    this.#editor.prompt(true);
  }

  get #promptNow(): string {
    return this.#begun.length > 0 || this.#isFenced ? this.#prompts.next : this.#prompts.first;
  }

  readonly #onKey = (_: unknown, key: { readonly name?: string } | undefined): void => {
    if (key?.name === "paste-start") this.#isPasting = true;
    if (key?.name === "paste-end") this.#isPasting = false;
  };

  readonly #onResize = (): void => {
    this.#screen.emit("resize");
  };
}
