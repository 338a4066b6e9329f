/**
 * What the commands read from and write to, and how text gets there: colours only where a terminal shows them, control
 * characters harmless on a terminal, and no more in memory than the reader on the other side takes.
 */
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import picocolors from "picocolors";
import { printable } from "../printable.js";

/** An output stream, which is a terminal or is not. */
export interface Output extends Writable {
  readonly isTTY?: boolean | undefined;
  /** Width of the terminal in characters. */
  readonly columns?: number | undefined;
}

/** The world of a command: handed in, so that tests can hand in another. */
export interface Io {
  readonly stdin: Readable & { readonly isTTY?: boolean | undefined };
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted, with a `Stop` as its reason, when the command has to end early. */
  readonly signal: AbortSignal;
}

export type Colours = ReturnType<typeof picocolors.createColors>;

/** Colours for a stream: NO_COLOR turns them off, FORCE_COLOR on; otherwise a terminal has them and a pipe has not. */
export function coloursFor(stream: Output, env: Io["env"]): Colours {
  const forced = Boolean(env.FORCE_COLOR) && env.FORCE_COLOR !== "0";
  const capable = stream.isTTY === true && env.TERM !== "dumb";
  return picocolors.createColors(!env.NO_COLOR && (forced || capable));
}

/** Characters in a line of the stream; 80 where that is unknown. */
export function columnsOf(stream: Output): number {
  return stream.isTTY === true && stream.columns ? stream.columns : 80;
}

/** Characters that a line may have: those of the terminal; in a pipe or a file nothing is broken or left out, so as many as there are. */
export function lineRoomOf(stream: Output): number {
  return stream.isTTY === true ? columnsOf(stream) : Number.POSITIVE_INFINITY;
}

/** Writes to standard output, and waits while its reader is slow, but no longer than until the command has to end. */
export async function write({ stdout, signal }: Io, text: string): Promise<void> {
  if (stdout.destroyed || stdout.write(text) || signal.aborted) return;
  try {
    await once(stdout, "drain", { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** A dim line on standard error: what a person should know beside what was asked for. */
export function tellAside({ stderr, env }: Pick<Io, "stderr" | "env">, line: string): void {
  stderr.write(`${coloursFor(stderr, env).dim(wrapText(line, columnsOf(stderr)))}\n`);
}

/** Resolves when all that was written to standard output has left this process, or cannot. */
export function flush({ stdout }: Io): Promise<void> {
  return new Promise((resolve) => {
    if (stdout.destroyed || stdout.writableEnded) resolve();
    else stdout.write("", () => resolve());
  });
}

/**
 * A model's text as it goes to standard output: as it is into a pipe or a file; on a terminal, control characters
 * other than newline and tab are shown instead of obeyed.
 */
export function textFor({ stdout }: Pick<Io, "stdout">, text: string): string {
  return stdout.isTTY === true ? printable(text) : text;
}

/** Longest line of a story, where the terminal is wider. */
const WIDEST = 100;

/** How a story is broken into lines: on a screen its words stay whole; a pipe gets it as it is, so null. */
export function storyWrap(stream: Output): WordWrap | null {
  return stream.isTTY === true ? new WordWrap(Math.min(columnsOf(stream), WIDEST)) : null;
}

/** Characters that take two columns and are words of their own: those of Chinese, Japanese and Korean, and emoji. */
const WIDE =
  /([\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation})/u;

/** Breaks a text into lines of so many characters. */
export function wrapText(text: string, width: number): string {
  const wrap = new WordWrap(width);
  return wrap.push(text) + wrap.flush();
}

/** Items with dots between them, in as many lines as the width asks for. */
export function joinedLines(items: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const item of items) {
    const longer = `${lines.at(-1)} · ${item}`;
    if (lines.length > 0 && longer.length <= width) lines[lines.length - 1] = longer;
    else lines.push(item);
  }
  return lines;
}

/** Breaks streamed text into lines at spaces and wide characters, each word held back until it is complete. */
export class WordWrap {
  readonly #width: number;
  #column = 0;
  /** White space that goes before the word, unless the line ends there. */
  #gap = "";
  #word = "";
  #wordWidth = 0;

  /** @param width characters in a line */
  constructor(width: number) {
    this.#width = width;
  }

  /** Takes more text and gives back what can be shown. `style` colours it. */
  push(text: string, style: (text: string) => string = String): string {
    let shown = "";
    for (const part of text.split(/(\s)/)) {
      if (part === "\n") {
        shown += `${this.flush()}\n`;
        this.#column = 0;
        this.#gap = "";
      } else if (/^\s$/.test(part)) {
        if (this.#word !== "") shown += this.flush();
        this.#gap += part;
      } else {
        for (const [i, piece] of part.split(WIDE).entries()) {
          const isWide = i % 2 === 1;
          // Such a text has no spaces: held back for one, it would all come at once.
          if (isWide) shown += this.flush();
          if (piece !== "") this.#word += style(piece);
          this.#wordWidth += isWide ? 2 : [...stripVTControlCharacters(piece)].length;
          if (isWide) shown += this.flush();
        }
      }
    }
    return shown;
  }

  /** The word that was held back. */
  flush(): string {
    if (this.#word === "") return "";
    const breaks = this.#column > 0 && this.#column + this.#gap.length + this.#wordWidth > this.#width;
    const before = breaks ? "\n" : this.#gap;
    const shown = before + this.#word;
    this.#column = (breaks ? 0 : this.#column + this.#gap.length) + this.#wordWidth;
    this.#gap = "";
    this.#word = "";
    this.#wordWidth = 0;
    return shown;
  }
}
