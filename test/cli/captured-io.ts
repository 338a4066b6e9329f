/** A command's world for tests: what is on standard input is given, what it writes is kept. */
import { clearLine, cursorTo, type Direction, moveCursor } from "node:readline";
import { Readable, Writable } from "node:stream";
import { runCli } from "../../src/cli/program.js";
import type { Io } from "../../src/cli/terminal.js";

export interface CapturedOptions {
  /** Standard input; a terminal when left out. */
  readonly stdin?: string | Uint8Array;
  /** Whether both outputs are terminals. */
  readonly isTerminal?: boolean;
  readonly columns?: number;
  readonly env?: Record<string, string>;
  readonly signal?: AbortSignal;
}

class CapturedOutput extends Writable {
  readonly isTTY: boolean;
  readonly columns: number;
  text = "";
  onText: () => void = () => undefined;

  constructor(isTTY: boolean, columns: number) {
    super({ decodeStrings: false });
    this.isTTY = isTTY;
    this.columns = columns;
  }

  /** What a terminal has beyond a stream, as `tty.WriteStream` does it. */
  cursorTo(x: number): boolean {
    return cursorTo(this, x);
  }

  moveCursor(dx: number, dy: number): boolean {
    return moveCursor(this, dx, dy);
  }

  clearLine(direction: Direction): boolean {
    return clearLine(this, direction);
  }

  override _write(chunk: string | Uint8Array, _: BufferEncoding, done: () => void): void {
    this.text += typeof chunk === "string" ? chunk : Buffer.from(chunk).toString("utf8");
    this.onText();
    done();
  }
}

export function capturedIo(
  options: CapturedOptions = {},
): Io & { stdout: CapturedOutput; stderr: CapturedOutput } {
  const {
    stdin,
    isTerminal = false,
    columns = 80,
    env = {},
    signal = new AbortController().signal,
  } = options;
  const input = Readable.from(stdin === undefined ? [] : [Buffer.from(stdin)]);
  return {
    stdin: Object.assign(input, { isTTY: stdin === undefined }),
    stdout: new CapturedOutput(isTerminal, columns),
    stderr: new CapturedOutput(isTerminal, columns),
    env,
    signal,
  };
}

/** Runs `lastrow` in this process. */
export async function run(args: readonly string[], options: CapturedOptions = {}) {
  const io = capturedIo(options);
  const exitCode = await runCli(args, io);
  return { exitCode, stdout: io.stdout.text, stderr: io.stderr.text };
}
