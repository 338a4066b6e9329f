/** A command at a terminal that a test types at. */
import { PassThrough } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { expect, vi } from "vitest";
import { runCli } from "../../src/cli/program.js";
import { type CapturedOptions, capturedIo } from "./captured-io.js";

export class TypedTerminal {
  readonly #io: ReturnType<typeof capturedIo>;
  readonly #stdin = Object.assign(new PassThrough(), { isTTY: true });
  readonly exitCode: Promise<number>;
  #seen = 0;

  constructor(args: readonly string[], options: CapturedOptions = {}) {
    const io = capturedIo({ isTerminal: true, ...options });
    this.#io = { ...io, stdin: this.#stdin, stderr: io.stdout };
    this.exitCode = runCli(args, this.#io);
  }

  /** What has been shown since the last look, without colours. */
  get shown(): string {
    return stripVTControlCharacters(this.raw).slice(this.#seen);
  }

  /** All that was written. */
  get raw(): string {
    return this.#io.stdout.text;
  }

  type(keys: string): void {
    this.#stdin.write(keys);
  }

  /**
   * Types as soon as all that was written has it, however little time there is for that: an answer may end before a test has looked
   * again.
   */
  typeAt(pattern: RegExp, keys: string): void {
    const { stdout } = this.#io;
    const before = stdout.onText;
    let isTyped = false;
    stdout.onText = () => {
      before();
      if (isTyped || !pattern.test(stripVTControlCharacters(this.raw))) return;
      isTyped = true;
      process.nextTick(() => this.type(keys));
    };
  }

  /** Waits until it is shown. @returns what has been shown up to its end */
  async until(pattern: RegExp): Promise<string> {
    await vi.waitFor(() => expect(this.shown).toMatch(pattern), { timeout: 30_000, interval: 5 });
    const { shown } = this;
    const found = pattern.exec(shown)!;
    const end = found.index + found[0].length;
    this.#seen += end;
    return shown.slice(0, end);
  }

  /** Says something, and waits for the answer to have ended. */
  async say(line: string): Promise<string> {
    this.type(`${line}\r`);
    return this.until(/prompt\s+tokens\s+from[^>]*> $/);
  }

  async begin(): Promise<this> {
    await this.until(/ends\s*> $/);
    return this;
  }

  /** Ctrl-D. */
  async end(): Promise<number> {
    this.type("\x04");
    return this.exitCode;
  }
}
