/**
 * What this machine can do at most, measured with the threads and the vectors that the kernels have, too, of 128 or 256 bits
 * (assembly/limits.ts): the rate at which memory streams in, and the rates of multiply-adds that touch no memory.
 * Owns a memory of its own, which is filled from the start, and helper threads that sleep between measurements.
 */
import { LastrowError } from "../errors.js";
import { RESERVED_BYTES } from "../kernels/memory-plan.js";
import type { WhileWide } from "../kernels/wasm/kernel-modules.js";
import { type StartHelper, type TeamExports, ThreadTeam } from "../kernels/wasm/thread-team.js";
import type { PackedDtype } from "../kernels/weight-types.js";
import { LIMITS, RELAXED_LIMITS } from "./limits-binary.js";
import { LimitsCommands } from "./limits-commands.js";

export interface Limits {
  /** Bytes that all threads together read from memory, in 10⁹ a second. */
  readonly readGBs: number;
  /** f32 operations in registers, in 10⁹ a second; a multiplication and an addition are two. */
  readonly f32GFlops: number;
  /**
   * The same for what products with int8 weights are made of: 16-bit integers that are multiplied and added up in 32 bits
   * (`i32x4.dot_i16x8_s`, `i32x4.add`), or relaxed dot products of bytes, two for an activation.
   */
  readonly int8Gops: number;
}

const INTEGERS = { limit: "int8Gops", unit: "GOP/s of int8" } as const;

interface ProductRate {
  readonly limit: "f32GFlops" | "int8Gops";
  readonly unit: string;
  /**
   * Whether relaxed dot products, where they are in use, are what it is measured by. Of other types activations have eight bits, one
   * relaxed dot product is enough, and strict ones stay the measure.
   */
  readonly byRelaxed?: true;
}

/** The rate that products with weights of each type are held against, and its name. */
export const PRODUCT_RATE: Readonly<Record<PackedDtype, ProductRate>> = {
  f32: { limit: "f32GFlops", unit: "GFLOP/s" },
  bf16: { limit: "f32GFlops", unit: "GFLOP/s" },
  f16: { limit: "f32GFlops", unit: "GFLOP/s" },
  int8: { ...INTEGERS, byRelaxed: true },
  q8_0: INTEGERS,
  iq4_nl: INTEGERS,
  q6_k: INTEGERS,
  iq4_xs: INTEGERS,
  q3_k: INTEGERS,
  q5_0: INTEGERS,
  q5_1: INTEGERS,
  q5_k: INTEGERS,
  q4_0: INTEGERS,
  q4_1: INTEGERS,
  q4_k: INTEGERS,
  int4: INTEGERS,
};

export interface MachineLimitsOptions {
  /** Threads that work at once, the caller's included: 1 to 64. */
  readonly threads: number;
  /**
   * Bytes that are streamed again and again, about: as many as what is to be compared with it reads. A smaller buffer
   * may stay in a cache, and is read faster.
   */
  readonly readBytes: number;
  readonly startHelper: StartHelper;
  /** How vectors of 256 bits can be had; absent: those of 128 bits are measured. */
  readonly whileWide?: WhileWide | undefined;
  /** Whether relaxed dot products are measured, which the runtime must have, instead of strict ones. Default false. */
  readonly relaxed?: boolean | undefined;
}

const PAGE_BYTES = 65536;
/** Sixteen streams of an odd number of cache lines, so that they do not fall into the same sets of a cache. */
const READ_CHUNK_BYTES = 16 * 64 * 4097;
/** Least bytes of one measurement, so that waking the helpers does not count. */
const LEAST_READ_BYTES = 256e6;
/** Rounds of multiply-adds in a chunk, and chunks for each thread: some milliseconds, some ten of them. */
const ROUNDS = 20_000;
const CHUNKS_PER_THREAD = 32;
/** Each rate is the best of so many in a row. */
const ATTEMPTS = 3;

/** Operations of a round of each loop of assembly/limits.ts: 13 vectors, or 13 pairs, 4 or 8 multiply-adds a vector, useful ones where dot products are relaxed. */
const OPERATIONS_PER_ROUND = {
  multiplyAddF32: 2 * 13 * 4,
  multiplyAddInt8: 2 * 13 * 8,
  multiplyAddF32Wide: 2 * 13 * 2 * 4,
  multiplyAddInt8Wide: 2 * 13 * 2 * 8,
};

export class MachineLimits {
  readonly #team: ThreadTeam;
  readonly #commands: LimitsCommands;
  readonly #readChunks: number;
  readonly #isWide: boolean;

