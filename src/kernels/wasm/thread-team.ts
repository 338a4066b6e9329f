/**
 * The threads that share the kernels' work, as seen from TypeScript: starts the helpers, hands operations to the team,
 * and notices when a helper is gone. The team itself is assembly/team.ts.
 */
import { LastrowError } from "../../errors.js";
import { COMMAND, COMMAND_BYTES } from "./operations.js";

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
  /** Where a command is written. */
  commandAddress(): number;
  /** Publishes it, works along and waits: 1 when it is done, 0 when that takes long. */
  publish(): number;
  /** Waits on. */
  wait(): number;
}

/** Milliseconds after which helpers that do not finish a single operation are taken for dead. */
const LONGEST_OPERATION_MS = 20_000;

export class ThreadTeam {
  readonly size: number;
  /** The command to come, as the generated classes write it. */
  readonly words: Int32Array;
  readonly floats: Float32Array;
  readonly doubles: Float64Array;
  readonly #exports: TeamExports;
  readonly #longestOperationMs: number;
  readonly #helpers: readonly Helper[];
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
    const address = exports.commandAddress();
    this.words = new Int32Array(memory.buffer, address, COMMAND_BYTES / 4);
    this.floats = new Float32Array(memory.buffer, address, COMMAND_BYTES / 4);
    this.doubles = new Float64Array(memory.buffer, address, COMMAND_BYTES / 8);
    for (const helper of helpers) {
      helper.onEnd((reason) => {
        this.#lost ??= reason;
      });
    }
  }

  /**
   * Runs the operation whose parameters were written, on so many items in `chunks` pieces.
   * @returns its answer: the bits of all its parts' answers
   * @throws LastrowError `disposed`; `thread_lost` when a helper has ended or does not finish: the memory is then of
   *   no use
   */
  run(operation: number, items: number, chunks: number): number {
    if (this.#disposed) throw new LastrowError("disposed", "The model was disposed while it was at work.");
    if (this.#lost !== null) throw this.#threadLost(this.#lost);
    const { words } = this;
    words[COMMAND.operation] = operation;
    words[COMMAND.items] = items;
    words[COMMAND.chunks] = chunks;
    words[COMMAND.answer] = 0;
    if (this.#exports.publish() === 0) this.#waitOn();
    return words[COMMAND.answer];
  }

  #waitOn(): void {
    const start = performance.now();
    while (this.#exports.wait() === 0) {
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
