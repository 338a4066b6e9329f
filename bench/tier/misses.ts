/**
 * What a tier costs that has nothing: the first token of prompts that it has not, and tokens a second of 16 clients while their
 * blocks are written. In turns with the same model without a tier, in one process; each round by itself, so that what the machine
 * does meanwhile does to both.
 */
import { startRedis } from "../../test/fleet/redis-server.js";
import { medianInterval } from "./interval.js";
import {
  type Bench,
  KEY,
  median,
  megabytes,
  ms,
  only,
  options,
  percent,
  prompt,
  type Table,
  type Types,
} from "./measured.js";
import { type Generated, ModelProcess, type Prompt } from "./model-link.js";

const TYPES: Types = { dtype: "f32", kvDtype: "f32" };
/** Shorter than elsewhere, so that there are more rounds. */
const MISS_TOKENS = 450;
const MISS_ROUNDS = 12;
const CLIENTS = 16;
const CLIENT_TOKENS = 64;
const NEW_TOKENS = 16;
const CLIENT_ROUNDS = 6;

export async function misses(bench: Bench): Promise<Table> {
  await using redis = await startRedis();
  await using models = new ModelProcess();
  const tier = { url: redis.url, key: KEY };
  await models.load("without", bench.model, options(bench, TYPES));
  await models.load("asked", bench.model, options(bench, TYPES, { ...tier, write: "second" }));
  bench.say("misses: first token");
  const first = await inTurns("asked", MISS_ROUNDS, async (name, round) => {
    const { firstMs, rowsComputed } = await only(models.inTurn(name, [prompt(100 + round, MISS_TOKENS)]));
    if (rowsComputed !== MISS_TOKENS) throw new Error(`${rowsComputed} rows were computed.`);
    return firstMs;
  });
  await models.unload("asked");
  await models.load("written", bench.model, options(bench, TYPES, { ...tier, write: "first" }));
  bench.say(`misses: ${CLIENTS} clients, written behind`);
  const throughput = await inTurns("written", CLIENT_ROUNDS, async (name, round) => {
    const prompts: Prompt[] = Array.from({ length: CLIENTS }, (_, i) =>
      prompt(1000 + round * CLIENTS + i, CLIENT_TOKENS, NEW_TOKENS),
    );
    const begun = performance.now();
    const all: Generated[] = await models.atOnce(name, prompts);
    const tokens = all.reduce((sum, { tokens: { length } }) => sum + length, 0);
    // Milliseconds for a token, so that more is worse, as above.
    return (performance.now() - begun) / tokens;
  });
  const { tier: stats } = await models.stats("written");
  const row = (what: string, { without, with: with_, ratios }: Turns, show: (value: number) => string) => {
    const { median: ratio, from, to } = medianInterval(ratios);
    return [
      what,
      show(median(without)),
      show(median(with_)),
      percent(ratio - 1),
      `${percent(from - 1)} to ${percent(to - 1)}`,
    ];
  };
  const perSecond = (value: number) => `${(1000 / value).toFixed(0)} tokens/s`;
  return {
    title: "What a tier costs that has nothing",
    head: ["", "without a tier", "with one", "more time", "95 % interval"],
    rows: [
      row(`first token of ${MISS_TOKENS}, none in the tier`, first, ms),
      row(
        `${CLIENTS} clients, ${CLIENT_TOKENS} + ${NEW_TOKENS} tokens each, written behind`,
        throughput,
        perSecond,
      ),
    ],
    notes: [
      `f32 weights, f32 K and V; ${MISS_ROUNDS} and ${CLIENT_ROUNDS} rounds, in turns; the interval is of the median of each round's ratio.`,
      `Of the clients' blocks ${stats!.written} were written (${megabytes(stats!.bytesWritten)}), ${stats!.droppedWrites} given up, since writing takes a twentieth of the time at most.`,
    ],
  };
}

interface Turns {
  readonly without: number[];
  readonly with: number[];
  readonly ratios: number[];
}

async function inTurns(
  withTier: string,
  rounds: number,
  measure: (name: string, round: number) => Promise<number>,
): Promise<Turns> {
  const turns: Turns = { without: [], with: [], ratios: [] };
  // The first round compiles what is hot, and counts for nothing.
  for (let round = -1; round < rounds; round++) {
    const names = round % 2 === 0 ? ["without", withTier] : [withTier, "without"];
    const times = new Map<string, number>();
    for (const name of names) times.set(name, await measure(name, round + 1));
    if (round < 0) continue;
    turns.without.push(times.get("without")!);
    turns.with.push(times.get(withTier)!);
    turns.ratios.push(times.get(withTier)! / times.get("without")!);
  }
  return turns;
}
