/** The state that is made from the events is the engine's own: checked against its counters, on real traffic. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { type EngineEvent, type EngineStats, type LanguageModel, load } from "../../../src/index.js";
import { newTally, ScenarioRun, scenarios, Truth, trafficModels } from "../../../test/engine/traffic.js";
import { blocksOf, CacheRecording, type CacheState } from "./cache-state.ts";
import { generateBatch, namedSequences } from "./requests.ts";
import { SCENARIOS, type Scenario } from "./scenarios.ts";

/** Bytes of a block of the embedded model. */
const BLOCK_BYTES = 6 * 6 * 2 * 16 * 32 * 4;

async function record(
  scenario: Scenario,
  check: (lm: LanguageModel, recording: CacheRecording) => Promise<void>,
) {
  await using lm = await load("stories", { kvMemory: scenario.blocks * BLOCK_BYTES, threads: 1 });
  expect(lm.info.kv.blocks).toBe(scenario.blocks);
  const recording = new CacheRecording(scenario.blocks);
  const events = lm.events();
  const reading = (async () => {
    for await (const event of events) recording.push(event as EngineEvent);
  })();
  const prompts = scenario.prompts.map((prompt) => lm.promptTokens(prompt));
  const continuations = prompts.map(() => Array.from({ length: scenario.forks }, (): number[] => []));
  await generateBatch(lm, prompts, { ...scenario, firstSeed: 1 }, (i, index, tokens) =>
    continuations[i][index].push(...tokens),
  );
  // What the engine told is read by now, but for what waits in the stream.
  await new Promise((resolve) => setTimeout(resolve, 50));
  await check(lm, recording);
  const requests = prompts.map((prompt, i) => ({ prompt, continuations: continuations[i] }));
  const names = namedSequences(recording.at(recording.events.length), requests).map(({ name }) => name);
  const expected = requests.flatMap((request, i) =>
    request.continuations.map((_, j) => String.fromCharCode(65 + i) + (j === 0 ? "" : j + 1)),
  );
  expect(names.sort()).toEqual(expected.sort());
  await events.return?.(undefined);
  await reading;
}

function counts(state: CacheState): Omit<EngineStats["blocks"], "kinds"> {
  const referenced = state.blocks.filter(({ owners }) => owners.length > 0).length;
  const cached = state.blocks.filter(({ owners, isPublished }) => owners.length === 0 && isPublished).length;
  return { total: state.blocks.length, referenced, cached, free: state.blocks.length - referenced - cached };
}

test.each(SCENARIOS)("$name: blocks, rows and preemptions are the engine's", async (scenario) => {
  await record(scenario, async (lm, recording) => {
    const stats = await lm.stats();
    const end = recording.at(recording.events.length);
    expect(stats.blocks).toMatchObject(counts(end));
    expect(end.counts.rowsComputed).toBe(stats.rows);
    expect(end.counts.rowsFound).toBeGreaterThanOrEqual(stats.prefixCache.tokensHit);
    expect(end.counts.preemptions).toBe(stats.sequences.preemptions);
    expect(end.step).toBe(stats.steps);
    expect([...end.sequences.values()].every(({ status }) => status === "ended")).toBe(true);
    if (scenario.name === "share") expect(end.counts.rowsFound).toBeGreaterThan(0);
    if (scenario.name === "fork") expect(end.counts.copies).toBeGreaterThan(0);
    if (scenario.name === "preempt") expect(end.counts.preemptions).toBeGreaterThan(0);

    // At every cursor: owners and block tables say the same, and going back gives what going forward gave.
    for (let cursor = 0; cursor <= recording.events.length; cursor += 7) {
      const state = recording.at(cursor);
      const held = [...state.sequences.values()].flatMap((sequence) =>
        blocksOf(sequence).map((block) => `${block} ${sequence.sequence}`),
      );
      const owned = state.blocks.flatMap(({ owners }, block) => owners.map((owner) => `${block} ${owner}`));
      // One that another has taken the place of is let go of by the next events.
      const next = recording.events[cursor]?.type;
      const replaced = owned.filter((one) => !held.includes(one));
      expect(replaced.length).toBeLessThanOrEqual(next === "released" || next === "copied" ? 1 : 0);
      expect(held.concat(replaced).sort()).toEqual(owned.sort());
      for (const sequence of state.sequences.values())
        expect(sequence.rows).toBeLessThanOrEqual(16 * blocksOf(sequence).length);
    }
  });
});

test("layers that see differently far: each sequence's runs and rows are the engine's, whatever windows give back", async () => {
  const { engine, alone, dispose } = await trafficModels("f32", "gemma3");
  const truth = new Truth(alone);
  let windowed = 0;
  fc.assert(
    fc.property(scenarios, (scenario) => {
      const traffic = new ScenarioRun(engine, truth, scenario, newTally());
      const { kvCache } = traffic.core;
      const recording = new CacheRecording(kvCache.pool.numBlocks);
      traffic.core.listen((event) => recording.push(event));
      while (!traffic.isOver) {
        traffic.step();
        const state = recording.at(recording.events.length);
        for (const { sequence, runs, length } of kvCache.tables) {
          const known = state.sequences.get(sequence);
          const told = runs.map((_, group) => [...(known?.runs[group] ?? [])].sort(([a], [b]) => a - b));
          const is = runs.map(({ first, ids }) => ids.map((block, i) => [first + i, block]));
          expect(told.join("|")).toBe(is.join("|"));
          if (runs.some(({ first }) => first > 0)) windowed += 1;
          // Of rows that are cut off within a block nothing is told.
          if (length > 0) expect(Math.ceil(known!.rows / 16)).toBe(Math.ceil(length / 16));
        }
      }
    }),
    { numRuns: 20 },
  );
  expect(windowed).toBeGreaterThan(20);
  await dispose();
});

test("a block that was loaded is held, found and let go of as any other", () => {
  const recording = new CacheRecording(2);
  const place = { block: 1, sequence: 5, group: 0, index: 0 };
  recording.push({ type: "loaded", ...place, prefix: 1, parent: 0 });
  expect(counts(recording.at(1))).toEqual({ total: 2, referenced: 1, cached: 0, free: 1 });
  expect(recording.at(1).blocks[1].owners).toEqual([5]);
  recording.push({ type: "hit", ...place, sequence: 6 });
  recording.push({ type: "released", ...place, references: 1 });
  expect(recording.at(3).blocks[1].owners).toEqual([6]);
  expect(recording.at(3).sequences.get(6)?.rowsFound).toBe(16);
  recording.push({ type: "released", ...place, sequence: 6, references: 0 });
  expect(counts(recording.at(4))).toEqual({ total: 2, referenced: 0, cached: 1, free: 1 });
});
