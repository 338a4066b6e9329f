/**
 * What differs between Node and a browser where a model runs: in the engine's worker, or beside its caller. `#threads` in
 * package.json's `imports` leads to the right one. Apart from platform.ts, so that a worker does not load what finds
 * models, and so that a bundler does not find a worker that starts itself.
 */
import type { WhileWide } from "../kernels/wasm/kernel-modules.js";
import type { StartHelper } from "../kernels/wasm/thread-team.js";

/** Memory in bytes, as a machine, a container or a browser tells it. */
export interface MachineMemory {
  /** All that there is: nothing larger can be held. */
  readonly totalBytes: number;
  /** What is free now. */
  readonly freeBytes: number;
}

export interface Threads {
  /** Threads that can work at once. */
  availableThreads(): number;
  /** Whether threads can be started that share a memory. */
  canShareMemory(): boolean;
  /** What memory the machine has, or less where a container or a browser says less. */
  memory(): MachineMemory;
  /** Starts a thread of the kernels. */
  startHelper: StartHelper;
  /**
   * How the kernels can be had with vectors of 256 bits; or why not, as the end of a sentence.
   * @param onlyTested whether it is a reason against it that this version of the runtime was not tested
   */
  wideVectors(onlyTested: boolean): WhileWide | string;
  /** Lets everything else that waits in the event loop have a turn. */
  yieldToEventLoop(): Promise<void>;
}
