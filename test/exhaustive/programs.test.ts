/** Random programs (../programs.ts) over a model in this thread and in a worker, which goes on, is disposed of, or is killed. */
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { startInProcess } from "../../src/engine/in-process.js";
import { violatedInvariants } from "../../src/kv-cache/invariants.js";
import { LanguageModel } from "../../src/library/language-model.js";
import { loadParts } from "../../src/library/load.js";
import type { LoadOptions } from "../../src/library/load-options.js";
import { connectEngineWorker, startWorker } from "../../src/platform/node-worker.js";
import type { EngineConnection } from "../../src/protocol/messages.js";
import { memoryFiles } from "../memory-files.js";
import {
  Alone,
  newProgramTally,
  PROGRAM_MODELS,
  type Program,
  type ProgramTally,
  programs,
  runProgram,
} from "../programs.js";

/** The built one: Node cannot start a worker from the sources. */
const BUILT_WORKER = new URL("../../dist/engine/engine-worker.js", import.meta.url);
const RUNS = Number(process.env.RUNS ?? 40);
const MOST_MS = 60_000 + 5000 * RUNS;

/** A model as programs have it, and what it is held against. */
interface Checked {
  readonly alone: Alone;
  readonly blockBytes: number;
  dispose(): Promise<unknown>;
}
const checked = new Map<string, Promise<Checked>>();
afterAll(async () => {
  for (const made of checked.values()) await (await made).dispose();
});

const KEY = new Uint8Array(32).fill(7);
const filesOf = ({ model }: Program) => memoryFiles(model, PROGRAM_MODELS[model]);

async function loadAs(
  program: Program,
  options: LoadOptions,
  connection: EngineConnection,
): Promise<LanguageModel> {
  const all = { threads: 1, kvDtype: program.kvDtype, installationKey: KEY, ...options };
  return new LanguageModel(await loadParts(filesOf(program), all, async () => connection));
}

function checkedOf(program: Program): Promise<Checked> {
  const { model, kvDtype } = program;
  const key = `${model} ${kvDtype}`;
  const known = checked.get(key) ?? makeChecked(program);
  checked.set(key, known);
  return known;
}

async function makeChecked(program: Program): Promise<Checked> {
  const lm = await loadAs(program, {}, startInProcess().connection);
  const other = await loadAs(program, { kernels: "reference" }, startInProcess().connection);
  return {
    alone: new Alone(lm, other),
    blockBytes: lm.info.kv.blockBytes,
    dispose: () => Promise.all([lm.dispose(), other.dispose()]),
  };
}

/** The model of a program, over a connection, with little memory. */
async function load(program: Program, connection: EngineConnection) {
  const { alone, blockBytes } = await checkedOf(program);
  const { numBlocks, tokenBudget } = program;
  const own = await loadAs(program, { kvMemory: numBlocks * blockBytes, tokenBudget }, connection);
  return { own, alone };
}

async function check(
  ends: boolean,
  runs: number,
  run: (program: Program, tally: ProgramTally) => Promise<void>,
): Promise<ProgramTally> {
  const tally = newProgramTally();
  await fc.assert(
    fc.asyncProperty(programs(ends), (program) => run(program, tally)),
    { numRuns: runs, endOnFailure: true },
  );
  return tally;
}

test("that come to their end leave nothing behind", { timeout: MOST_MS }, async () => {
  const tally = await check(false, RUNS, async (program, counts) => {
    const { connection, host } = startInProcess();
    const { own, alone } = await load(program, connection);
    await using _ = own;
    await runProgram(own, alone, program, async () => undefined, counts);
    for (const { underWay } of [own, alone.other]) {
      expect(underWay).toEqual({ calls: 0, waits: 0, subscriptions: 0 });
    }
    expect(host.held).toEqual({ jobs: 0, sequences: 0, isListening: false });
    const { kvCache, stats } = host.core;
    expect(stats.blocks.referenced).toBe(0);
    expect(stats.sequences).toMatchObject({ running: 0, waiting: 0, idle: 0 });
    expect([kvCache.tables.size, kvCache.listener, violatedInvariants(kvCache)]).toEqual([0, null, []]);
  });
  expect(tally.answered).toBeGreaterThan(RUNS);
  expect(tally.aborted).toBeGreaterThan(RUNS / 10);
});

test("whose model is disposed of meanwhile: every call ends, and says why", {
  timeout: MOST_MS,
}, async () => {
  const tally = await check(true, RUNS, async (program, counts) => {
    const { own, alone } = await load(program, startInProcess().connection);
    await using _ = own;
    await runProgram(own, alone, program, () => own.dispose(), counts);
  });
  expect(tally.ended).toBeGreaterThan(RUNS / 10);
});

test.each(["disposed of", "killed"])(
  "whose worker is %s meanwhile: likewise",
  { timeout: MOST_MS },
  async (how) => {
    const runs = Math.ceil(RUNS / 4);
    const tally = await check(true, runs, async (program, counts) => {
      const worker = startWorker(BUILT_WORKER);
      const { own, alone } = await load(program, await connectEngineWorker(worker));
      await using _ = own;
      await runProgram(
        own,
        alone,
        program,
        () => (how === "killed" ? worker.terminate() : own.dispose()),
        counts,
      );
    });
    expect(tally.ended).toBeGreaterThan(runs / 2);
  },
);
