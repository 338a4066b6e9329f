/** The kernels that are measured: this checkout's, and another's, so that a change can be held against what was before it. */
import { access } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";
import type { Kernels, Vectors } from "../../src/kernels/kernels.js";
import type { MemoryPlan } from "../../src/kernels/memory-plan.js";
import type { wasmBackend } from "../../src/kernels/wasm/wasm-kernels.js";
import type { threads as platformThreads } from "../../src/platform/node-threads.js";
import { planCases } from "./cases.js";
import type { KernelCase } from "./kernel-case.js";

/** What of a build is measured, and on how many threads. */
export interface Choice {
  readonly threads: number;
  /** Beginnings of what is measured: `planCases`. */
  readonly wanted: readonly string[];
  /** Rows of products, instead of their own. */
  readonly rows: readonly number[] | undefined;
}

/** Kernels over a memory of their own, and all cases on it. */
export interface Build {
  readonly kernels: Kernels;
  readonly cases: readonly KernelCase[];
}

/** V8 makes pairs of vectors one of 256 bits, of all that is compiled meanwhile, which it optimises at once. */
const WIDE = ["experimental-wasm-revectorize", "no-wasm-inlining", "no-liftoff", "no-wasm-lazy-compilation"];

/** @throws Error where V8 has no such vectors */
async function compiledFor<Result>(vectors: Vectors, compile: () => Promise<Result>): Promise<Result> {
  if (vectors === 128) return compile();
  if (Number.parseInt(process.versions.v8, 10) < 13) throw new Error("--vectors 256 takes Node 24 or newer");
  for (const flag of WIDE) setFlagsFromString(`--${flag}`);
  try {
    return await compile();
  } finally {
    // Backwards: inlining without Liftoff ends the process.
    for (const flag of [...WIDE].reverse())
      setFlagsFromString(`--${flag.startsWith("no-") ? flag.slice(3) : `no-${flag}`}`);
  }
}

/**
 * @param vectors what its kernels are compiled for, if it knows of them
 * @param folder a checkout in which the kernels were built
 * @throws Error when it is none
 */
export async function createBuild(
  folder: string,
  { threads, wanted, rows }: Choice,
  vectors: Vectors,
): Promise<Build> {
  const source = (path: string) => join(resolve(folder), "src", path);
  await access(source("kernels/wasm/kernels-binary.ts")).catch((cause: unknown) => {
    throw new Error(
      `${folder} is not a checkout of lastrow with its kernels built (npm ci; npm run build:kernels)`,
      { cause },
    );
  });
  const load = async (path: string): Promise<unknown> => import(pathToFileURL(source(path)).href);
  const wasm = (await load("kernels/wasm/wasm-kernels.ts")) as { readonly wasmBackend: typeof wasmBackend };
  const memory = (await load("kernels/memory-plan.ts")) as { readonly MemoryPlan: typeof MemoryPlan };
  const platform = (await load("platform/node-threads.ts")) as { readonly threads: typeof platformThreads };
  const { startHelper } = platform.threads;
  const backend = wasm.wasmBackend({ threads, startHelper, vectors });
  const plan = new memory.MemoryPlan(backend);
  const cases = planCases(plan, backend, wanted, rows);
  const kernels = await compiledFor(vectors, () => backend.create(plan.bytes));
  // Memory that was never written does not exist yet. A tenth is as good a number as any: sums of them stay small.
  kernels
    .f32(0, plan.bytes / 4)
    .subarray(65536 / 4)
    .fill(0.1);
  return { kernels, cases };
}
