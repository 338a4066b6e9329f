/** The kernels that are measured: this checkout's, and another's, so that a change can be held against what was before it. */
import { access } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
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

/**
 * @param vectors what its kernels are compiled for, if it knows of them
 * @param folder a checkout in which the kernels were built
 * @throws Error when it is none, or V8 has no such vectors
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
  const { startHelper, wideVectors } = platform.threads;
  const whileWide = vectors === 256 ? wideVectors(false) : undefined;
  if (typeof whileWide === "string") throw new Error(`--vectors 256: ${whileWide}`);
  const backend = wasm.wasmBackend({ threads, startHelper, vectors, whileWide });
  const plan = new memory.MemoryPlan(backend);
  const cases = planCases(plan, backend, wanted, rows);
  const kernels = await backend.create(plan.bytes);
  // Memory that was never written does not exist yet. A tenth is as good a number as any: sums of them stay small.
  kernels
    .f32(0, plan.bytes / 4)
    .subarray(65536 / 4)
    .fill(0.1);
  return { kernels, cases };
}