  /**
   * Reserves and fills the buffer, and starts the helpers.
   * @throws LastrowError `memory_limit_exceeded`, `runtime_unsupported`, `thread_lost`
   */
  static async create({
    threads,
    readBytes,
    startHelper,
    whileWide,
    relaxed = false,
  }: MachineLimitsOptions): Promise<MachineLimits> {
    const chunks = Math.max(1, Math.round(readBytes / READ_CHUNK_BYTES));
    const pages = Math.ceil((RESERVED_BYTES + chunks * READ_CHUNK_BYTES) / PAGE_BYTES);
    let memory: WebAssembly.Memory;
    try {
      memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    } catch (cause) {
      throw new LastrowError(
        "memory_limit_exceeded",
        `This runtime cannot provide ${pages * PAGE_BYTES} bytes of shared memory to measure the machine's limits with.`,
        { cause },
      );
    }
    // Memory that was never written does not exist yet, and would be read from nowhere.
    new Uint8Array(memory.buffer, RESERVED_BYTES).fill(1);
    let module: WebAssembly.Module;
    try {
      const binary = Uint8Array.from(atob(relaxed ? RELAXED_LIMITS : LIMITS), (c) => c.charCodeAt(0));
      module =
        whileWide === undefined
          ? await WebAssembly.compile(binary)
          : await whileWide((compile) => optimised(compile(binary), memory));
    } catch (cause) {
      throw new LastrowError(
        "runtime_unsupported",
        "This runtime cannot compile the module that measures the machine's limits, which needs SIMD.",
        { cause },
      );
    }
    const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
    const numbers = Array.from({ length: threads - 1 }, (_, i) => i + 1);
    const helpers = await Promise.all(
      numbers.map((thread) => startHelper({ module, relaxed: null, memory, thread })),
    );
    return new MachineLimits(
      new ThreadTeam(exports as unknown as TeamExports, memory, helpers),
      chunks,
      whileWide !== undefined,
    );
  }

  private constructor(team: ThreadTeam, readChunks: number, isWide: boolean) {
    this.#isWide = isWide;
    this.#team = team;
    this.#commands = new LimitsCommands(team);
    this.#readChunks = readChunks;
  }

  /**
   * Measures all three, each as the best of a few attempts; some hundred milliseconds, in which the thread is held.
   * @throws LastrowError `thread_lost`, `disposed`
   */
  measure(): Limits {
    return {
      readGBs: Math.max(
        best(() => this.#readRate(0)),
        best(() => this.#readRate(1)),
      ),
      f32GFlops: best(() => this.#multiplyAddRate(this.#isWide ? "multiplyAddF32Wide" : "multiplyAddF32")),
      int8Gops: best(() => this.#multiplyAddRate(this.#isWide ? "multiplyAddInt8Wide" : "multiplyAddInt8")),
    };
  }

  /** Lets go of the helpers. It must not be used again. */
  dispose(): Promise<void> {
    return this.#team.dispose();
  }

  /** @param four 1: as four streams, 0: as sixteen */
  #readRate(four: number): number {
    const passes = Math.ceil(LEAST_READ_BYTES / (this.#readChunks * READ_CHUNK_BYTES));
    const chunks = passes * this.#readChunks;
    const start = performance.now();
    this.#commands.read(chunks, chunks, RESERVED_BYTES, READ_CHUNK_BYTES, this.#readChunks, four);
    return (chunks * READ_CHUNK_BYTES) / (performance.now() - start) / 1e6;
  }

  #multiplyAddRate(loop: keyof typeof OPERATIONS_PER_ROUND): number {
    const chunks = CHUNKS_PER_THREAD * this.#team.size;
    const start = performance.now();
    this.#commands[loop](chunks, chunks, ROUNDS);
    return (chunks * ROUNDS * OPERATIONS_PER_ROUND[loop]) / (performance.now() - start) / 1e6;
  }
}

/** The module, once its loops were compiled: they are when they return for the first time. */
function optimised(module: WebAssembly.Module, memory: WebAssembly.Memory): WebAssembly.Module {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const { multiplyAddF32Wide, multiplyAddInt8Wide } = exports as unknown as Record<
    string,
    (...args: number[]) => void
  >;
  for (const loop of [multiplyAddF32Wide, multiplyAddInt8Wide])
    for (let i = 0; i < 2; i++) loop(10_000, 0, 1);
  return module;
}

function best(measure: () => number): number {
  return Math.max(...Array.from({ length: ATTEMPTS }, measure));
}
