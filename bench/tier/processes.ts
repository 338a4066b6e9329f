/**
 * One machine: one process with all threads, or several with one thread each and a Redis on a Unix socket between them. The same
 * chats to each, all at once: a beginning that all share, a turn, its answer, and another turn, which comes to another process.
 */
import { startRedis } from "../../test/fleet/redis-server.js";
import { type Bench, KEY, median, ms, prompt, type Table, type Types, tokensOf } from "./measured.js";
import { type Generated, ModelProcess, type Prompt, type TierSettings } from "./model-link.js";

const TYPES: Types = { dtype: "int8", kvDtype: "int8" };
const CHATS = 16;
const SHARED_TOKENS = 256;
const TURN_TOKENS = 64;
const NEW_TOKENS = 24;

interface Setting {
  readonly name: string;
  readonly processes: number;
  readonly threads: number;
  readonly tier: TierSettings | undefined;
}

export async function processes(bench: Bench): Promise<Table> {
  await using redis = await startRedis();
  const tier: TierSettings = { url: redis.url, key: KEY, write: "first" };
  const { threads } = bench;
  const settings: Setting[] = [
    { name: `1 process, ${threads} threads`, processes: 1, threads, tier: undefined },
    { name: `${threads} processes, 1 thread each`, processes: threads, threads: 1, tier: undefined },
    { name: `${threads} processes, 1 thread each, a tier`, processes: threads, threads: 1, tier },
  ];
  const fleets = settings.map(({ processes: count }) =>
    Array.from({ length: count }, () => new ModelProcess()),
  );
  try {
    for (const [i, { threads: own, tier: ownTier }] of settings.entries()) {
      const load = { ...TYPES, vectors: bench.vectors, threads: own, ...(ownTier && { tier: ownTier }) };
      await Promise.all(fleets[i].map((process) => process.load("m", bench.model, load)));
    }
    return await measured(bench, settings, fleets);
  } finally {
    for (const process of fleets.flat()) await process[Symbol.asyncDispose]();
  }
}

async function measured(
  bench: Bench,
  settings: readonly Setting[],
  fleets: readonly (readonly ModelProcess[])[],
): Promise<Table> {
  const runs = settings.map(() => [] as Run[]);
  for (let round = -1; round < bench.rounds; round++) {
    bench.say(`processes: round ${round + 1} of ${bench.rounds}`);
    for (const [i, fleet] of fleets.entries()) {
      const run = await serve(fleet, round + 2);
      if (round >= 0) runs[i].push(run);
    }
  }
  return {
    title: "One machine: threads, or processes with a tier between them",
    head: ["", "tokens/s", "second turns: first token, median", "the slowest", "rows computed"],
    rows: settings.map(({ name }, i) => {
      const of = (what: keyof Run) => median(runs[i].map((run) => run[what]));
      return [
        name,
        of("tokensPerSecond").toFixed(0),
        ms(of("first")),
        ms(of("slowest")),
        of("rows").toFixed(0),
      ];
    }),
    notes: [
      `int8 weights, int8 K and V; ${CHATS} chats at once, of ${SHARED_TOKENS} tokens that all begin with and two turns of ${TURN_TOKENS} tokens and ${NEW_TOKENS} new ones; the second turn comes to another process. Medians of ${bench.rounds} rounds, in turns.`,
    ],
  };
}

interface Run {
  readonly tokensPerSecond: number;
  /** Of second turns: median, and the slowest. */
  readonly first: number;
  readonly slowest: number;
  readonly rows: number;
}

/** Two turns of each chat; between them there is time to write what the first ones computed. */
async function serve(fleet: readonly ModelProcess[], round: number): Promise<Run> {
  const shared = tokensOf(round * 31, SHARED_TOKENS);
  const chats = Array.from({ length: CHATS }, (_, i) => [
    ...shared,
    ...tokensOf(10_000 + round * CHATS + i, TURN_TOKENS),
  ]);
  const one = await turn(fleet, chats, 0);
  for (const process of fleet) await process.written("m");
  const continued = chats.map((tokens, i) => [
    ...tokens,
    ...one.answers[i].tokens,
    ...tokensOf(20_000 + round * CHATS + i, TURN_TOKENS),
  ]);
  const two = await turn(fleet, continued, 1);
  const firsts = two.answers.map(({ firstMs }) => firstMs);
  const all = [...one.answers, ...two.answers];
  return {
    tokensPerSecond: (all.length * NEW_TOKENS) / (one.seconds + two.seconds),
    first: median(firsts),
    slowest: Math.max(...firsts),
    rows: all.reduce((sum, { rowsComputed }) => sum + rowsComputed, 0),
  };
}

/** A turn of all chats at once, in their order; with each turn a chat moves on to the next process. */
async function turn(fleet: readonly ModelProcess[], chats: readonly number[][], number: number) {
  const answers: Generated[] = [];
  const begun = performance.now();
  await Promise.all(
    fleet.map(async (process, at) => {
      const own = chats.flatMap((tokens, i) => ((i + number) % fleet.length === at ? [{ tokens, i }] : []));
      const prompts: Prompt[] = own.map(({ tokens }) => ({ ...prompt(0, 0, NEW_TOKENS), tokens }));
      const answered = await process.atOnce("m", prompts);
      for (const [k, { i }] of own.entries()) answers[i] = answered[k];
    }),
  );
  return { answers, seconds: (performance.now() - begun) / 1000 };
}
