/**
 * The threads that share the kernels' work, as seen from TypeScript: starts the helpers, hands operations to the team,
 * and notices when a helper is gone. The team itself is assembly/team.ts.
 */
import { LastrowError } from "../../errors.js";
import { COMMAND, COMMAND_BYTES, COMMANDS, COMMANDS_AT } from "./operations.js";

/** What a helper thread is given. */
export interface HelperStart {
  readonly module: WebAssembly.Module;
  /** What the module imports as "relaxed"; null: the runtime has none of it, or the module wants none. */
  readonly relaxed: WebAssembly.Module | null;
  /** Shared. */
  readonly memory: WebAssembly.Memory;
  /** Its number in the team, from 1. */
  readonly thread: number;
}

/** A helper thread that is ready to work. */
export interface Helper {
  /** Calls back when the thread ends, for whatever reason. */
  onEnd(callback: (reason: string) => void): void;
  terminate(): Promise<void>;
}

/** Starts a helper thread; resolves when it is ready. */
export type StartHelper = (start: HelperStart) => Promise<Helper>;

/**
 * A helper's life, as text: a platform adds how its threads hear and speak, and starts it from there. So it needs no file
 * that a bundler would have to find.
 */
export const HELP = `
function help({ module, relaxed, memory, thread }, ready) {
  const env = { memory };
  const missing = () => { throw new Error("a relaxed kernel was called where there is none"); };
  const imports = relaxed === null ? new Proxy({}, { get: () => missing }) : new WebAssembly.Instance(relaxed, { env }).exports;
  const { exports } = new WebAssembly.Instance(module, { env, relaxed: imports });
  ready();
  exports.help(thread);
}
`;

/** What a module of a team offers its caller (assembly/team.ts); helpers call `help`. */
export interface TeamExports {
  /** Runs `count` commands from number `first` on, works along and waits; returns how many are done: fewer when one takes long. */
  run(first: number, count: number): number;
  /** Waits on, and goes on. */
  wait(): number;
}

/** Milliseconds after which helpers that do not finish a single operation are taken for dead. */
const LONGEST_OPERATION_MS = 20_000;

export class ThreadTeam {
  readonly size: number;
  /** All commands, as the generated classes write them. */
  readonly words: Int32Array;
  readonly floats: Float32Array;
  readonly doubles: Float64Array;
  readonly #exports: TeamExports;
  readonly #longestOperationMs: number;
  readonly #helpers: readonly Helper[];
  /** The first commands, so many, are those that were gathered last, and stay for `again`; others are written behind them. */
  #kept = 0;
  /** Commands behind them that were written and have not run. */
  #waiting = 0;
  #isGathering = false;
  /** Nothing of what is gathered has run yet. */
  #isWhole = false;
  #lost: string | null = null;
  #disposed = false;

  constructor(
    exports: TeamExports,
    memory: WebAssembly.Memory,
    helpers: readonly Helper[],
    longestOperationMs = LONGEST_OPERATION_MS,
  ) {
    this.size = helpers.length + 1;
    this.#longestOperationMs = longestOperationMs;
    this.#exports = exports;
    this.#helpers = helpers;
    const bytes = COMMANDS * COMMAND_BYTES;
    this.words = new Int32Array(memory.buffer, COMMANDS_AT, bytes / 4);
    this.floats = new Float32Array(memory.buffer, COMMANDS_AT, bytes / 4);
    this.doubles = new Float64Array(memory.buffer, COMMANDS_AT, bytes / 8);
    for (const helper of helpers) {
      helper.onEnd((reason) => {
        this.#lost ??= reason;
      });
    }
  }

  /** Where the command to come is in `words`: a whole number of commands. */
  get at(): number {
    return ((this.#kept + this.#waiting) * COMMAND_BYTES) / 4;
  }

  /**
   * Takes up the operation whose parameters were written, on so many items in `chunks` pieces: runs it, or lets it wait for
   * those that `ask` asks for.
   * @throws LastrowError `disposed`; `thread_lost` when a helper has ended or does not finish: the memory is then of
   *   no use
   */
  add(operation: number, items: number, chunks: number): void {
    const { at, words } = this;
    words[at + COMMAND.operation] = operation;
    words[at + COMMAND.items] = items;
    words[at + COMMAND.chunks] = chunks;
    words[at + COMMAND.answer] = 0;
    this.#waiting += 1;
    if (!this.#isGathering || this.#waiting === COMMANDS) this.runWaiting();
  }

  /**
   * Runs it, and those that wait before it.
   * @returns its answer: the bits of all its parts' answers
   * @throws as `add`
   */
  run(operation: number, items: number, chunks: number): number {
    const { at } = this;
    this.add(operation, items, chunks);
    this.runWaiting();
    return this.words[at + COMMAND.answer];
  }

  /**
   * Lets the operations that are asked for wait for each other, so that the caller's code and what it works with stay in near
   * caches, where an operation leaves nothing of them. When this returns they have run. They are kept for `again` if nothing
   * made some of them run before all were asked for, and room is left for one more.
   * @throws what `ask` throws, and nothing that has not run will; as `add`
   */
  gather<T>(ask: () => T): T {
    this.#kept = 0;
    this.#isGathering = true;
    this.#isWhole = true;
    try {
      const result = ask();
      const count = this.#waiting;
      const isWhole = this.#isWhole && count < COMMANDS;
      this.runWaiting();
      if (isWhole) this.#kept = count;
      return result;
    } finally {
      this.#isGathering = false;
      this.#waiting = 0;
    }
  }

  /**
   * Runs those operations once more that were gathered last.
   * @returns false: they were not kept
   * @throws as `add`
   */
  again(): boolean {
    if (this.#kept === 0) return false;
    this.#run(0, this.#kept);
    return true;
  }

  /** Runs what waits. @throws as `add` */
  runWaiting(): void {
    const count = this.#waiting;
    if (count === 0) return;
    this.#waiting = 0;
    this.#isWhole = false;
    this.#run(this.#kept, count);
  }

  #run(first: number, count: number): void {
    if (this.#disposed) throw new LastrowError("disposed", "The model was disposed while it was at work.");
    if (this.#lost !== null) throw this.#threadLost(this.#lost);
    const done = this.#exports.run(first, count);
    if (done < count) this.#waitOn(done, count);
  }

  #waitOn(before: number, count: number): void {
    let done = before;
    let start = performance.now();
    while (done < count) {
      const now = this.#exports.wait();
      if (now > done) start = performance.now();
      done = now;
      if (performance.now() - start > this.#longestOperationMs) {
        this.#lost = `it did not finish its work within ${this.#longestOperationMs / 1000} seconds`;
        throw this.#threadLost(this.#lost);
      }
    }
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    await Promise.all(this.#helpers.map((helper) => helper.terminate()));
  }

  #threadLost(reason: string): LastrowError {
    return new LastrowError(
      "thread_lost",
      `A thread of the kernels is gone (${reason}); load the model again.`,
    );
  }
}
