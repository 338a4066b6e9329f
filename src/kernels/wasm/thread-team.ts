/**
 * The threads that share the kernels' work, as seen from TypeScript: starts the helpers, hands operations to the team,
 * and notices when a helper is gone. The team itself is assembly/team.ts.
 */
import { LastrowError } from "../../errors.js";
import type { KernelExports } from "./kernel-exports.js";

/** What a helper thread is given. */
export interface HelperStart {
  readonly module: WebAssembly.Module;
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

/** What the team needs of the WebAssembly module. */
export type TeamExports = Pick<KernelExports, "commandAddress" | "publish" | "wait">;

/** Milliseconds after which helpers that do not finish a single operation are taken for dead. */
const LONGEST_OPERATION_MS = 20_000;

/** Numbers of assembly/team.ts. */
export const OPERATION = {
  linear: 1,
  attention: 2,
  layerNorm: 3,
  activate: 4,
  add: 5,
  linearInt8: 6,
  quantise: 7,
  writeKv: 8,
} as const;

export class ThreadTeam {
  readonly size: number;
  readonly #exports: TeamExports;
  readonly #longestOperationMs: number;
  readonly #helpers: readonly Helper[];
  readonly #command: Int32Array;
  readonly #commandFloats: Float32Array;
  readonly #commandDouble: Float64Array;
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
    this.#command = new Int32Array(memory.buffer, address, 30);
    this.#commandFloats = new Float32Array(memory.buffer, address, 30);
    this.#commandDouble = new Float64Array(memory.buffer, address + 120, 1);
    for (const helper of helpers) {
      helper.onEnd((reason) => {
        this.#lost ??= reason;
      });
    }
  }

  /** Writes argument `i` (from 2) of the operation to come. */
  set(i: number, value: number): void {
    this.#command[i] = value;
  }

  setF32(i: number, value: number): void {
    this.#commandFloats[i] = value;
  }

  setF64(value: number): void {
    this.#commandDouble[0] = value;
  }

  /**
   * Runs the operation whose arguments were set, in `chunks` pieces.
   * @throws LastrowError `disposed`; `thread_lost` when a helper has ended or does not finish: the memory is then of
   *   no use
   */
  run(operation: number, chunks: number): void {
    if (this.#disposed) throw new LastrowError("disposed", "The model was disposed while it was at work.");
    if (this.#lost !== null) throw this.#threadLost(this.#lost);
    this.#command[0] = operation;
    this.#command[1] = chunks;
    if (this.#exports.publish() === 1) return;
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
