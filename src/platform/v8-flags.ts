/**
 * Has V8 make one instruction of 256 bits of two of 128, lane by lane: the same bits. It does so when a flag says so while
 * its optimising compiler is at work, and flags are the whole process's: they are set while the kernels are compiled and run
 * for the first time, and put back. Each of them by itself only moves when and how WebAssembly is optimised, so that other
 * modules of the process, which may be compiled meanwhile, come to no harm.
 *
 * Owns these flags from the first that is set to the last that is put back; a lock keeps the threads of the process apart.
 */
import { setFlagsFromString } from "node:v8";
import * as workerThreads from "node:worker_threads";
import type { CompileNow, WhileWide } from "../kernels/wasm/kernel-modules.js";

/**
 * V8 versions that the kernels are tested with at 256 bits, those of Node 24 and 26; `npm run test:vectors` fails when it
 * meets another. With others it is only done when asked for.
 */
const TESTED_V8 = ["13.6", "14.6"];

const V8_MAJOR = Number.parseInt(process.versions.v8, 10);
/** The flag has lost the beginning of its name now that it is no experiment any more. */
const FUSING = V8_MAJOR < 15 ? "experimental-wasm-revectorize" : "wasm-revectorize";
/**
 * The optimising compiler takes a function over when it has run through so many bytes; without delay, so that it is done
 * when the function returns. (Without the baseline compiler all could be compiled at once; but to switch that off, or
 * inlining, or lazy compilation, ends the process when another thread compiles meanwhile: Node 26, and 24.)
 */
const SET = [`--${FUSING}`, "--wasm-sync-tier-up", "--wasm-tiering-budget=1"];
const PUT_BACK = ["--wasm-tiering-budget=13000000", "--no-wasm-sync-tier-up", `--no-${FUSING}`];

/** Why there are none: the end of a sentence. */
const REASONS = {
  runtime: "only Node itself has them, not a program that is built on it or another runtime",
  processor: "they need an x86-64 processor with AVX2",
  version: "they need Node 24 or newer",
  flags: "Node was started with flags of V8's that decide how WebAssembly is compiled",
  untested: "this version of V8 was not tested with them",
};

/** A name for the lock that nothing else has. */
const LOCK = "lastrow: V8 flags";
/** What holds the lock for so long is a thread that was ended in the middle: it takes a tenth of a second. */
const LONGEST_HOLD_MS = 10_000;

/** Web Locks, as Node has them since 24.5; there are no types yet. */
interface Locks {
  request(
    name: string,
    options: { readonly steal?: boolean; readonly signal?: AbortSignal },
    work: () => void,
  ): Promise<void>;
}
/** Without them (Node 24.0 to 24.4) threads that load at once may put flags back too early: one of them stays at 128 bits. */
const noLocks: Locks = { request: async (_name, _options, work) => work() };
const { locks = noLocks } = workerThreads as unknown as { readonly locks?: Locks };

/** What a worker's starter tells it, as `workerData[V8_FLAGS]`. */
export const V8_FLAGS = "lastrow: V8 flags";
export interface StarterFlags {
  /** 1 while the worker has the flags set. */
  readonly areSet: Int32Array;
  /** What the process was started with; a worker's own `execArgv` says nothing of it. */
  readonly execArgv: readonly string[];
}

const starter = (workerThreads.workerData as Record<string, StarterFlags> | null)?.[V8_FLAGS];
const areSet = starter?.areSet ?? new Int32Array(1);

/**
 * @param onlyTested whether a version of V8 that was not tested is a reason against it
 * @returns how to have the kernels made 256 bits wide, or why that can't be done: the end of a sentence
 */
export function wideVectors(onlyTested: boolean): WhileWide | string {
  const { versions, arch, env } = process;
  if (versions.electron !== undefined || "Deno" in globalThis || "Bun" in globalThis) return REASONS.runtime;
  if (arch !== "x64") return REASONS.processor;
  // Node 22 knows the flag, but it does nothing.
  if (V8_MAJOR < 13) return REASONS.version;
  const flags = [...(starter?.execArgv ?? process.execArgv), env.NODE_OPTIONS ?? ""].join(" ");
  if (/--(no.?)?(liftoff|(experimental.)?wasm)/.test(flags)) return REASONS.flags;
  const version = /^\d+\.\d+/.exec(versions.v8)?.[0] ?? "";
  return onlyTested && !TESTED_V8.includes(version) ? REASONS.untested : whileWide;
}

async function whileWide<Result>(work: (compile: CompileNow) => Result): Promise<Result> {
  let outcome = (): Result => {
    throw new Error("the lock was taken away");
  };
  await withLock(() => {
    areSet[0] = 1;
    setFlags(SET);
    try {
      const result = work(compileAnew);
      outcome = () => result;
    } catch (error) {
      outcome = () => {
        throw error;
      };
    } finally {
      setFlags(PUT_BACK);
      areSet[0] = 0;
    }
  });
  return outcome();
}

/**
 * Compiles a module with a custom section that means nothing: V8 keeps what it has compiled by the bytes, and would give
 * back what was compiled without the flags, or with them where they are no longer wanted.
 */
const compileAnew: CompileNow = (binary) => {
  const name = new TextEncoder().encode("wide");
  const marked = new Uint8Array(binary.length + 3 + name.length);
  marked.set(binary);
  marked.set([0, name.length + 1, name.length, ...name], binary.length);
  return new WebAssembly.Module(marked);
};

/** Puts back what a worker had set that was ended meanwhile. */
export async function putBackAfter(ended: Int32Array): Promise<void> {
  if (ended[0] === 0) return;
  await locks.request(LOCK, { steal: true }, () => setFlags(PUT_BACK));
}

function setFlags(flags: readonly string[]): void {
  for (const flag of flags) setFlagsFromString(flag);
}

async function withLock(work: () => void): Promise<void> {
  const waiting = new AbortController();
  // It also keeps the program alive, which waiting for a lock does not.
  const timer = setTimeout(() => waiting.abort(), LONGEST_HOLD_MS);
  try {
    await locks.request(LOCK, { signal: waiting.signal }, work);
  } catch (error) {
    if (!waiting.signal.aborted) throw error;
    await locks.request(LOCK, { steal: true }, work);
  } finally {
    clearTimeout(timer);
  }
}
