/**
 * What bench.ts measures, in a process of its own: some rounds in which all cases and the machine's limits take turns. Where
 * a memory lies decides as much as many a change to a kernel does (a second one of the same process is read up to a tenth
 * faster), so there are several such processes, and the one checkout is first in every other one.
 */
import { type Limits, MachineLimits } from "../../src/bench/limits.js";
import type { Vectors } from "../../src/kernels/kernels.js";
import { threads as platformThreads } from "../../src/platform/node-threads.js";
import { type Build, type Choice, createBuild } from "./build.js";
import type { KernelCase } from "./kernel-case.js";

/** Shortest time of a sample: shorter runs are repeated. */
const SAMPLE_MS = 8;
/** Bytes that the limit of reading streams. */
const READ_BYTES = 300e6;

export interface Task extends Choice {
  readonly rounds: number;
  /** Time of the processor instead of the clock. */
  readonly processorTime: boolean;
  /** Checkouts, in the order in which they get their memory, and the vectors of their kernels. */
  readonly builds: readonly { readonly folder: string; readonly vectors: Vectors }[];
}

/** What the process answers with. */
export interface Measured {
  readonly limits: readonly Limits[];
  readonly cases: readonly (Pick<KernelCase, "operation" | "shape" | "limit" | "work"> & {
    /** Milliseconds of a run: by checkout, then by round. */
    readonly ms: readonly (readonly number[])[];
  })[];
}

/** A case on the kernels of a build. */
interface Sampled {
  readonly case: KernelCase;
  readonly build: Build;
  /** Runs that take long enough for a sample. */
  runs: number;
  readonly ms: number[];
}

// Whoever started it ends it, once the answer is there; as long as it listens, it waits.
process.on("message", (task: Task) => {
  measure(task).then(
    (measured) => process.send?.(measured),
    (error: Error) => {
      process.stderr.write(`${error.message}\n`);
      process.exit(1);
    },
  );
});

async function measure(task: Task): Promise<Measured> {
  const { threads, rounds, processorTime } = task;
  const builds: Build[] = [];
  for (const { folder, vectors } of task.builds) builds.push(await createBuild(folder, task, vectors));
  if (builds[0].cases.length === 0) throw new Error(`Nothing begins with "${task.wanted.join('" or "')}".`);
  const { startHelper, wideVectors } = platformThreads;
  const wide = task.builds.some(({ vectors }) => vectors === 256) ? wideVectors(false) : "";
  const whileWide = typeof wide === "string" ? undefined : wide;
  const machine = await MachineLimits.create({ threads, readBytes: READ_BYTES, startHelper, whileWide });
  const now = () => {
    if (!processorTime) return performance.now();
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  /** Milliseconds of a run. */
  const sample = ({ case: { prepare, run }, build: { kernels }, runs }: Sampled) => {
    prepare?.(kernels);
    const start = now();
    for (let i = 0; i < runs; i++) run(kernels);
    return (now() - start) / runs;
  };
  const cases = builds[0].cases.map((_, i) =>
    builds.map((build): Sampled => ({ case: build.cases[i], build, runs: 1, ms: [] })),
  );
  for (const one of cases.flat()) while (sample(one) * one.runs < SAMPLE_MS) one.runs *= 2;
  const limits: Limits[] = [];
  for (let round = 0; round < rounds; round++) {
    limits.push(machine.measure());
    for (const same of cases) {
      for (const one of round % 2 === 0 ? same : [...same].reverse()) one.ms.push(sample(one));
    }
  }
  return {
    limits,
    cases: cases.map((same) => {
      const { operation, shape, limit, work } = same[0].case;
      return { operation, shape, limit, work, ms: same.map(({ ms }) => ms) };
    }),
  };
}
